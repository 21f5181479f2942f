//! Reading and writing the numbers of the record layout: little-endian integers and minimal LEB128 varints.
//! Reads are bounded by the input and fail with `Corruption`; nothing is indexed and nothing panics.

use crate::base::{Actor, CopyNumber, Error, NodeNumber, Result, Time};

/// The bytes of one clock entry: node u32, copy u64, time u64.
pub(super) const ENTRY_LEN: usize = 20;

/// The unread rest of an input.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    fn take<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let (head, rest) =
            self.rest.split_first_chunk::<N>().ok_or_else(|| short(what, N, self.rest.len()))?;
        self.rest = rest;
        Ok(*head)
    }

    pub(super) fn u8(&mut self, what: &str) -> Result<u8> {
        self.take::<1>(what).map(|[byte]| byte)
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64> {
        self.take(what).map(u64::from_le_bytes)
    }

    /// A varint of at most 32 bits in its shortest form, so that equal records have equal bytes.
    pub(super) fn varint(&mut self, what: &str) -> Result<usize> {
        let mut value: u32 = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8(what)?;
            let part = u32::from(byte & 0x7f);
            if shift == 28 && part > 0x0f {
                break;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(Error::corrupt(format!("{what} is not in its shortest form")));
                }
                return usize::try_from(value)
                    .map_err(|_| Error::corrupt(format!("{what}={value} is too large")));
            }
        }
        Err(Error::corrupt(format!("{what} is longer than 32 bits")))
    }

    /// A time, which must lie below 2^63.
    pub(super) fn time(&mut self, what: &str) -> Result<Time> {
        let time = Time(self.u64(what)?);
        if time >= Time::LIMIT {
            return Err(Error::corrupt(format!("{what}={time} is not below 2^63")));
        }
        Ok(time)
    }

    pub(super) fn entry(&mut self) -> Result<(Actor, Time)> {
        let node = NodeNumber(u32::from_le_bytes(self.take("clock node")?));
        let copy = CopyNumber(self.u64("clock copy")?);
        Ok((Actor { node, copy }, self.time("clock time")?))
    }
}

fn short(what: &str, needed: usize, left: usize) -> Error {
    Error::corrupt(format!("{what} needs {needed} bytes, {left} are left"))
}

/// The bytes that a varint takes.
pub(super) fn varint_len(value: usize) -> usize {
    let bits = usize::BITS - value.leading_zeros();
    usize::try_from(bits.div_ceil(7).max(1)).unwrap_or(usize::MAX)
}

/// Appends a varint. The caller's limits keep counts and lengths far below 32 bits.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    debug_assert!(u32::try_from(value).is_ok(), "counts and lengths fit 32 bits: {value}");
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or_default());
}

pub(super) fn put_entry(out: &mut Vec<u8>, actor: Actor, time: Time) {
    out.extend_from_slice(&actor.node.0.to_le_bytes());
    out.extend_from_slice(&actor.copy.0.to_le_bytes());
    out.extend_from_slice(&time.0.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_in_their_shortest_form() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 8 << 20, u32::MAX as usize] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
            assert_eq!(Cursor::new(&out).varint("x").unwrap(), value);
        }
    }

    #[test]
    fn padded_and_overlong_varints_are_refused() {
        for bad in [&[0x80, 0][..], &[0xff, 0xff, 0xff, 0xff, 0x10], &[0xff; 6], &[0x80]] {
            assert!(Cursor::new(bad).varint("x").is_err(), "{bad:?}");
        }
    }
}
