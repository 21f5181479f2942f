//! What requests and responses are made of, and the limits of their parts. docs/FORMATS.md has the layouts.

use bytes::{BufMut, Bytes};

use super::codec::{Reader, put_epoch};
use crate::base::error::{Error, Result};
use crate::base::ids::{BucketId, Epoch, PartitionId};

/// Most bytes of a key on the wire.
pub const KEY_BYTES_MAX: usize = 4_096;

/// Most bytes of a value on the wire.
pub const VALUE_BYTES_MAX: usize = 8 << 20;

/// Most bytes of a position in a copy: a bucket's number and a key.
pub(super) const POSITION_BYTES_MAX: usize = 4 + KEY_BYTES_MAX;

/// Nothing: the second part of a message that has only one.
pub(super) static EMPTY: Bytes = Bytes::new();

/// Where a request about one key goes, and under which topology the sender worked that out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// The bucket.
    pub bucket: BucketId,
    /// The partition of the key.
    pub partition: PartitionId,
    /// The sender's epoch.
    pub epoch: Epoch,
    /// Whether fallbacks take part beside the owners.
    pub sloppy: bool,
}

impl Route {
    pub(super) fn put(self, out: &mut Vec<u8>) {
        out.put_u32_le(self.bucket.0);
        out.put_u16_le(self.partition.0);
        put_epoch(out, self.epoch);
        out.put_u8(u8::from(self.sloppy));
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self> {
        Ok(Self {
            bucket: reader.bucket()?,
            partition: reader.partition()?,
            epoch: reader.epoch()?,
            sloppy: reader.bool()?,
        })
    }
}

/// A position in a copy as it stands in a message: the bucket's number, big-endian, then the key.
#[must_use]
pub fn position(bucket: BucketId, key: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(4 + key.len());
    bytes.extend_from_slice(&bucket.0.to_be_bytes());
    bytes.extend_from_slice(key);
    bytes.into()
}

/// How many replicas must answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// What the bucket says.
    Default,
    /// This many.
    Count(u8),
    /// A consistency level, by its code.
    Level(u8),
}

impl Need {
    pub(super) fn put(self, out: &mut Vec<u8>) {
        let (tag, number) = match self {
            Self::Default => (0, 0),
            Self::Count(count) => (1, count),
            Self::Level(level) => (2, level),
        };
        out.put_slice(&[tag, number]);
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self> {
        match (reader.u8()?, reader.u8()?) {
            (0, 0) => Ok(Self::Default),
            (1, count) => Ok(Self::Count(count)),
            (2, level) => Ok(Self::Level(level)),
            (tag, number) => Err(Error::corrupt(format!("message has the unknown need {tag}:{number}"))),
        }
    }
}

/// What a write leaves behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A value.
    Value(Bytes),
    /// Nothing: a delete.
    Tombstone,
}

/// When a written value ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expiry {
    /// After the bucket's TTL, if it has one.
    Bucket,
    /// Never, whatever the bucket says.
    Never,
    /// This many milliseconds after the coordinator's clock.
    AfterMs(u64),
}

impl Expiry {
    pub(super) fn put(self, out: &mut Vec<u8>) {
        match self {
            Self::Bucket => out.put_u8(0),
            Self::Never => out.put_u8(1),
            Self::AfterMs(after) => {
                out.put_u8(2);
                out.put_u64_le(after);
            }
        }
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self> {
        match reader.u8()? {
            0 => Ok(Self::Bucket),
            1 => Ok(Self::Never),
            2 => Ok(Self::AfterMs(reader.u64()?)),
            tag => Err(Error::corrupt(format!("message has the unknown expiry {tag}"))),
        }
    }
}

/// One key of a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PageItem {
    /// Its bucket.
    pub bucket: BucketId,
    /// Its partition.
    pub partition: PartitionId,
    /// The key.
    pub key: Bytes,
    /// The record, or the 16 bytes of its hash, or nothing, as the request asked.
    pub content: Bytes,
}
