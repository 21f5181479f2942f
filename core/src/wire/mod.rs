//! Floor 2: how nodes and clients speak. Frames, messages, transports, connections.
//! A frame is a fixed header and a body; hot messages have a hand-laid layout that decodes without copying.
//! What arrives is input: it is bounded before anything is allocated for it, and a frame that breaks a rule closes
//! the connection that it came by and nothing else.

mod codec;
mod connection;
pub mod control;
mod failure;
mod frame;
mod hello;
mod limits;
mod memory;
mod message;
mod pending;
mod request;
mod response;
mod server;
mod tcp;
mod transport;

pub use connection::{Connection, Done, Handler};
pub use frame::{Frame, FrameDecoder, HEADER_BYTES, Kind, Outgoing};
pub use hello::{HELLO_BYTES_MAX, Hello, Role, VersionRange};
pub use limits::Limits;
pub use memory::{Delivery, LinkQuality, MemoryNetwork, MemoryTransport};
pub use message::{Change, Expiry, KEY_BYTES_MAX, Need, PageItem, Route, VALUE_BYTES_MAX, position};
pub use request::Request;
pub use response::Response;
pub use server::serve;
pub use tcp::TcpTransport;
pub use transport::{Duplex, FrameReceiver, FrameSender, Listener, Transport};

#[cfg(test)]
mod tests;
