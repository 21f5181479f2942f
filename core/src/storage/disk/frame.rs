//! The bytes of the log: segment headers, frames, and the operations inside a frame. Pure.
//! A checksum covers a frame and the number of its segment, so that what an earlier use of the same disk blocks left
//! behind is never taken for a frame. docs/FORMATS.md describes the layout; tests/vectors/storage.json pins it.

use crc32fast::Hasher;

use crate::storage::engine::{Batch, Lsn, Operation};

/// Bytes at the start of a segment: magic, number, first lsn, crc32, padding.
pub(super) const HEADER_BYTES: usize = 32;
/// Bytes of a frame before its payload: crc32, length, lsn, unsynced.
pub(super) const FRAME_BYTES: usize = 20;
/// Names the format and its version.
const MAGIC: &[u8; 8] = b"RKLOG\0\0\x01";

const PUT: u8 = 0;
const DELETE: u8 = 1;

/// One frame as it was read back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Frame<'a> {
    /// The number of the batch.
    pub(super) lsn: Lsn,
    /// The last batch that was on disk when this frame was written.
    pub(super) synced: Lsn,
    /// The encoded operations.
    pub(super) payload: &'a [u8],
}

impl Frame<'_> {
    /// Bytes on disk.
    pub(super) fn len(&self) -> usize {
        FRAME_BYTES + self.payload.len()
    }
}

/// Writes and checks the frames of one segment.
#[derive(Clone, Debug)]
pub(super) struct Framing {
    number: u64,
    seed: Hasher,
}

impl Framing {
    pub(super) fn new(number: u64) -> Self {
        let mut seed = Hasher::new();
        seed.update(&number.to_le_bytes());
        Self { number, seed }
    }

    fn checksum(&self, covered: &[u8]) -> u32 {
        let mut hasher = self.seed.clone();
        hasher.update(covered);
        hasher.finalize()
    }

    pub(super) fn header(&self, first: Lsn) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        let fields = [&MAGIC[..], &self.number.to_le_bytes(), &first.0.to_le_bytes()].concat();
        let checksum = self.checksum(&fields).to_le_bytes();
        for (to, from) in header.iter_mut().zip(fields.iter().chain(&checksum)) {
            *to = *from;
        }
        header
    }

    /// The first lsn of a segment, if its header is whole.
    pub(super) fn read_header(&self, bytes: &[u8]) -> Option<Lsn> {
        let header = bytes.first_chunk::<HEADER_BYTES>()?;
        let first = Lsn(read_u64(header, 16)?);
        (self.header(first) == *header).then_some(first)
    }

    /// Appends a frame to `buffer`, which the caller has emptied.
    pub(super) fn write(&self, buffer: &mut Vec<u8>, lsn: Lsn, synced: Lsn, batch: &Batch) {
        buffer.extend_from_slice(&[0; 8]);
        buffer.extend_from_slice(&lsn.0.to_le_bytes());
        let unsynced = u32::try_from(lsn.0 - synced.0).unwrap_or(u32::MAX);
        buffer.extend_from_slice(&unsynced.to_le_bytes());
        encode(buffer, batch);
        let length = u32::try_from(buffer.len() - FRAME_BYTES).expect("a batch is bounded below 4 GiB");
        if let Some(field) = buffer.get_mut(4..8) {
            field.copy_from_slice(&length.to_le_bytes());
        }
        let checksum = self.checksum(buffer.get(4..).unwrap_or_default());
        if let Some(field) = buffer.get_mut(..4) {
            field.copy_from_slice(&checksum.to_le_bytes());
        }
    }

    /// The frame at the start of `bytes`, if it is whole.
    pub(super) fn read<'a>(&self, bytes: &'a [u8]) -> Option<Frame<'a>> {
        let length = usize::try_from(read_u32(bytes, 4)?).ok()?;
        let end = FRAME_BYTES.checked_add(length)?;
        let covered = bytes.get(4..end)?;
        if self.checksum(covered) != read_u32(bytes, 0)? {
            return None;
        }
        let lsn = read_u64(bytes, 8)?;
        // The greatest distance stands for any that is longer, and so says nothing.
        let synced = match read_u32(bytes, 16)? {
            u32::MAX => 0,
            unsynced => lsn.saturating_sub(unsynced.into()),
        };
        Some(Frame { lsn: Lsn(lsn), synced: Lsn(synced), payload: bytes.get(FRAME_BYTES..end)? })
    }

    /// The next whole frame at any offset of `bytes` whose lsn lies above `after`: what follows damage.
    pub(super) fn find<'a>(&self, bytes: &'a [u8], after: Lsn) -> Option<(usize, Frame<'a>)> {
        // No more frames fit between than bytes: most offsets are turned down by the lsn alone, without a checksum.
        let limit = after.0.saturating_add(bytes.len() as u64);
        (0..bytes.len().saturating_sub(FRAME_BYTES - 1)).find_map(|offset| {
            let lsn = read_u64(bytes, offset + 8)?;
            if lsn <= after.0 || lsn > limit {
                return None;
            }
            Some((offset, self.read(bytes.get(offset..)?)?))
        })
    }
}

