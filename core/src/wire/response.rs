//! Responses and their layouts. A large record is always the last field, so that it is sent without a copy.

use bytes::{BufMut, Bytes};

use super::codec::{Reader, put_dot, put_epoch, put_long_bytes, put_short_bytes};
use super::failure;
use super::frame::Kind;
use super::message::{EMPTY, KEY_BYTES_MAX, PageItem};
use crate::base::error::{Error, Result};
use crate::base::ids::{Dot, Epoch, Time};

/// What is answered. `now` is the answering node's clock.
#[derive(Clone, Debug)]
pub enum Response {
    /// The record was merged.
    Applied {
        /// The dot of the version that the replica now shows in `lww`.
        winner: Dot,
        /// The replica's clock.
        now: Time,
    },
    /// The record, if there is one.
    Record {
        /// The encoded record.
        record: Option<Bytes>,
        /// The node's clock.
        now: Time,
    },
    /// The record's hash, if there is a record.
    Digest {
        /// The hash.
        hash: Option<u128>,
        /// The replica's clock.
        now: Time,
    },
    /// Some keys, in order.
    Page {
        /// The keys.
        items: Vec<PageItem>,
        /// Whether more follow.
        more: bool,
        /// The node's clock.
        now: Time,
    },
    /// The write is held by as many replicas as it needed.
    Written {
        /// Its dot.
        dot: Dot,
        /// The encoded clock of the record after it.
        clock: Bytes,
        /// Owners that have it.
        owners: u8,
        /// Fallbacks that have it.
        fallbacks: u8,
        /// The coordinator's clock.
        now: Time,
    },
    /// The request's epoch is older than the last change of what it is about.
    StaleEpoch {
        /// The answering node's epoch.
        epoch: Epoch,
    },
    /// The node holds no copy of the partition.
    NotOwner {
        /// The answering node's epoch.
        epoch: Epoch,
    },
    /// The record was captured too long before the replica's clock, and nothing was merged. Read again, it may be sent
    /// again: captured no earlier than this answer was heard.
    StaleRecord {
        /// The replica's clock.
        now: Time,
    },
    /// A message of `proto/control.proto`.
    Control(Bytes),
    /// The request failed; the error says whether it may have been applied.
    Failed(Error),
}

/// Least bytes of an item on a page: bucket, partition and the two lengths.
const ITEM_BYTES_MIN: usize = 4 + 2 + 2 + 4;

impl Response {
    /// The kind of frame that carries it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Applied { .. } => Kind::Applied,
            Self::Record { .. } => Kind::Record,
            Self::Digest { .. } => Kind::Digest,
            Self::Page { .. } => Kind::PageReply,
            Self::Written { .. } => Kind::Written,
            Self::StaleEpoch { .. } => Kind::StaleEpoch,
            Self::NotOwner { .. } => Kind::NotOwner,
            Self::StaleRecord { .. } => Kind::StaleRecord,
            Self::Control(_) => Kind::ControlResponse,
            Self::Failed(_) => Kind::Failed,
        }
    }

    /// A failure as an error, anything else as it is.
    ///
    /// # Errors
    /// The peer's, if this is `Failed`.
    pub fn into_result(self) -> Result<Self> {
        match self {
            Self::Failed(error) => Err(error),
            other => Ok(other),
        }
    }

    /// Appends all but a large last field to `head`, and returns that field: the body is the one behind the other.
    pub fn encode<'a>(&'a self, head: &mut Vec<u8>) -> &'a Bytes {
        match self {
            Self::Applied { winner, now } => {
                head.put_u64_le(now.0);
                put_dot(head, *winner);
                &EMPTY
            }
            Self::Record { record, now } => {
                head.put_u64_le(now.0);
                head.put_u8(u8::from(record.is_some()));
                record.as_ref().unwrap_or(&EMPTY)
            }
            Self::Digest { hash, now } => {
                head.put_u64_le(now.0);
                head.put_u8(u8::from(hash.is_some()));
                if let Some(hash) = hash {
                    head.put_u128_le(*hash);
                }
                &EMPTY
            }
            Self::Page { items, more, now } => {
                head.put_u64_le(now.0);
                head.put_u8(u8::from(*more));
                head.put_u32_le(u32::try_from(items.len()).expect("a frame holds fewer than 2^32 items"));
                items.iter().for_each(|item| put_item(head, item));
                &EMPTY
            }
            Self::Written { dot, clock, owners, fallbacks, now } => {
                head.put_u64_le(now.0);
                put_dot(head, *dot);
                head.put_slice(&[*owners, *fallbacks]);
                clock
            }
            Self::StaleEpoch { epoch } | Self::NotOwner { epoch } => {
                put_epoch(head, *epoch);
                &EMPTY
            }
            Self::StaleRecord { now } => {
                head.put_u64_le(now.0);
                &EMPTY
            }
            Self::Control(bytes) => bytes,
            Self::Failed(error) => {
                failure::encode(head, error);
                &EMPTY
            }
        }
    }

    /// Reads the body of a frame of this kind; the parts are slices of it.
    ///
    /// # Errors
    /// `Corruption` for a body that breaks the layout or a limit, or a kind that is no response.
    pub fn decode(kind: Kind, body: Bytes) -> Result<Self> {
        let mut reader = Reader::new(body);
        let response = match kind {
            Kind::Applied => Self::Applied { now: reader.time()?, winner: reader.dot()? },
            Kind::Record => {
                let now = reader.time()?;
                let record = if reader.bool()? { Some(reader.rest(usize::MAX)?) } else { None };
                Self::Record { record, now }
            }
            Kind::Digest => {
                let now = reader.time()?;
                let hash = if reader.bool()? { Some(reader.u128()?) } else { None };
                Self::Digest { hash, now }
            }
            Kind::PageReply => {
                Self::Page { now: reader.time()?, more: reader.bool()?, items: read_items(&mut reader)? }
            }
            Kind::Written => Self::Written {
                now: reader.time()?,
                dot: reader.dot()?,
                owners: reader.u8()?,
                fallbacks: reader.u8()?,
                clock: reader.rest(usize::MAX)?,
            },
            Kind::StaleEpoch => Self::StaleEpoch { epoch: reader.epoch()? },
            Kind::NotOwner => Self::NotOwner { epoch: reader.epoch()? },
            Kind::StaleRecord => Self::StaleRecord { now: reader.time()? },
            Kind::ControlResponse => Self::Control(reader.rest(usize::MAX)?),
            Kind::Failed => Self::Failed(failure::decode(&mut reader)?),
            other => return Err(Error::corrupt(format!("{other:?} is no response"))),
        };
        reader.end()?;
        Ok(response)
    }
}

fn put_item(head: &mut Vec<u8>, item: &PageItem) {
    head.put_u32_le(item.bucket.0);
    head.put_u16_le(item.partition.0);
    put_short_bytes(head, &item.key);
    put_long_bytes(head, &item.content);
}

fn read_items(reader: &mut Reader) -> Result<Vec<PageItem>> {
    let count = reader.u32()?;
    let most = reader.left() / ITEM_BYTES_MIN;
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count <= most)
        .ok_or_else(|| Error::corrupt(format!("page says {count} items where {most} have room")))?;
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        items.push(PageItem {
            bucket: reader.bucket()?,
            partition: reader.partition()?,
            key: reader.short_bytes(KEY_BYTES_MAX)?,
            content: reader.long_bytes(usize::MAX)?,
        });
    }
    Ok(items)
}
