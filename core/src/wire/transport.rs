//! Transports: what carries frames between two ends. TCP for real, memory for tests and the simulation, TLS later.
//! A transport keeps the order of frames within a connection, never waits in `send`, and bounds what it queues.

use std::fmt;
use std::sync::Arc;

use super::frame::{Frame, Outgoing};
use crate::base::env::BoxFuture;
use crate::base::error::Result;

/// Makes connections and takes them.
pub trait Transport: Send + Sync + fmt::Debug {
    /// Connects to `host:port`. May take for ever: the caller has a deadline.
    fn dial<'a>(&'a self, address: &'a str) -> BoxFuture<'a, Result<Duplex>>;

    /// Listens on `host:port`; port 0 takes a free one.
    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, Result<Box<dyn Listener>>>;
}

/// A port that is listened on; dropping it closes the port and leaves accepted connections alone.
pub trait Listener: Send {
    /// The address with the port that was taken.
    fn address(&self) -> String;

    /// Waits for the next connection. An error concerns one connection or the moment; the caller goes on.
    fn accept(&mut self) -> BoxFuture<'_, Result<Duplex>>;
}

/// Both directions of one connection.
#[derive(Debug)]
pub struct Duplex {
    /// Sends frames.
    pub sender: Arc<dyn FrameSender>,
    /// Receives frames.
    pub receiver: Box<dyn FrameReceiver>,
    /// The other end, for messages and logs.
    pub remote: String,
}

/// The sending direction. Dropping the last handle closes it.
pub trait FrameSender: Send + Sync + fmt::Debug {
    /// Queues a frame, from any thread; never waits.
    ///
    /// # Errors
    /// `Overloaded` past the limit of queued bytes, `Closed` after the end; the frame is then not sent.
    fn send(&self, frame: Outgoing<'_>) -> Result<()>;

    /// Sends what is queued, within a grace, then ends this direction. Returns at once.
    fn close(&self);
}

/// The receiving direction.
pub trait FrameReceiver: Send + fmt::Debug {
    /// Waits for the first frame, bounded by `HELLO_BYTES_MAX`. `None` is an orderly end.
    ///
    /// # Errors
    /// `Corruption` for a bad frame, `Io` for a broken connection.
    fn receive_hello(&mut self) -> BoxFuture<'_, Result<Option<Frame>>>;

    /// Waits for frames and appends all that have arrived. False is an orderly end.
    ///
    /// # Errors
    /// `Corruption` for a bad frame, `Io` for a broken connection; whole frames before it are appended.
    fn receive<'a>(&'a mut self, into: &'a mut Vec<Frame>) -> BoxFuture<'a, Result<bool>>;
}
