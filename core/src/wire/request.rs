//! Requests and their layouts. A large value or record is always the last field, so that it is sent without a copy.

use bytes::{BufMut, Bytes};

use super::codec::{Reader, put_epoch, put_short_bytes};
use super::frame::Kind;
use super::message::{
    Change, EMPTY, Expiry, KEY_BYTES_MAX, Need, POSITION_BYTES_MAX, Route, VALUE_BYTES_MAX,
};
use crate::base::error::{Error, Result};
use crate::base::ids::{BucketId, Epoch, PartitionId, Time};

/// What one side asks of the other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// To a replica: merge this record.
    Apply {
        /// Where the key belongs.
        route: Route,
        /// The key.
        key: Bytes,
        /// When the record was read by its sender; one captured too long ago is refused.
        captured: Time,
        /// The encoded record.
        record: Bytes,
    },
    /// To a replica: your record of this key, or its hash.
    Fetch {
        /// Where the key belongs.
        route: Route,
        /// The key.
        key: Bytes,
        /// The record rather than its hash.
        full: bool,
    },
    /// To a replica: what your copies hold, in the order of (bucket, key).
    Page {
        /// The sender's epoch.
        epoch: Epoch,
        /// One partition, or every copy that the node owns.
        partition: Option<PartitionId>,
        /// One bucket, or all.
        bucket: Option<BucketId>,
        /// The position (bucket in big-endian, then key) to go on from; empty for the beginning.
        after: Bytes,
        /// Whether a key at `after` itself belongs to the page.
        inclusive: bool,
        /// The position at which the page ends, exclusive; empty for none.
        end: Bytes,
        /// Only keys that begin with this.
        prefix: Bytes,
        /// Most items of the reply.
        items_max: u32,
        /// Bytes after which the reply ends.
        bytes_max: u32,
        /// Records rather than hashes.
        records: bool,
        /// With every copy: the fallback copies, too.
        sloppy: bool,
    },
    /// To a node: coordinate this write.
    Write {
        /// Where the key belongs.
        route: Route,
        /// The key.
        key: Bytes,
        /// The value, or a delete.
        change: Change,
        /// When the value ends.
        expires: Expiry,
        /// The encoded clock that the writer has seen.
        context: Option<Bytes>,
        /// How many replicas must have it before the reply.
        need: Need,
        /// The writer's own clock: the new dot is later.
        floor: Time,
        /// How long the coordinator may take.
        timeout_ms: u32,
    },
    /// To a node: coordinate this read.
    Read {
        /// Where the key belongs.
        route: Route,
        /// The key.
        key: Bytes,
        /// How many replicas must answer.
        need: Need,
        /// How long the coordinator may take.
        timeout_ms: u32,
    },
    /// To a node: coordinate one page of a scan of a bucket.
    Scan {
        /// The bucket.
        bucket: BucketId,
        /// The sender's epoch.
        epoch: Epoch,
        /// The key to go on from; empty for the beginning.
        after: Bytes,
        /// Whether a key equal to `after` belongs to the page.
        inclusive: bool,
        /// The key at which the scan ends, exclusive; empty for none.
        end: Bytes,
        /// Only keys that begin with this.
        prefix: Bytes,
        /// Most items of the reply.
        items_max: u32,
        /// Bytes after which the reply ends.
        bytes_max: u32,
        /// How many replicas of each partition must answer.
        need: Need,
        /// How long the coordinator may take.
        timeout_ms: u32,
        /// Records rather than keys alone.
        values: bool,
        /// Whether fallbacks count, and what they hold is listed.
        sloppy: bool,
    },
    /// A message of `proto/control.proto`.
    Control(Bytes),
}

const FLAG_INCLUSIVE: u8 = 1;
const FLAG_CONTENTS: u8 = 2;
const FLAG_PARTITION: u8 = 4;
const FLAG_BUCKET: u8 = 8;
const FLAG_SLOPPY: u8 = 16;

