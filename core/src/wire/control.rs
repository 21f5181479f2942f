//! Control messages: protobuf on the wire, checked values inside.
//! Decoding validates everything, so that what a peer or a disk sends is either sound or an error.

use bytes::Bytes;
use prost::Message;

use crate::base::{Epoch, Error, ErrorKind, Result};
use crate::ring::Topology;

/// The messages as prost compiles them from `proto/control.proto`.
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/ringkeep.control.rs"));
}

mod topology;

pub use proto::control::Kind;

/// A topology as bytes: what Paxos agrees on, disks keep and peers send.
#[must_use]
pub fn encode_topology(topology: &Topology) -> Bytes {
    proto::Topology::from(topology).encode_to_vec().into()
}

/// A topology from bytes.
///
/// # Errors
/// `InvalidArgument` for bytes that are not a sound topology.
pub fn decode_topology(bytes: &[u8]) -> Result<Topology> {
    let message = proto::Topology::decode(bytes).map_err(|e| Error::invalid(format!("topology: {e}")))?;
    Topology::try_from(message)
}

/// A control message as bytes.
#[must_use]
pub fn encode(kind: Kind) -> Bytes {
    proto::Control { kind: Some(kind) }.encode_to_vec().into()
}

/// A control message from bytes. Topologies and members inside are checked when they are converted.
///
/// # Errors
/// `InvalidArgument` for bytes that are no control message, or one of a kind that this version does not know.
pub fn decode(bytes: &Bytes) -> Result<Kind> {
    let message =
        proto::Control::decode(bytes.clone()).map_err(|e| Error::invalid(format!("control message: {e}")))?;
    message.kind.ok_or_else(|| Error::invalid("a control message of an unknown kind"))
}

impl From<Epoch> for proto::Epoch {
    fn from(epoch: Epoch) -> Self {
        Self { era: epoch.era, number: epoch.number }
    }
}

impl From<proto::Epoch> for Epoch {
    fn from(epoch: proto::Epoch) -> Self {
        Self { era: epoch.era, number: epoch.number }
    }
}

/// An epoch that a message may leave out; absent is before the founding.
#[must_use]
pub fn epoch(epoch: Option<proto::Epoch>) -> Epoch {
    epoch.map(Epoch::from).unwrap_or_default()
}

impl From<&Error> for proto::Failure {
    fn from(error: &Error) -> Self {
        Self {
            code: error.kind().code().to_owned(),
            message: error.to_string(),
            maybe_applied: error.maybe_applied(),
        }
    }
}

impl From<proto::Failure> for Error {
    fn from(failure: proto::Failure) -> Self {
        let kind = ErrorKind::from_code(&failure.code).unwrap_or(ErrorKind::Internal);
        let message: String = failure.message.chars().take(1_024).collect();
        Error::new(kind, message).maybe_applied_if(failure.maybe_applied)
    }
}

/// Turns an error reply into an error, and gives every other kind back.
///
/// # Errors
/// The error that the peer sent.
pub fn accept_reply(kind: Kind) -> Result<Kind> {
    match kind {
        Kind::Error(failure) => Err(failure.into()),
        other => Ok(other),
    }
}

/// The error for a reply of a kind that does not fit its request.
#[must_use]
pub fn unexpected_reply(to: &str) -> Error {
    Error::invalid(format!("a peer answered {to} with a message of another kind"))
}
