#![allow(dead_code, reason = "the core's own fields that a map has no use for")]
//! A store in memory with the core's public API, so that the bindings can be built and tried before the core has its
//! node. One process, one node, no network. A key that begins with `slow:` answers after 20 ms, to try what waits.

pub mod base {
    //! The core's own.
    pub use ringkeep::base::*;
}
pub mod causality {
    //! The core's own.
    pub use ringkeep::causality::context::{open, seal};
    pub use ringkeep::causality::*;
}
pub mod node;
pub mod ring;
pub mod store;
pub mod testing;
pub mod wire;

pub use node::{Client, Node};
pub use store::{
    Bucket, Context, Entry, ReadOptions, Receipt, Scan, ScanItem, ScanOptions, Store, Ttl, WriteOptions,
};
