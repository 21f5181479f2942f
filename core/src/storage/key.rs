//! Keys of an engine: a space byte, and in the data space the copy and bucket that a record belongs to.
//! `space u8, partition u16, generation u64, bucket u32, key`, all big-endian, so that a copy, and a bucket within it,
//! is one range. The generation is the copy's first number: a copy started anew shares no key with the one before.
//! What owners are owed has a space of its own: `space u8, owner u32, partition u16`, and for a single key `bucket u32, key`.

use bytes::{BufMut, Bytes, BytesMut};

use crate::base::error::{Error, Result};
use crate::base::ids::{BucketId, CopyNumber, NodeNumber, PartitionId};

/// The space of what a node knows about itself: identity, lease, topology, acceptor, copies.
pub const META: u8 = 0;
/// The space of records.
pub const DATA: u8 = 1;
/// The space of hints: what this node owes to owners.
pub const HINTS: u8 = 2;
/// The space that an engine keeps for itself; scans and batches from outside never reach it.
pub(super) const ENGINE: u8 = 0xff;

/// Bytes before the user's key in the data space.
pub const DATA_PREFIX_BYTES: usize = 1 + 2 + 8 + 4;

/// Bytes before bucket and key in the hint space.
const HINT_PREFIX_BYTES: usize = 1 + 4 + 2;

/// A range of keys: from `from` up to and without `to`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// The first key that may be in the range.
    pub from: Bytes,
    /// The first key past it.
    pub to: Bytes,
}

/// The parts of a key in the data space.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DataKey {
    /// The partition that the copy holds.
    pub partition: PartitionId,
    /// The copy's first number.
    pub generation: CopyNumber,
    /// The bucket.
    pub bucket: BucketId,
    /// The user's key, a slice of the input.
    pub key: Bytes,
}

/// The engine key of a record.
#[must_use]
pub fn data_key(partition: PartitionId, generation: CopyNumber, bucket: BucketId, key: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(DATA_PREFIX_BYTES + key.len());
    put_copy(&mut bytes, partition, generation);
    bytes.put_u32(bucket.0);
    bytes.put_slice(key);
    bytes.freeze()
}

/// Takes a key of the data space apart.
///
/// # Errors
/// `Corruption` for a key that `data_key` cannot have made.
pub fn split_data_key(bytes: &Bytes) -> Result<DataKey> {
    let fault = || Error::corrupt(format!("not a key of the data space: {bytes:02x?}"));
    let (prefix, _) = bytes.split_first_chunk::<DATA_PREFIX_BYTES>().ok_or_else(fault)?;
    let [space, p0, p1, g0, g1, g2, g3, g4, g5, g6, g7, b0, b1, b2, b3] = *prefix;
    if space != DATA {
        return Err(fault());
    }
    Ok(DataKey {
        partition: PartitionId(u16::from_be_bytes([p0, p1])),
        generation: CopyNumber(u64::from_be_bytes([g0, g1, g2, g3, g4, g5, g6, g7])),
        bucket: BucketId(u32::from_be_bytes([b0, b1, b2, b3])),
        key: bytes.slice(DATA_PREFIX_BYTES..),
    })
}

/// Everything of one copy.
#[must_use]
pub fn copy_bounds(partition: PartitionId, generation: CopyNumber) -> Bounds {
    let mut from = BytesMut::with_capacity(DATA_PREFIX_BYTES);
    put_copy(&mut from, partition, generation);
    prefix_bounds(&from)
}

/// Everything of one bucket in one copy.
#[must_use]
pub fn bucket_bounds(partition: PartitionId, generation: CopyNumber, bucket: BucketId) -> Bounds {
    prefix_bounds(&data_key(partition, generation, bucket, &[]))
}

/// What an entry of the hint space says: an owner, a partition, and a bucket with a key; none: the partition as a whole.
pub type HintKey = (NodeNumber, PartitionId, Option<(BucketId, Bytes)>);

/// The engine key of a key, or of a partition as a whole, that an owner is owed.
#[must_use]
pub fn hint_key(owner: NodeNumber, partition: PartitionId, key: Option<(BucketId, &[u8])>) -> Bytes {
    let mut bytes = BytesMut::with_capacity(HINT_PREFIX_BYTES + 4 + key.map_or(0, |(_, key)| key.len()));
    bytes.put_u8(HINTS);
    bytes.put_u32(owner.0);
    bytes.put_u16(partition.0);
    if let Some((bucket, key)) = key {
        bytes.put_u32(bucket.0);
        bytes.put_slice(key);
    }
    bytes.freeze()
}

/// Takes a key of the hint space apart.
///
/// # Errors
/// `Corruption` for a key that `hint_key` cannot have made.
pub fn split_hint_key(bytes: &Bytes) -> Result<HintKey> {
    let fault = || Error::corrupt(format!("not a key of the hint space: {bytes:02x?}"));
    let (prefix, rest) = bytes.split_first_chunk::<HINT_PREFIX_BYTES>().ok_or_else(fault)?;
    let [space, o0, o1, o2, o3, p0, p1] = *prefix;
    if space != HINTS {
        return Err(fault());
    }
    let key = match rest.split_first_chunk::<4>() {
        None if rest.is_empty() => None,
        Some((bucket, key)) if !key.is_empty() => {
            Some((BucketId(u32::from_be_bytes(*bucket)), bytes.slice(HINT_PREFIX_BYTES + 4..)))
        }
        _ => return Err(fault()),
    };
    Ok((NodeNumber(u32::from_be_bytes([o0, o1, o2, o3])), PartitionId(u16::from_be_bytes([p0, p1])), key))
}

