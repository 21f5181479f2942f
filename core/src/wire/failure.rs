//! Errors on the wire: kind, whether the request may have been applied, message, and what the kind carries.
//! Operation and source stay behind; `Conflict`, `Partial` and `Locked` are made where they are reported, and travel
//! without their detail.

use std::collections::BTreeMap;

use bytes::BufMut;

use super::codec::{Reader, clipped, put_short_bytes};
use crate::base::error::{Detail, Error, ErrorKind, Result};

/// Most bytes of a message or a reason; longer ones are cut.
const TEXT_BYTES_MAX: usize = 1_024;

/// Most replicas that a detail names: more than any quorum asks.
const REPLICAS_MAX: usize = 64;

const DETAIL_NONE: u8 = 0;
const DETAIL_QUORUM: u8 = 1;
const DETAIL_TOO_MANY_SIBLINGS: u8 = 2;

/// The kind's number on the wire: its place in `ErrorKind::ALL`, to which kinds are only ever appended.
fn kind_code(kind: ErrorKind) -> u8 {
    let place = ErrorKind::ALL.iter().position(|known| *known == kind).expect("ALL has every kind");
    u8::try_from(place).expect("there are fewer than 256 kinds")
}

pub(super) fn encode(head: &mut Vec<u8>, error: &Error) {
    head.put_slice(&[kind_code(error.kind()), u8::from(error.maybe_applied())]);
    put_short_bytes(head, clipped(error.message(), TEXT_BYTES_MAX).as_bytes());
    match error.detail() {
        Detail::Quorum { needed, received, replicas } => {
            head.put_u8(DETAIL_QUORUM);
            head.put_u32_le(*needed);
            head.put_u32_le(*received);
            head.put_u8(u8::try_from(replicas.len().min(REPLICAS_MAX)).expect("REPLICAS_MAX is below 256"));
            for (name, reason) in replicas.iter().take(REPLICAS_MAX) {
                put_short_bytes(head, clipped(name, TEXT_BYTES_MAX).as_bytes());
                put_short_bytes(head, clipped(reason, TEXT_BYTES_MAX).as_bytes());
            }
        }
        Detail::TooManySiblings { limit } => {
            head.put_u8(DETAIL_TOO_MANY_SIBLINGS);
            head.put_u32_le(*limit);
        }
        _ => head.put_u8(DETAIL_NONE),
    }
}

pub(super) fn decode(reader: &mut Reader) -> Result<Error> {
    // A kind that a newer peer knows and this side does not can only be reported.
    let kind = ErrorKind::ALL.get(usize::from(reader.u8()?)).copied().unwrap_or(ErrorKind::Internal);
    let maybe_applied = reader.bool()?;
    let error = Error::new(kind, reader.text(TEXT_BYTES_MAX)?).maybe_applied_if(maybe_applied);
    Ok(match reader.u8()? {
        DETAIL_NONE => error,
        DETAIL_QUORUM => {
            let (needed, received, count) = (reader.u32()?, reader.u32()?, reader.u8()?);
            let mut replicas = BTreeMap::new();
            for _ in 0..count {
                replicas.insert(reader.text(TEXT_BYTES_MAX)?, reader.text(TEXT_BYTES_MAX)?);
            }
            error.with_detail(Detail::Quorum { needed, received, replicas })
        }
        DETAIL_TOO_MANY_SIBLINGS => error.with_detail(Detail::TooManySiblings { limit: reader.u32()? }),
        tag => return Err(Error::corrupt(format!("failure has the unknown detail {tag}"))),
    })
}
