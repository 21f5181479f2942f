//! Requests as routing and coordination take them: resolved against the bucket, with a deadline instead of a timeout.

use bytes::Bytes;

use crate::base::env::Deadline;
use crate::base::ids::{BucketId, Dot, Time};
use crate::causality::{Clock, Record};
use crate::ring::Level;
use crate::wire::{Change, Expiry};

/// Whose thread polls an operation first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caller {
    /// One that may wait for the disk.
    Thread,
    /// An event loop's: the first poll neither reads the disk nor waits for it.
    EventLoop,
}

/// A read of one key.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// The bucket.
    pub bucket: BucketId,
    /// The key.
    pub key: Bytes,
    /// The owners that must answer.
    pub level: Level,
    /// Whether fallbacks count.
    pub sloppy: bool,
    /// When it must have ended.
    pub deadline: Deadline,
    /// Whose thread polls first.
    pub caller: Caller,
}

/// A write of one key.
#[derive(Clone, Debug)]
pub struct WriteRequest {
    /// The bucket.
    pub bucket: BucketId,
    /// The key.
    pub key: Bytes,
    /// The value, or a delete.
    pub change: Change,
    /// When it expires.
    pub expiry: Expiry,
    /// What the writer has seen.
    pub context: Option<Clock>,
    /// The owners that must have stored it.
    pub level: Level,
    /// Whether fallbacks count.
    pub sloppy: bool,
    /// The greatest clock that the writer's handle has been told.
    pub floor: Time,
    /// When it must have ended.
    pub deadline: Deadline,
    /// Whose thread polls first.
    pub caller: Caller,
}

/// What a write did.
#[derive(Clone, Debug)]
pub struct Written {
    /// The id of the write.
    pub dot: Dot,
    /// The clock that covers it and what it superseded.
    pub clock: Clock,
    /// Owners that have stored it.
    pub owners: u32,
    /// Fallbacks that have.
    pub fallbacks: u32,
    /// The coordinator's clock.
    pub now: Time,
}

/// One page of a scan of a bucket.
#[derive(Clone, Debug)]
pub struct ScanRequest {
    /// The bucket.
    pub bucket: BucketId,
    /// The key to begin at.
    pub after: Bytes,
    /// Whether that key is part of the page.
    pub inclusive: bool,
    /// Only keys that begin so.
    pub prefix: Bytes,
    /// Only keys before this one; empty sets no bound.
    pub end: Bytes,
    /// At most so many items.
    pub items_max: u32,
    /// The owners of each partition that must answer.
    pub level: Level,
    /// Whether fallbacks count.
    pub sloppy: bool,
    /// When it must have ended.
    pub deadline: Deadline,
    /// Whose thread polls first.
    pub caller: Caller,
}

/// The records of one page in key order.
#[derive(Clone, Debug, Default)]
pub struct ScannedPage {
    /// Keys with their merged records.
    pub items: Vec<(Bytes, Record)>,
    /// Whether another page may follow.
    pub more: bool,
    /// Where it would begin, exclusive.
    pub last: Bytes,
    /// The coordinator's clock.
    pub now: Time,
}