fn encode(buffer: &mut Vec<u8>, batch: &Batch) {
    for Operation { key, value } in batch.operations() {
        let key_length =
            u16::try_from(key.len()).expect("keys are bounded when a batch is checked").to_le_bytes();
        if let Some(value) = value {
            let value_length =
                u32::try_from(value.len()).expect("a batch is bounded below 4 GiB").to_le_bytes();
            buffer.push(PUT);
            buffer.extend_from_slice(&key_length);
            buffer.extend_from_slice(&value_length);
            buffer.extend_from_slice(key);
            buffer.extend_from_slice(value);
        } else {
            buffer.push(DELETE);
            buffer.extend_from_slice(&key_length);
            buffer.extend_from_slice(key);
        }
    }
}

/// The operations of a payload in order; `None` once for bytes that `Framing::write` cannot have made.
pub(super) struct Operations<'a> {
    rest: &'a [u8],
}

impl<'a> Operations<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn operation(&mut self) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        let kind = *self.take(1)?.first()?;
        let key_length = u16::from_le_bytes(*self.take(2)?.first_chunk()?);
        match kind {
            PUT => {
                let value_length = u32::from_le_bytes(*self.take(4)?.first_chunk()?);
                let key = self.take(key_length.into())?;
                Some((key, Some(self.take(usize::try_from(value_length).ok()?)?)))
            }
            DELETE => Some((self.take(key_length.into())?, None)),
            _ => None,
        }
    }
}

impl<'a> Iterator for Operations<'a> {
    type Item = Option<(&'a [u8], Option<&'a [u8]>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let operation = self.operation();
        if operation.is_none() {
            self.rest = &[];
        }
        Some(operation)
    }
}

/// A range as a part of an engine key.
pub(super) fn encode_range(from: &[u8], to: &[u8]) -> Vec<u8> {
    let length = u32::try_from(from.len()).expect("keys are bounded").to_le_bytes();
    [&length[..], from, to].concat()
}

/// The range that `encode_range` wrote.
pub(super) fn decode_range(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::try_from(read_u32(bytes, 0)?).ok()?;
    bytes.get(4..)?.split_at_checked(length)
}

fn read_u32(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

fn read_u64(bytes: &[u8], offset: usize) -> Option<u64> {
    bytes.get(offset..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn batch() -> Batch {
        let mut batch = Batch::new();
        batch.put(Bytes::from_static(b"\0key"), Bytes::from_static(b"value"));
        batch.delete(Bytes::from_static(b"\0gone"));
        batch
    }

    #[test]
    fn a_frame_reads_back_only_in_its_own_segment() {
        let framing = Framing::new(7);
        let mut bytes = Vec::new();
        framing.write(&mut bytes, Lsn(10), Lsn(8), &batch());
        let frame = framing.read(&bytes).unwrap();
        assert_eq!((frame.lsn, frame.synced, frame.len()), (Lsn(10), Lsn(8), bytes.len()));
        let operations: Vec<_> = Operations::new(frame.payload).map(Option::unwrap).collect();
        assert_eq!(operations, [(&b"\0key"[..], Some(&b"value"[..])), (&b"\0gone"[..], None)]);
        assert_eq!(Framing::new(8).read(&bytes), None);
        assert_eq!(framing.read_header(&framing.header(Lsn(3))), Some(Lsn(3)));
        assert_eq!(Framing::new(8).read_header(&framing.header(Lsn(3))), None);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let framing = Framing::new(1);
        let mut bytes = Vec::new();
        framing.write(&mut bytes, Lsn(5), Lsn(0), &batch());
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(framing.read(&damaged), None, "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert_eq!(framing.read(&bytes[..length]), None, "cut at {length}");
        }
    }

    #[test]
    fn a_frame_after_damage_is_found() {
        let framing = Framing::new(1);
        let mut bytes = vec![0xa5; 333];
        let mut frame = Vec::new();
        framing.write(&mut frame, Lsn(6), Lsn(5), &batch());
        bytes.extend_from_slice(&frame);
        let (offset, found) = framing.find(&bytes, Lsn(4)).unwrap();
        assert_eq!((offset, found.lsn), (333, Lsn(6)));
        assert_eq!(framing.find(&bytes, Lsn(6)), None);
    }

    #[test]
    fn bytes_that_are_no_operations_are_refused() {
        for payload in [&[9, 0, 0][..], &[PUT, 1], &[PUT, 1, 0, 5, 0, 0, 0, b'k'], &[DELETE, 4, 0, b'k']] {
            assert!(Operations::new(payload).any(|operation| operation.is_none()), "{payload:?}");
        }
        let range = encode_range(b"from", b"to");
        assert_eq!(decode_range(&range), Some((&b"from"[..], &b"to"[..])));
        assert_eq!(decode_range(&range[..6]), None);
    }
}
