//! What a put may leave behind: at most so many live values and so many bytes per key.
//! A put past a limit is refused and nothing is dropped; a delete is never refused.

use super::siblings::{Payload, Record, Sibling};
use crate::base::error::Detail;
use crate::base::{Error, ErrorKind, Result};

/// The limits of one key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The most live values.
    pub siblings_max: u32,
    /// The most bytes of its values, clock and dots.
    pub record_bytes_max: usize,
}

impl Limits {
    /// Whether a put that added this sibling may leave this record.
    ///
    /// # Errors
    /// `TooManySiblings` past either limit.
    pub fn admit(self, result: &Record, added: &Sibling, now_ms: u64) -> Result<()> {
        if added.payload == Payload::Tombstone {
            return Ok(());
        }
        let live = result.live(now_ms).count();
        let bytes = result.byte_len();
        if live <= usize::try_from(self.siblings_max).unwrap_or(usize::MAX) && bytes <= self.record_bytes_max
        {
            return Ok(());
        }
        let message = format!(
            "the key would have {live} siblings (at most {}) in {bytes} bytes (at most {})",
            self.siblings_max, self.record_bytes_max
        );
        Err(Error::new(ErrorKind::TooManySiblings, message)
            .with_detail(Detail::TooManySiblings { limit: self.siblings_max }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causality::Clock;
    use crate::causality::siblings::tests::{dot, value};

    const LIMITS: Limits = Limits { siblings_max: 2, record_bytes_max: 200 };

    #[test]
    fn a_put_past_the_sibling_limit_is_refused_and_a_resolution_is_not() {
        let two = Record::first(value(1, 1)).put(&Clock::new(), value(1, 2));
        assert!(LIMITS.admit(&two, &value(1, 2), 0).is_ok());
        let three = two.put(&Clock::new(), value(1, 3));
        let error = LIMITS.admit(&three, &value(1, 3), 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooManySiblings);
        let resolved = three.replace(value(1, 4));
        assert!(LIMITS.admit(&resolved, &value(1, 4), 0).is_ok());
    }

    #[test]
    fn tombstones_count_for_nothing() {
        let tombstone = |time| Sibling { dot: dot(1, time), payload: Payload::Tombstone, expires: None };
        let mut record = Record::first(value(1, 1)).put(&Clock::new(), value(1, 2));
        for time in 3..40 {
            record = record.put(&Clock::new(), tombstone(time));
            assert!(LIMITS.admit(&record, &tombstone(time), 0).is_ok());
        }
        let roomy = Limits { record_bytes_max: 10_000, ..LIMITS };
        assert!(roomy.admit(&record, &value(1, 2), 0).is_ok());
    }

    #[test]
    fn a_put_past_the_bytes_limit_is_refused() {
        let big = Sibling { payload: Payload::Value(vec![0; 300].into()), ..value(1, 1) };
        let error = LIMITS.admit(&Record::first(big.clone()), &big, 0).unwrap_err();
        assert!(error.message().contains("at most 200"), "{error}");
    }
}
