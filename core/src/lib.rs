//! Ringkeep: a replicated key-value store that lives inside applications.
//!
//! The floors, lowest first; a module imports only lower ones:
//! `base` (0), `causality`, `consensus` and `ring` (1, pure), `storage` and `wire` (2), `membership`, `replica` and
//! `client` (3), `coordinator`, `repair` and `store` (4), `node` and `remote` (5), `testing` (6).

pub mod base;
pub mod causality;
pub mod client;
pub mod consensus;
pub mod coordinator;
pub mod membership;
pub mod node;
pub mod remote;
pub mod repair;
pub mod replica;
pub mod ring;
pub mod storage;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod wire;

pub use base::{Env, Error, ErrorKind, Result, Settings};
pub use node::{Node, NodeParts};
pub use remote::Client;
pub use store::{Bucket, Context, Entry, ReadOptions, Receipt, ScanOptions, Store, Ttl, WriteOptions};