/// The engine key of something that a node knows about itself.
#[must_use]
pub fn meta_key(name: &str) -> Bytes {
    let mut bytes = BytesMut::with_capacity(1 + name.len());
    bytes.put_u8(META);
    bytes.put_slice(name.as_bytes());
    bytes.freeze()
}

/// Everything in the meta space whose name begins so.
#[must_use]
pub fn meta_bounds(name_prefix: &str) -> Bounds {
    prefix_bounds(&meta_key(name_prefix))
}

/// The keys that begin with these bytes. The prefix is not empty and not all `ff`, as no space byte is `ff`.
#[must_use]
pub fn prefix_bounds(prefix: &[u8]) -> Bounds {
    let mut to = BytesMut::from(prefix);
    while let Some(last) = to.last_mut() {
        if let Some(next) = last.checked_add(1) {
            *last = next;
            break;
        }
        to.truncate(to.len() - 1);
    }
    Bounds { from: Bytes::copy_from_slice(prefix), to: to.freeze() }
}

/// The least key that is greater than this one: where a scan goes on after it.
#[must_use]
pub fn after(key: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(key.len() + 1);
    bytes.put_slice(key);
    bytes.put_u8(0);
    bytes.freeze()
}

fn put_copy(bytes: &mut BytesMut, partition: PartitionId, generation: CopyNumber) {
    bytes.put_u8(DATA);
    bytes.put_u16(partition.0);
    bytes.put_u64(generation.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_key_comes_apart_as_it_was_made() {
        let key = data_key(PartitionId(0x0102), CopyNumber(3), BucketId(4), b"user");
        assert_eq!(&key[..], b"\x01\x01\x02\0\0\0\0\0\0\0\x03\0\0\0\x04user");
        let parts = split_data_key(&key).unwrap();
        assert_eq!((parts.partition, parts.generation), (PartitionId(0x0102), CopyNumber(3)));
        assert_eq!((parts.bucket, &parts.key[..]), (BucketId(4), &b"user"[..]));
        assert!(split_data_key(&key.slice(..14)).is_err());
        assert!(split_data_key(&meta_key("a name that is long enough")).is_err());
    }

    #[test]
    fn a_hint_key_comes_apart_as_it_was_made() {
        let (owner, partition) = (NodeNumber(0x0102_0304), PartitionId(5));
        let key = hint_key(owner, partition, Some((BucketId(6), b"user")));
        assert_eq!(&key[..], b"\x02\x01\x02\x03\x04\0\x05\0\0\0\x06user");
        let user = Bytes::from_static(b"user");
        assert_eq!(split_hint_key(&key).unwrap(), (owner, partition, Some((BucketId(6), user))));
        let whole = hint_key(owner, partition, None);
        assert_eq!(split_hint_key(&whole).unwrap(), (owner, partition, None));
        assert!(whole < key);
        for length in [1, 6, 8, 11] {
            assert!(split_hint_key(&key.slice(..length)).is_err(), "{length} bytes");
        }
        assert!(split_hint_key(&meta_key("a name that is long enough")).is_err());
    }

    #[test]
    fn a_copy_and_a_bucket_are_ranges() {
        let key = |p, g, b, k: &[u8]| data_key(PartitionId(p), CopyNumber(g), BucketId(b), k);
        let inside = |bounds: &Bounds, key: &Bytes| bounds.from <= *key && *key < bounds.to;
        let copy = copy_bounds(PartitionId(u16::MAX), CopyNumber(u64::MAX));
        assert!(inside(&copy, &key(u16::MAX, u64::MAX, u32::MAX, &[0xff; 40])));
        assert!(inside(&copy, &key(u16::MAX, u64::MAX, 0, b"")));
        assert!(!inside(&copy, &key(u16::MAX, u64::MAX - 1, u32::MAX, &[0xff; 40])));
        let bucket = bucket_bounds(PartitionId(1), CopyNumber(2), BucketId(3));
        assert!(inside(&bucket, &key(1, 2, 3, b"")) && inside(&bucket, &key(1, 2, 3, &[0xff; 9])));
        assert!(!inside(&bucket, &key(1, 2, 4, b"")) && !inside(&bucket, &key(1, 2, 2, &[0xff; 9])));
    }

    #[test]
    fn meta_names_are_found_by_their_prefix() {
        let bounds = meta_bounds("copy/");
        assert!(bounds.from <= meta_key("copy/7") && meta_key("copy/7") < bounds.to);
        assert!(meta_key("copy0") >= bounds.to);
        assert!(after(b"a") > Bytes::from_static(b"a") && after(b"a") < Bytes::from_static(b"a\0\0"));
    }
}
