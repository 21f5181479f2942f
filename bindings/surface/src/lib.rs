//! What every language sees of Ringkeep: handles, operations, options, error codes, the completion queue.
//! The bindings convert, call this crate and convert back; whatever two of them would need stands here, once.
//!
//! An operation is an [`Op`]: nothing happens until it is waited for ([`Op::wait`]) or started ([`Op::start`]). Either
//! way it is polled on the calling thread first, and what is local ends there.

#![forbid(unsafe_code)]

mod admin;
mod bucket;
mod cluster;
mod connect;
mod delivery;
pub mod errors;
mod flights;
pub mod fork;
mod op;
pub mod options;
mod park;
mod queue;
mod runtime;
mod scan;
mod scope;
mod signal;
mod store;
#[cfg(test)]
mod tests;
mod together;

pub use bucket::{BucketHandle, update_options};
pub use cluster::ClusterHandle;
pub use op::{Op, Started, Ticket};
pub use options::{CallOptions, ConnectOptions};
pub use queue::{Queue, Wake};
pub use ringkeep::base::error::{Detail, Error, ErrorKind, Result};
pub use ringkeep::base::settings::{Durability, Settings};
pub use ringkeep::ring::Consistency;
pub use ringkeep::store::{
    BucketInfo, Context, Entry, MemberInfo, ReadOptions, Receipt, ScanItem, ScanOptions, Status, Ttl, Value,
    WriteOptions,
};
pub use scan::ScanHandle;
pub use store::StoreHandle;
