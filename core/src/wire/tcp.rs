//! TCP: frames over a socket with TCP_NODELAY. One task writes all that is queued at once; the reader slices frames out
//! of its buffer. Small frames are copied behind one another into one write, large bodies are written from where they are.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};

use super::limits::Limits;
use super::transport::{Duplex, Listener, Transport};
use crate::base::env::{BoxFuture, Env};
use crate::base::error::{Error, Result};
use crate::base::settings::parse_address;

mod inbox;
mod outbox;

/// An idle connection is probed after this long.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
/// And then this often.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// So many probes without an answer end it: a peer whose machine died is let go after 30 s.
const KEEPALIVE_PROBES: u32 = 3;
#[cfg(target_os = "linux")]
/// So do sent bytes that nobody has confirmed for as long.
const UNCONFIRMED_MS_MAX: u32 = 30_000;

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
        configure(&stream).map_err(|error| Error::io(format!("socket options to {remote}"), error))?;
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

fn configure(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(stream, UNCONFIRMED_MS_MAX)?;
    Ok(())
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