impl Request {
    /// The kind of frame that carries it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Apply { .. } => Kind::Apply,
            Self::Fetch { .. } => Kind::Fetch,
            Self::Page { .. } => Kind::Page,
            Self::Write { .. } => Kind::Write,
            Self::Read { .. } => Kind::Read,
            Self::Scan { .. } => Kind::Scan,
            Self::Control(_) => Kind::ControlRequest,
        }
    }

    /// Appends all but a large last field to `head`, and returns that field: the body is the one behind the other.
    pub fn encode<'a>(&'a self, head: &mut Vec<u8>) -> &'a Bytes {
        match self {
            Self::Apply { route, key, captured, record } => {
                route.put(head);
                head.put_u64_le(captured.0);
                put_short_bytes(head, key);
                record
            }
            Self::Fetch { route, key, full } => {
                route.put(head);
                head.put_u8(u8::from(*full));
                put_short_bytes(head, key);
                &EMPTY
            }
            Self::Read { route, key, need, timeout_ms } => {
                route.put(head);
                need.put(head);
                head.put_u32_le(*timeout_ms);
                put_short_bytes(head, key);
                &EMPTY
            }
            Self::Write { .. } => self.encode_write(head),
            Self::Page { .. } => self.encode_page(head),
            Self::Scan { .. } => self.encode_scan(head),
            Self::Control(bytes) => bytes,
        }
    }

    fn encode_write<'a>(&'a self, head: &mut Vec<u8>) -> &'a Bytes {
        let Self::Write { route, key, change, expires, context, need, floor, timeout_ms } = self else {
            return &EMPTY;
        };
        route.put(head);
        need.put(head);
        head.put_u64_le(floor.0);
        head.put_u32_le(*timeout_ms);
        expires.put(head);
        put_short_bytes(head, key);
        head.put_u8(u8::from(context.is_some()));
        if let Some(context) = context {
            put_short_bytes(head, context);
        }
        let (tag, value) = match change {
            Change::Tombstone => (0, &EMPTY),
            Change::Value(value) => (1, value),
        };
        head.put_u8(tag);
        value
    }

    fn encode_page<'a>(&'a self, head: &mut Vec<u8>) -> &'a Bytes {
        let Self::Page {
            epoch,
            partition,
            bucket,
            after,
            inclusive,
            end,
            prefix,
            items_max,
            bytes_max,
            records,
            sloppy,
        } = self
        else {
            return &EMPTY;
        };
        put_epoch(head, *epoch);
        let mut flags = flag(*inclusive, FLAG_INCLUSIVE) | flag(*records, FLAG_CONTENTS);
        flags |= flag(partition.is_some(), FLAG_PARTITION) | flag(bucket.is_some(), FLAG_BUCKET);
        flags |= flag(*sloppy, FLAG_SLOPPY);
        head.put_u8(flags);
        head.put_u16_le(partition.unwrap_or_default().0);
        head.put_u32_le(bucket.unwrap_or_default().0);
        head.put_u32_le(*items_max);
        head.put_u32_le(*bytes_max);
        [after, end, prefix].into_iter().for_each(|bytes| put_short_bytes(head, bytes));
        &EMPTY
    }

    fn encode_scan<'a>(&'a self, head: &mut Vec<u8>) -> &'a Bytes {
        let Self::Scan {
            bucket,
            epoch,
            after,
            inclusive,
            end,
            prefix,
            items_max,
            bytes_max,
            need,
            timeout_ms,
            values,
            sloppy,
        } = self
        else {
            return &EMPTY;
        };
        head.put_u32_le(bucket.0);
        put_epoch(head, *epoch);
        let flags = flag(*inclusive, FLAG_INCLUSIVE) | flag(*values, FLAG_CONTENTS);
        head.put_u8(flags | flag(*sloppy, FLAG_SLOPPY));
        need.put(head);
        head.put_u32_le(*timeout_ms);
        head.put_u32_le(*items_max);
        head.put_u32_le(*bytes_max);
        [after, end, prefix].into_iter().for_each(|bytes| put_short_bytes(head, bytes));
        &EMPTY
    }

    /// Reads the body of a frame of this kind; the parts are slices of it.
    ///
    /// # Errors
    /// `Corruption` for a body that breaks the layout or a limit, or a kind that is no request.
    pub fn decode(kind: Kind, body: Bytes) -> Result<Self> {
        let mut reader = Reader::new(body);
        let request = match kind {
            Kind::Apply => Self::Apply {
                route: Route::read(&mut reader)?,
                captured: reader.time()?,
                key: reader.short_bytes(KEY_BYTES_MAX)?,
                record: reader.rest(usize::MAX)?,
            },
            Kind::Fetch => Self::Fetch {
                route: Route::read(&mut reader)?,
                full: reader.bool()?,
                key: reader.short_bytes(KEY_BYTES_MAX)?,
            },
            Kind::Read => Self::Read {
                route: Route::read(&mut reader)?,
                need: Need::read(&mut reader)?,
                timeout_ms: reader.u32()?,
                key: reader.short_bytes(KEY_BYTES_MAX)?,
            },
            Kind::Write => Self::decode_write(&mut reader)?,
            Kind::Page => Self::decode_page(&mut reader)?,
            Kind::Scan => Self::decode_scan(&mut reader)?,
            Kind::ControlRequest => Self::Control(reader.rest(usize::MAX)?),
            other => return Err(Error::corrupt(format!("{other:?} is no request"))),
        };
        reader.end()?;
        Ok(request)
    }

    fn decode_write(reader: &mut Reader) -> Result<Self> {
        Ok(Self::Write {
            route: Route::read(reader)?,
            need: Need::read(reader)?,
            floor: reader.time()?,
            timeout_ms: reader.u32()?,
            expires: Expiry::read(reader)?,
            key: reader.short_bytes(KEY_BYTES_MAX)?,
            context: if reader.bool()? { Some(reader.short_bytes(usize::MAX)?) } else { None },
            change: if reader.bool()? {
                Change::Value(reader.rest(VALUE_BYTES_MAX)?)
            } else {
                Change::Tombstone
            },
        })
    }

    fn decode_page(reader: &mut Reader) -> Result<Self> {
        let epoch = reader.epoch()?;
        let known = FLAG_INCLUSIVE | FLAG_CONTENTS | FLAG_PARTITION | FLAG_BUCKET | FLAG_SLOPPY;
        let flags = read_flags(reader, known)?;
        let (partition, bucket) = (reader.partition()?, reader.bucket()?);
        Ok(Self::Page {
            epoch,
            partition: flagged(partition, flags & FLAG_PARTITION != 0)?,
            bucket: flagged(bucket, flags & FLAG_BUCKET != 0)?,
            inclusive: flags & FLAG_INCLUSIVE != 0,
            records: flags & FLAG_CONTENTS != 0,
            sloppy: flags & FLAG_SLOPPY != 0,
            items_max: reader.u32()?,
            bytes_max: reader.u32()?,
            after: reader.short_bytes(POSITION_BYTES_MAX)?,
            end: reader.short_bytes(POSITION_BYTES_MAX)?,
            prefix: reader.short_bytes(KEY_BYTES_MAX)?,
        })
    }

    fn decode_scan(reader: &mut Reader) -> Result<Self> {
        let bucket = reader.bucket()?;
        let epoch = reader.epoch()?;
        let flags = read_flags(reader, FLAG_INCLUSIVE | FLAG_CONTENTS | FLAG_SLOPPY)?;
        Ok(Self::Scan {
            bucket,
            epoch,
            inclusive: flags & FLAG_INCLUSIVE != 0,
            values: flags & FLAG_CONTENTS != 0,
            sloppy: flags & FLAG_SLOPPY != 0,
            need: Need::read(reader)?,
            timeout_ms: reader.u32()?,
            items_max: reader.u32()?,
            bytes_max: reader.u32()?,
            after: reader.short_bytes(KEY_BYTES_MAX)?,
            end: reader.short_bytes(KEY_BYTES_MAX)?,
            prefix: reader.short_bytes(KEY_BYTES_MAX)?,
        })
    }
}

fn flag(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

fn read_flags(reader: &mut Reader, known: u8) -> Result<u8> {
    match reader.u8()? {
        flags if flags & !known == 0 => Ok(flags),
        flags => Err(Error::corrupt(format!("message has unknown flags {flags:#010b}"))),
    }
}

/// A number that is there if flagged, and is 0 if not.
fn flagged<T: Default + PartialEq + std::fmt::Display>(number: T, there: bool) -> Result<Option<T>> {
    if there {
        Ok(Some(number))
    } else if number == T::default() {
        Ok(None)
    } else {
        Err(Error::corrupt(format!("message has {number} where its flags say nothing stands")))
    }
}
