//! Floor 4: the operations that a node and a client share, as an application sees them.
//! A `Store` hands out `Bucket`s; an operation is a builder that is a future, and dropping it cancels it. Every
//! operation that can finish without the network or a wait for the disk is ready at its first poll.

mod admin;
mod backend;
mod bucket;
mod context;
mod entry;
mod handle;
mod inquiry;
mod operations;
mod options;
mod scan;

pub use crate::client::{
    ClusterEvent, EventsPage, EventsRequest, Explanation, HeldRecord, ReadAnswer, ReplicaInfo,
};
pub use admin::{BucketInfo, MemberInfo, Status};
pub(crate) use backend::Backend;
pub use bucket::Bucket;
pub use context::Context;
pub use entry::{Entry, Receipt, Value};
pub use handle::{Defaults, Store};
pub use inquiry::ClusterEvents;
pub use operations::{Count, Delete, Get, GetMany, Put, PutMany, Read, Update};
pub(crate) use options::check_timeout;
pub use options::{ReadOptions, ScanOptions, Ttl, WriteOptions};
pub use scan::{Scan, ScanItem};
