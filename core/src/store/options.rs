//! What a call may say: consistency, quorum sizes, time limit, expiry, context, range.
//! Precedence is call, then bucket, then store; what nobody says is `quorum` and the node's time limit.

use std::time::Duration;

use bytes::Bytes;

use super::context::Context;
use crate::base::error::{Error, Result};
use crate::base::settings::TIMEOUT_MS_MAX;
use crate::ring::{Consistency, Level};

/// How a read is done.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// A named level; not together with `r`.
    pub consistency: Option<Consistency>,
    /// Owners that must answer, 1 to the bucket's n.
    pub r: Option<u32>,
    /// How long the operation may take, above zero and at most a day.
    pub timeout: Option<Duration>,
    /// Whether fallbacks count for owners that are away; not together with the level `all`.
    pub sloppy: Option<bool>,
    /// The caller is an event loop's thread: the first poll neither reads the disk nor waits for it.
    pub event_loop: bool,
}

/// When a value stops being shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ttl {
    /// Never, whatever the bucket says.
    Never,
    /// After this long, in whole milliseconds, rounded up.
    After(Duration),
}

/// How a write is done.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// A named level; not together with `w`.
    pub consistency: Option<Consistency>,
    /// Owners that must have stored it before the call returns, 1 to the bucket's n.
    pub w: Option<u32>,
    /// How long the operation may take, above zero and at most a day.
    pub timeout: Option<Duration>,
    /// Whether fallbacks count for owners that are away; not together with the level `all`.
    pub sloppy: Option<bool>,
    /// When the value expires; unsaid, the bucket's rule holds.
    pub ttl: Option<Ttl>,
    /// What the writer has seen: the siblings that it covers are superseded.
    pub context: Option<Context>,
    /// The caller is an event loop's thread: the first poll neither reads the disk nor waits for it.
    pub event_loop: bool,
}

/// Which keys a scan or count visits, in byte order.
#[derive(Clone, Debug, Default)]
pub struct ScanOptions {
    /// Only keys that begin so.
    pub prefix: Bytes,
    /// Only keys at or after this one.
    pub start: Bytes,
    /// Only keys before this one; empty sets no bound.
    pub end: Bytes,
    /// At most so many items.
    pub limit: Option<u64>,
    /// How each page is read.
    pub read: ReadOptions,
}

/// The level that holds for a call, from what the call says alone; `name` is `r` or `w`.
pub(crate) fn level(
    name: &str,
    consistency: Option<Consistency>,
    count: Option<u32>,
    n: u32,
) -> Result<Option<Level>> {
    match (consistency, count) {
        (Some(_), Some(_)) => {
            Err(Error::invalid(format!("consistency and {name} together: give one of them")))
        }
        (Some(named), None) => Ok(Some(Level::Consistency(named))),
        (None, Some(0)) => Err(Error::invalid(format!("{name}=0: at least one owner must answer"))),
        (None, Some(count)) if count > n => {
            Err(Error::invalid(format!("{name}={count} exceeds the bucket's {n} owners")))
        }
        (None, Some(count)) => Ok(Some(Level::Count(u8::try_from(count).unwrap_or(u8::MAX)))),
        (None, None) => Ok(None),
    }
}

/// Checks a time limit.
pub(crate) fn check_timeout(timeout: Duration) -> Result<Duration> {
    if timeout.is_zero() {
        return Err(Error::invalid("timeout=0: it must be above zero"));
    }
    if timeout > Duration::from_millis(TIMEOUT_MS_MAX) {
        return Err(Error::invalid(format!("timeout={} s exceeds a day", timeout.as_secs())));
    }
    Ok(timeout)
}
