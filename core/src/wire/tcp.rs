//! TCP: frames over a socket with TCP_NODELAY. One task writes all that is queued at once; the reader slices frames out
//! of its buffer. Small frames are copied behind one another into one write, large bodies are written from where they are.

use std::fmt;
use std::net::SocketAddr;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};

use super::frame::{Frame, FrameDecoder};
use super::hello::HELLO_BYTES_MAX;
use super::limits::Limits;
use super::transport::{Duplex, FrameReceiver, Listener, Transport};
use crate::base::env::{BoxFuture, Env};
use crate::base::error::{Error, Result};
use crate::base::settings::parse_address;

mod outbox;

/// Room for reading at first; doubled when a read fills it.
const READ_BYTES_MIN: usize = 8 << 10;
/// Past this, larger reads gain nothing.
const READ_BYTES_MAX: usize = 128 << 10;

/// TCP on the tasks of an environment.
#[derive(Clone)]
pub struct TcpTransport {
    env: Env,
    limits: Limits,
}

impl fmt::Debug for TcpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TcpTransport")
    }
}

impl TcpTransport {
    /// A transport whose writers run as tasks of this environment.
    #[must_use]
    pub fn new(env: &Env, limits: Limits) -> Self {
        Self { env: env.clone(), limits }
    }

    fn duplex(&self, stream: TcpStream, remote: String) -> Result<Duplex> {
        stream.set_nodelay(true).map_err(|error| Error::io(format!("TCP_NODELAY to {remote}"), error))?;
        let (reader, writer) = stream.into_split();
        let sender = outbox::open(&self.env, writer, self.limits.peer_bytes_in_flight_max, &remote);
        let receiver = TcpReceiver {
            reader,
            buffer: BytesMut::new(),
            decoder: FrameDecoder::new(HELLO_BYTES_MAX),
            frame_bytes_max: usize::try_from(self.limits.frame_bytes_max).unwrap_or(usize::MAX),
            read_bytes: READ_BYTES_MIN,
            remote: remote.clone(),
        };
        Ok(Duplex { sender, receiver: Box::new(receiver), remote })
    }
}

impl Transport for TcpTransport {
    fn dial<'a>(&'a self, address: &'a str) -> BoxFuture<'a, Result<Duplex>> {
        Box::pin(async move {
            let (host, port) = parse_address(address)?;
            let stream = TcpStream::connect((host.as_str(), port))
                .await
                .map_err(|error| Error::io(format!("dialing {address}"), error))?;
            self.duplex(stream, address.to_owned())
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let (host, port) = parse_address(address)?;
            let failed = |error| Error::io(format!("listening on {address}"), error);
            let listener = TcpListener::bind((host.as_str(), port)).await.map_err(failed)?;
            let bound = listener.local_addr().map_err(failed)?;
            Ok(Box::new(Accepting { transport: self.clone(), listener, bound }) as Box<dyn Listener>)
        })
    }
}

struct Accepting {
    transport: TcpTransport,
    listener: TcpListener,
    bound: SocketAddr,
}

impl Listener for Accepting {
    fn address(&self) -> String {
        self.bound.to_string()
    }

    fn accept(&mut self) -> BoxFuture<'_, Result<Duplex>> {
        Box::pin(async move {
            let accepted = self.listener.accept().await;
            let (stream, remote) =
                accepted.map_err(|error| Error::io(format!("accepting on {}", self.bound), error))?;
            self.transport.duplex(stream, remote.to_string())
        })
    }
}

struct TcpReceiver {
    reader: OwnedReadHalf,
    buffer: BytesMut,
    decoder: FrameDecoder,
    /// The limit that holds after the hello.
    frame_bytes_max: usize,
    read_bytes: usize,
    remote: String,
}

impl fmt::Debug for TcpReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpReceiver({})", self.remote)
    }
}

impl TcpReceiver {
    /// Reads what has arrived; false at the end of the stream.
    async fn fill(&mut self) -> Result<bool> {
        // The decoder has made room for the rest of a frame that has begun; a little room is not worth a read.
        if self.buffer.capacity() - self.buffer.len() < self.read_bytes / 4 {
            self.buffer.reserve(self.read_bytes);
        }
        let room = self.buffer.capacity() - self.buffer.len();
        let read = self.reader.read_buf(&mut self.buffer).await;
        let read = read.map_err(|error| Error::io(format!("reading from {}", self.remote), error))?;
        if read == room {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        }
        if read == 0 && !self.buffer.is_empty() {
            let bytes = self.buffer.len();
            return Err(Error::corrupt(format!("the stream ends {bytes} bytes into a frame")));
        }
        Ok(read > 0)
    }
}

impl FrameReceiver for TcpReceiver {
    fn receive_hello(&mut self) -> BoxFuture<'_, Result<Option<Frame>>> {
        Box::pin(async move {
            loop {
                if let Some(frame) = self.decoder.decode(&mut self.buffer)? {
                    self.decoder.set_frame_bytes_max(self.frame_bytes_max);
                    return Ok(Some(frame));
                }
                if !self.fill().await? {
                    return Ok(None);
                }
            }
        })
    }

    fn receive<'a>(&'a mut self, into: &'a mut Vec<Frame>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            loop {
                while let Some(frame) = self.decoder.decode(&mut self.buffer)? {
                    into.push(frame);
                }
                if !into.is_empty() {
                    return Ok(true);
                }
                if !self.fill().await? {
                    return Ok(false);
                }
            }
        })
    }
}
