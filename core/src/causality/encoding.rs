//! The one layout of a record, for disk and wire; docs/FORMATS.md describes it, tests/vectors/causality.json pins it.
//! A header (clock, then dots, kinds and expiry) precedes the payloads, so that hash and winner need no payload.
//! Decoding bounds everything by the input, shares values with it, and accepts only what `encode` would write.

use bytes::Bytes;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128;

use super::cursor::{Cursor, ENTRY_LEN, put_entry, put_varint, varint_len};
use super::siblings::{Payload, Record, RecordHash, Sibling, Siblings};
use super::version::Clock;
use crate::base::{Dot, Error, Result};

/// The version that `encode` writes.
const VERSION: u8 = 1;
/// Set in a sibling's kind if it has a payload; otherwise it is a tombstone.
const KIND_VALUE: u8 = 1;
/// Set in a sibling's kind if an expiry follows.
const KIND_EXPIRES: u8 = 2;
/// The least bytes of a sibling's header: place of its actor, kind, time.
const SIBLING_LEN_MIN: usize = 10;

/// Writes a record in one buffer of exactly its size.
#[must_use]
pub fn encode(record: &Record) -> Bytes {
    let mut out = Vec::with_capacity(encoded_len(record));
    encode_into(record, &mut out);
    Bytes::from(out)
}

/// Appends a record to a buffer.
pub fn encode_into(record: &Record, out: &mut Vec<u8>) {
    out.push(VERSION);
    put_header(record, out);
    for value in values(record) {
        put_varint(out, value.len());
    }
    for value in values(record) {
        out.extend_from_slice(value);
    }
}

/// The length of what `encode` writes.
#[must_use]
pub fn encoded_len(record: &Record) -> usize {
    let payloads: usize = values(record).map(|value| varint_len(value.len()) + value.len()).sum();
    1 + header_len(record) + payloads
}

/// Reads a record; its values are slices of the input.
///
/// # Errors
/// `Corruption` for everything that `encode` would not have written: another version, unsorted or repeated actors
/// or dots, a dot that the clock does not cover, times of 2^63 or more, and bytes too few or too many.
pub fn decode(bytes: &Bytes) -> Result<Record> {
    let mut cursor = Cursor::new(bytes);
    let (clock, count) = read_clock(&mut cursor)?;
    let mut siblings = Siblings::with_capacity(count);
    read_siblings(&mut cursor, &clock, count, |dot, kind, expires| {
        // The lengths stand behind the last header, so values are filled in by the second pass.
        let payload = if kind & KIND_VALUE == 0 { Payload::Tombstone } else { Payload::Value(Bytes::new()) };
        siblings.push(Sibling { dot, payload, expires });
    })?;
    let mut lengths: SmallVec<[usize; 4]> = SmallVec::new();
    let mut total: usize = 0;
    for sibling in &siblings {
        if matches!(sibling.payload, Payload::Value(_)) {
            let length = cursor.varint("value length")?;
            total = total.saturating_add(length);
            lengths.push(length);
        }
    }
    if total != cursor.remaining() {
        return Err(Error::corrupt(format!("values of {total} bytes, {} are left", cursor.remaining())));
    }
    let mut at = bytes.len() - total;
    let mut lengths = lengths.into_iter();
    for sibling in &mut siblings {
        if let Payload::Value(value) = &mut sibling.payload {
            let end = at + lengths.next().unwrap_or_default();
            *value = bytes.slice(at..end);
            at = end;
        }
    }
    Ok(Record { clock, siblings })
}

/// The hash of an encoded record, read from its header alone.
///
/// # Errors
/// `Corruption` as in `decode`, as far as the header shows it.
pub fn hash_of(bytes: &[u8]) -> Result<RecordHash> {
    let (header, _) = read_header(bytes)?;
    Ok(RecordHash(xxh3_128(header)))
}

/// The greatest dot of an encoded record, read from its header alone.
///
/// # Errors
/// `Corruption` as in `decode`, as far as the header shows it.
pub fn winner_of(bytes: &[u8]) -> Result<Option<Dot>> {
    read_header(bytes).map(|(_, winner)| winner)
}

/// What merging an encoded record into a stored one comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Merged {
    /// What to store now; none if the stored record already contains the incoming one.
    /// It may share the incoming record's buffer.
    pub changed: Option<Bytes>,
    /// The greatest dot of the merged record; an owner's acknowledgement names it.
    pub winner: Option<Dot>,
}

