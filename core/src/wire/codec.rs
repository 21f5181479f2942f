//! The parts that hot messages are laid out of, little-endian. Writing appends to a buffer; reading takes slices of
//! the body without copying, refuses what is longer than its limit, and never looks past the end.

use bytes::{BufMut, Bytes};

use crate::base::error::{Error, Result};
use crate::base::ids::{Actor, BucketId, CopyNumber, Dot, Epoch, NodeNumber, PartitionId, Time};

/// A body being read from its front.
pub(super) struct Reader {
    body: Bytes,
    at: usize,
}

impl Reader {
    pub(super) fn new(body: Bytes) -> Self {
        Self { body, at: 0 }
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.body.len() - self.at
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let found = self.body.get(self.at..).and_then(<[u8]>::first_chunk::<N>);
        let found = *found.ok_or_else(|| self.short(N))?;
        self.at += N;
        Ok(found)
    }

    fn short(&self, wanted: usize) -> Error {
        let (at, left) = (self.at, self.left());
        Error::corrupt(format!("message wants {wanted} bytes at {at}, where {left} are left"))
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        self.fixed().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        self.fixed().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.fixed().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.fixed().map(u64::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Result<u128> {
        self.fixed().map(u128::from_le_bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.fixed()
    }

    pub(super) fn bool(&mut self) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Error::corrupt(format!("message has {other} where 0 or 1 stands"))),
        }
    }

    /// A time; 2^63 and above are refused, as DESIGN.md section 3 asks of every parser.
    pub(super) fn time(&mut self) -> Result<Time> {
        let time = Time(self.u64()?);
        if time >= Time::LIMIT {
            return Err(Error::corrupt(format!("time {time} is not below 2^63")));
        }
        Ok(time)
    }

    pub(super) fn dot(&mut self) -> Result<Dot> {
        let time = self.time()?;
        let node = NodeNumber(self.u32()?);
        let copy = CopyNumber(self.u64()?);
        Ok(Dot { time, actor: Actor { node, copy } })
    }

    pub(super) fn epoch(&mut self) -> Result<Epoch> {
        Ok(Epoch { era: self.u32()?, number: self.u64()? })
    }

    pub(super) fn bucket(&mut self) -> Result<BucketId> {
        self.u32().map(BucketId)
    }

    pub(super) fn partition(&mut self) -> Result<PartitionId> {
        self.u16().map(PartitionId)
    }

    /// Bytes behind a length of 16 bits.
    pub(super) fn short_bytes(&mut self, bytes_max: usize) -> Result<Bytes> {
        let length = usize::from(self.u16()?);
        self.slice(length, bytes_max)
    }

    /// Bytes behind a length of 32 bits.
    pub(super) fn long_bytes(&mut self, bytes_max: usize) -> Result<Bytes> {
        let length = self.u32()?;
        let length = usize::try_from(length).map_err(|_| Error::corrupt("length past the address space"))?;
        self.slice(length, bytes_max)
    }

    /// Text behind a length of 16 bits.
    pub(super) fn text(&mut self, bytes_max: usize) -> Result<String> {
        let bytes = self.short_bytes(bytes_max)?;
        let text =
            std::str::from_utf8(&bytes).map_err(|_| Error::corrupt("message has text that is not UTF-8"))?;
        Ok(text.to_owned())
    }

    /// All that is left: the last field of a message needs no length.
    pub(super) fn rest(&mut self, bytes_max: usize) -> Result<Bytes> {
        self.slice(self.left(), bytes_max)
    }

    fn slice(&mut self, length: usize, bytes_max: usize) -> Result<Bytes> {
        if length > bytes_max {
            let at = self.at;
            return Err(Error::corrupt(format!(
                "message has {length} bytes at {at}, over the limit of {bytes_max}"
            )));
        }
        if length > self.left() {
            return Err(self.short(length));
        }
        let slice = self.body.slice(self.at..self.at + length);
        self.at += length;
        Ok(slice)
    }

    /// Says that the message ends here.
    pub(super) fn end(&self) -> Result<()> {
        match self.left() {
            0 => Ok(()),
            left => Err(Error::corrupt(format!("message has {left} bytes past its end"))),
        }
    }
}

pub(super) fn put_epoch(out: &mut Vec<u8>, epoch: Epoch) {
    out.put_u32_le(epoch.era);
    out.put_u64_le(epoch.number);
}

pub(super) fn put_dot(out: &mut Vec<u8>, dot: Dot) {
    out.put_u64_le(dot.time.0);
    out.put_u32_le(dot.actor.node.0);
    out.put_u64_le(dot.actor.copy.0);
}

/// Bytes behind a length of 16 bits; the API's limits keep what comes here below that.
pub(super) fn put_short_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u16_le(u16::try_from(bytes.len()).expect("keys and names are below 64 KiB"));
    out.put_slice(bytes);
}

/// Bytes behind a length of 32 bits; the frame limit keeps what comes here below that.
pub(super) fn put_long_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32_le(u32::try_from(bytes.len()).expect("contents are below 4 GiB"));
    out.put_slice(bytes);
}

/// The longest front of a text that has at most this many bytes.
pub(super) fn clipped(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}
