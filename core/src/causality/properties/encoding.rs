//! The layout: what is written reads back, equal records have equal bytes, and no input makes a reader panic.

use bytes::Bytes;
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

use super::{any_clock, any_record};
use crate::base::{BucketId, ClusterId, ErrorKind};
use crate::causality::context::{ContextKey, open, seal};
use crate::causality::encoding::{decode, encode, hash_of, merge, winner_of};
use crate::causality::{Clock, Record};

proptest! {
    #[test]
    fn a_record_round_trips(record in any_record()) {
        let bytes = encode(&record);
        prop_assert_eq!(bytes.len(), record.byte_len());
        prop_assert_eq!(&decode(&bytes).unwrap(), &record);
        prop_assert_eq!(hash_of(&bytes).unwrap(), record.hash());
        prop_assert_eq!(winner_of(&bytes).unwrap(), record.winner().map(|winner| winner.dot));
    }

    #[test]
    fn hashes_are_equal_exactly_when_records_are(a in any_record(), b in any_record()) {
        prop_assert_eq!(a.hash() == b.hash(), a == b);
    }

    #[test]
    fn merging_bytes_is_merging_records(a in any_record(), b in any_record()) {
        let (left, right) = (encode(&a), encode(&b));
        let merged = merge(Some(&left), &right).unwrap();
        let expected = a.merge(&b);
        prop_assert_eq!(merged.winner, expected.winner().map(|winner| winner.dot));
        prop_assert_eq!(merged.changed.is_none(), expected == a);
        prop_assert_eq!(merged.changed.unwrap_or(left), encode(&expected));
        prop_assert_eq!(merge(None, &right).unwrap().changed, Some(right));
    }

    #[test]
    fn any_bytes_are_refused_or_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&Bytes::from(bytes))?;
    }

    #[test]
    fn a_damaged_record_is_refused_or_is_another_record(
        record in any_record(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let mut bytes = encode(&record).to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        check(&Bytes::from(bytes))?;
    }

    #[test]
    fn a_clock_round_trips(clock in any_clock()) {
        prop_assert_eq!(Clock::decode(&clock.encode()).unwrap(), clock);
    }

    #[test]
    fn a_token_opens_for_its_key_alone(
        clock in any_clock(),
        key in prop::collection::vec(any::<u8>(), 0..20),
        other in prop::collection::vec(any::<u8>(), 0..20),
        cluster in any::<[u8; 16]>(),
        bucket in any::<u32>(),
    ) {
        let secret = ContextKey([9; 16]);
        let (cluster, bucket) = (ClusterId(cluster), BucketId(bucket));
        let token = seal(&secret, cluster, bucket, &key, &clock);
        prop_assert_eq!(open(&secret, cluster, bucket, &key, &token).unwrap(), clock);
        if key != other {
            let error = open(&secret, cluster, bucket, &other, &token).unwrap_err();
            prop_assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
    }

    #[test]
    fn any_token_is_refused_without_panic(token in prop::collection::vec(any::<u8>(), 0..80)) {
        let error = open(&ContextKey([9; 16]), ClusterId([1; 16]), BucketId(0), b"key", &token).unwrap_err();
        prop_assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}

/// Bytes that decode are exactly what encoding gives back, so there is one form of each record.
fn check(bytes: &Bytes) -> Result<(), proptest::test_runner::TestCaseError> {
    match decode(bytes) {
        Ok(record) => {
            prop_assert_eq!(encode(&record), bytes);
            prop_assert_eq!(hash_of(bytes).unwrap(), record.hash());
            prop_assert!(record == Record::default() || !record.clock.is_empty());
        }
        Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Corruption),
    }
    if let Err(error) = Clock::decode(bytes) {
        prop_assert_eq!(error.kind(), ErrorKind::Corruption);
    }
    Ok(())
}
