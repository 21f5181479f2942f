//! Minting a version: what a coordinating owner does first. Pure but for the record that it is given: the rules of
//! DESIGN.md section 3 for what a write supersedes, what it is refused for, and when a clock is cut by force.

use bytes::Bytes;

use crate::base::error::{Error, ErrorKind};
use crate::base::ids::{Actor, BucketId, Dot, PartitionId, Time};
use crate::causality::truncation::truncate_forced;
use crate::causality::{Clock, Payload, Record, Sibling};
use crate::storage::engine::Lsn;

use super::store::Limits;

/// What a write supersedes.
#[derive(Clone, Debug)]
pub enum Basis {
    /// What the coordinator has stored: a put without context in `lww`, a delete without context.
    Stored,
    /// What its writer has seen.
    Seen(Clock),
    /// Nothing: a put without context in `siblings`.
    Nothing,
}

/// A write to be minted.
#[derive(Clone, Debug)]
pub struct Mint {
    /// The partition of the key.
    pub partition: PartitionId,
    /// The bucket.
    pub bucket: BucketId,
    /// The key.
    pub key: Bytes,
    /// The value, or the tombstone of a delete.
    pub payload: Payload,
    /// Unix milliseconds at which it stops being shown.
    pub expires: Option<u64>,
    /// What it supersedes.
    pub basis: Basis,
    /// The greatest clock that the writer's handle has been told.
    pub floor: Time,
}

/// A version that was minted and stored.
#[derive(Clone, Debug)]
pub struct Minted {
    /// The id of the write.
    pub dot: Dot,
    /// The clock of the whole record, which covers the write and all that it superseded.
    pub clock: Clock,
    /// The whole record, encoded, to send to the other owners.
    pub record: Bytes,
    /// The node's clock when the record was made: it is sent with it.
    pub captured: Time,
    /// The batch to wait for.
    pub lsn: Lsn,
}

/// Why nothing was minted or merged.
#[derive(Debug)]
pub enum Refusal {
    /// The clock's lease must be extended to this time first.
    Lease(Time),
    /// The record to merge was captured too long before the node's clock.
    Stale {
        /// When it was captured.
        captured: Time,
        /// The node's clock.
        now: Time,
    },
    /// The write is refused.
    Error(Error),
}

impl Refusal {
    /// The time to which the lease must be extended before another try.
    ///
    /// # Errors
    /// The refusal, where trying again would not help.
    pub fn lease(self) -> Result<Time, Error> {
        match self {
            Self::Lease(needed) => Ok(needed),
            Self::Stale { captured, now } => {
                let age_ms = now.unix_ms().saturating_sub(captured.unix_ms());
                Err(Error::new(ErrorKind::Timeout, format!("the record was captured {age_ms} ms ago")))
            }
            Self::Error(error) => Err(error),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// The record after a write, given what is stored and a tick of the node's clock.
pub(super) fn next_record(
    stored: Record,
    mint: &Mint,
    actor: Actor,
    tick: Time,
    now_ms: u64,
    limits: &Limits,
) -> Result<(Record, Dot), Error> {
    // Later than every time in the joined clock; the node's own clock is not raised by it, so that one bad clock
    // does not spread. Unique all the same: a copy's dots for one key lie in that key's clock.
    let seen = match &mint.basis {
        Basis::Seen(context) => stored.clock.greatest().max(context.greatest()),
        Basis::Stored | Basis::Nothing => stored.clock.greatest(),
    };
    let time = tick.max(seen.next());
    if time >= Time::LIMIT {
        return Err(Error::new(ErrorKind::ClockSkew, "the key's clock has no time left above it"));
    }
    let dot = Dot { time, actor };
    let sibling = Sibling { dot, payload: mint.payload.clone(), expires: mint.expires };
    let record = match &mint.basis {
        Basis::Stored => stored.replace(sibling.clone()),
        Basis::Seen(context) => stored.put(context, sibling.clone()),
        Basis::Nothing => stored.put(&Clock::new(), sibling.clone()),
    };
    let record = truncate_forced(record, limits.clock_entries_max);
    limits.record.admit(&record, &sibling, now_ms)?;
    Ok((record, dot))
}
