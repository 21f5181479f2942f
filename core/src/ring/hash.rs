//! From a key to its place on the ring: token, then partition.
//! Every language and every version computes the same; `tests/vectors/ring.json` holds golden values.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::base::{BucketId, PartitionId};

/// The greatest number of partitions: the ids are 16 bits and a topology of 1,000 nodes stays under a frame.
pub const PARTITIONS_MAX: u32 = 16_384;

/// The token of a key: XXH3-64 over the key, seeded with the bucket's number, so that equal keys of different buckets
/// fall on different partitions.
#[must_use]
pub fn token(bucket: BucketId, key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, u64::from(bucket.0))
}

/// The partition of a token on a ring of `q` equal arcs: its top bits. `q` is a power of two up to `PARTITIONS_MAX`.
#[must_use]
pub fn partition(token: u64, q: u32) -> PartitionId {
    debug_assert!(
        q.is_power_of_two() && q <= PARTITIONS_MAX,
        "q={q} is not a power of two up to {PARTITIONS_MAX}"
    );
    // Widening first makes one arc (q = 1) no special case: a shift by 64 would not be defined for 64 bits.
    let top = (u128::from(token) * u128::from(q)) >> 64;
    PartitionId(u16::try_from(top).expect("a token's top bits are below q, which fits in 16 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_is_the_top_bits_of_the_token() {
        assert_eq!(partition(u64::MAX, 1), PartitionId(0));
        assert_eq!(partition(u64::MAX, 16_384), PartitionId(16_383));
        assert_eq!(partition(0x8000_0000_0000_0000, 2), PartitionId(1));
        assert_eq!(partition(0x7fff_ffff_ffff_ffff, 256), PartitionId(127));
    }

    #[test]
    fn buckets_spread_equal_keys() {
        assert_ne!(token(BucketId(0), b"key"), token(BucketId(1), b"key"));
    }
}