/// Merges an encoded record into a stored one, encoding again only if neither contains the other.
///
/// # Errors
/// `Corruption` if either is not a record.
pub fn merge(stored: Option<&Bytes>, incoming: &Bytes) -> Result<Merged> {
    let new = decode(incoming)?;
    let Some(stored) = stored else {
        return Ok(Merged { winner: new.winner().map(|winner| winner.dot), changed: Some(incoming.clone()) });
    };
    let old = decode(stored)?;
    let (changed, result) = if new.contains(&old) {
        // Each contains the other only if they are equal.
        if old.contains(&new) { (None, old) } else { (Some(incoming.clone()), new) }
    } else if old.contains(&new) {
        (None, old)
    } else {
        let both = old.merge(&new);
        (Some(encode(&both)), both)
    };
    Ok(Merged { changed, winner: result.winner().map(|winner| winner.dot) })
}

/// The hash of a record: xxh3 with 128 bits over its header, without the version byte.
pub(super) fn hash(record: &Record) -> RecordHash {
    let mut header = Vec::with_capacity(header_len(record));
    put_header(record, &mut header);
    RecordHash(xxh3_128(&header))
}

fn values(record: &Record) -> impl Iterator<Item = &Bytes> {
    record.siblings.iter().filter_map(|sibling| match &sibling.payload {
        Payload::Value(value) => Some(value),
        Payload::Tombstone => None,
    })
}

fn place(record: &Record, sibling: &Sibling) -> usize {
    record.clock.index_of(sibling.dot.actor).expect("a record's clock covers its siblings")
}

fn header_len(record: &Record) -> usize {
    let siblings: usize = record
        .siblings
        .iter()
        .map(|sibling| varint_len(place(record, sibling)) + if sibling.expires.is_some() { 17 } else { 9 })
        .sum();
    let (entries, count) = (record.clock.len(), record.siblings.len());
    varint_len(entries) + varint_len(count) + entries * ENTRY_LEN + siblings
}

fn put_header(record: &Record, out: &mut Vec<u8>) {
    put_varint(out, record.clock.len());
    put_varint(out, record.siblings.len());
    record.clock.iter().for_each(|(actor, time)| put_entry(out, actor, time));
    for sibling in &record.siblings {
        put_varint(out, place(record, sibling));
        let value = if matches!(sibling.payload, Payload::Value(_)) { KIND_VALUE } else { 0 };
        out.push(value | if sibling.expires.is_some() { KIND_EXPIRES } else { 0 });
        out.extend_from_slice(&sibling.dot.time.0.to_le_bytes());
        if let Some(expires) = sibling.expires {
            out.extend_from_slice(&expires.to_le_bytes());
        }
    }
}

/// The header's bytes without the version, and the greatest dot.
fn read_header(bytes: &[u8]) -> Result<(&[u8], Option<Dot>)> {
    let mut cursor = Cursor::new(bytes);
    let (clock, count) = read_clock(&mut cursor)?;
    let mut winner = None;
    read_siblings(&mut cursor, &clock, count, |dot, _, _| winner = Some(dot))?;
    let header = bytes.get(1..bytes.len() - cursor.remaining()).unwrap_or_default();
    Ok((header, winner))
}

/// The clock and the number of siblings that follow it.
fn read_clock(cursor: &mut Cursor<'_>) -> Result<(Clock, usize)> {
    let version = cursor.u8("record version")?;
    if version != VERSION {
        return Err(Error::corrupt(format!("record version {version} is not {VERSION}")));
    }
    let entries = cursor.varint("clock entries")?;
    let count = cursor.varint("siblings")?;
    let clock = Clock::read(cursor, entries)?;
    if count.checked_mul(SIBLING_LEN_MIN).is_none_or(|needed| needed > cursor.remaining()) {
        let left = cursor.remaining();
        return Err(Error::corrupt(format!("{count} siblings do not fit the {left} bytes that are left")));
    }
    Ok((clock, count))
}

fn read_siblings(
    cursor: &mut Cursor<'_>,
    clock: &Clock,
    count: usize,
    mut visit: impl FnMut(Dot, u8, Option<u64>),
) -> Result<()> {
    let mut last: Option<Dot> = None;
    for _ in 0..count {
        let place = cursor.varint("sibling actor")?;
        let kind = cursor.u8("sibling kind")?;
        if kind & !(KIND_VALUE | KIND_EXPIRES) != 0 {
            return Err(Error::corrupt(format!("sibling kind {kind} is unknown")));
        }
        let time = cursor.time("sibling time")?;
        let Some((actor, covered)) = clock.entry_at(place) else {
            return Err(Error::corrupt(format!("sibling actor {place} of {} clock entries", clock.len())));
        };
        let dot = Dot { time, actor };
        if covered < time {
            return Err(Error::corrupt(format!("the clock covers {actor} to {covered}, not to {time}")));
        }
        if last.is_some_and(|last| last >= dot) {
            return Err(Error::corrupt(format!("sibling {actor}@{time} is out of order")));
        }
        last = Some(dot);
        let expires = if kind & KIND_EXPIRES == 0 { None } else { Some(cursor.u64("sibling expiry")?) };
        visit(dot, kind, expires);
    }
    Ok(())
}
