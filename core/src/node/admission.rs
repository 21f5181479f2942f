//! Whom this node takes on: requests that others ask it to coordinate, so many and so large at once. What is over the
//! limit is refused at the cost of a few bytes, so that under any load the node goes on answering what it took.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::settings::Settings;
use crate::wire::{Change, Request};

/// What is being coordinated for others.
#[derive(Debug)]
pub(super) struct Admission {
    requests: AtomicU64,
    bytes: AtomicU64,
    requests_max: u64,
    bytes_max: u64,
    refused: AtomicU64,
}

/// A place among what is being coordinated.
#[derive(Debug)]
pub(super) struct Admitted {
    admission: Arc<Admission>,
    bytes: u64,
}

impl Admission {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            requests_max: settings.coordinating_max.into(),
            bytes_max: settings.coordinating_bytes_max,
            refused: AtomicU64::new(0),
        }
    }

    /// Takes a request on.
    ///
    /// # Errors
    /// `Overloaded`; nothing was done.
    pub(super) fn admit(self: &Arc<Self>, request: &Request) -> Result<Admitted> {
        let bytes = bytes_of(request);
        // Counted first and judged then, so that two that race are not both let in; both leave by their drop.
        let requests = self.requests.fetch_add(1, Ordering::AcqRel) + 1;
        let total = self.bytes.fetch_add(bytes, Ordering::AcqRel) + bytes;
        let admitted = Admitted { admission: Arc::clone(self), bytes };
        if requests > self.requests_max {
            return Err(self.full(format!("{} requests are being coordinated", self.requests_max)));
        }
        // One that is larger than the limit alone is let in when there is no other.
        if total > self.bytes_max && total > bytes {
            return Err(self.full(format!("{} bytes are being coordinated", total - bytes)));
        }
        Ok(admitted)
    }

    /// How many requests were refused.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn full(&self, what: String) -> Error {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Error::new(ErrorKind::Overloaded, what)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.requests.fetch_sub(1, Ordering::AcqRel);
        self.admission.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// What a request holds in memory beyond its fixed parts.
fn bytes_of(request: &Request) -> u64 {
    let held = match request {
        Request::Write { key, change, context, .. } => {
            let value = match change {
                Change::Value(value) => value.len(),
                Change::Tombstone => 0,
            };
            key.len() + value + context.as_ref().map_or(0, bytes::Bytes::len)
        }
        Request::Read { key, .. } => key.len(),
        _ => 0,
    };
    held as u64
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::base::ids::{BucketId, Epoch, PartitionId, Time};
    use crate::wire::{Expiry, Need, Route};

    fn write(bytes: usize) -> Request {
        Request::Write {
            route: Route {
                bucket: BucketId(0),
                partition: PartitionId(0),
                epoch: Epoch::default(),
                sloppy: false,
            },
            key: Bytes::new(),
            change: Change::Value(vec![0; bytes].into()),
            expires: Expiry::Never,
            context: None,
            need: Need::Default,
            floor: Time(0),
            timeout_ms: 1,
        }
    }

    fn admission(coordinating_max: u32, coordinating_bytes_max: u64) -> Arc<Admission> {
        Arc::new(Admission::new(&Settings {
            coordinating_max,
            coordinating_bytes_max,
            ..Settings::default()
        }))
    }

    #[test]
    fn what_is_over_a_limit_is_refused_until_something_has_left() {
        let admission = admission(2, 1_000);
        let (first, second) = (admission.admit(&write(10)).unwrap(), admission.admit(&write(10)).unwrap());
        assert_eq!(admission.admit(&write(10)).unwrap_err().kind(), ErrorKind::Overloaded);
        drop(first);
        let third = admission.admit(&write(985)).unwrap();
        drop(second);
        assert_eq!(admission.admit(&write(16)).unwrap_err().kind(), ErrorKind::Overloaded);
        drop(third);
        assert_eq!((admission.refused(), admission.requests.load(Ordering::Relaxed)), (2, 0));
    }

    #[test]
    fn a_request_larger_than_the_limit_is_let_in_alone() {
        let admission = admission(2, 1_000);
        let large = admission.admit(&write(5_000)).unwrap();
        assert!(admission.admit(&write(1)).is_err());
        drop(large);
        assert!(admission.admit(&write(1)).is_ok());
    }
}
