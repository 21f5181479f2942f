//! TCP: frames over a socket with TCP_NODELAY. One task writes all that is queued at once; the reader slices frames out
//! of its buffer. Small frames are copied behind one another into one write, large bodies are written from where they are.

use std::fmt;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};

use super::limits::Limits;
use super::transport::{Duplex, Listener, Transport};
use crate::base::env::{BoxFuture, Env};
use crate::base::error::{Error, Result};
use crate::base::settings::parse_address;

mod inbox;
mod outbox;

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
        let receiver = Box::new(inbox::open(reader, self.limits.frame_bytes_max, &remote));
        Ok(Duplex { sender, receiver, remote })
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
