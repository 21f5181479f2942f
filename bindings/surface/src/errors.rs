//! The numbers of C's `rk_status` for outcomes and error kinds. They never change their meaning.

use ringkeep::base::error::ErrorKind;

/// Done.
pub const OK: i32 = 0;
/// The key is absent.
pub const NOT_FOUND: i32 = 1;
/// More than one value is live.
pub const CONFLICT: i32 = 2;
/// A scan has no more items.
pub const END: i32 = 3;
/// Memory could not be had; no error kind of its own.
pub const NOMEM: i32 = -13;
/// A bug in Ringkeep.
pub const INTERNAL: i32 = -99;

const KINDS: [(ErrorKind, i32); 19] = [
    (ErrorKind::Conflict, CONFLICT),
    (ErrorKind::Timeout, -1),
    (ErrorKind::QuorumUnavailable, -2),
    (ErrorKind::InvalidArgument, -3),
    (ErrorKind::Closed, -4),
    (ErrorKind::Locked, -5),
    (ErrorKind::Forked, -6),
    (ErrorKind::Overloaded, -7),
    (ErrorKind::Corruption, -8),
    (ErrorKind::Io, -9),
    (ErrorKind::Unauthorized, -10),
    (ErrorKind::VersionMismatch, -11),
    (ErrorKind::Canceled, -12),
    (ErrorKind::TooManySiblings, -14),
    (ErrorKind::StorageFull, -15),
    (ErrorKind::NoSuchBucket, -16),
    (ErrorKind::ClockSkew, -17),
    (ErrorKind::Partial, -18),
    (ErrorKind::Internal, INTERNAL),
];

/// The number of a kind.
#[must_use]
pub fn status(kind: ErrorKind) -> i32 {
    KINDS.iter().find(|(known, _)| *known == kind).map_or(INTERNAL, |(_, status)| *status)
}

/// The kind of a number; none for outcomes and unknown numbers.
#[must_use]
pub fn kind(status: i32) -> Option<ErrorKind> {
    KINDS.iter().find(|(_, known)| *known == status).map(|(kind, _)| *kind)
}

/// The name of a number, as its C constant without the prefix.
#[must_use]
pub fn name(status: i32) -> &'static str {
    match status {
        OK => "OK",
        NOT_FOUND => "NOT_FOUND",
        END => "END",
        NOMEM => "NOMEM",
        other => kind(other).map_or("UNKNOWN", ErrorKind::code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_number_of_its_own() {
        for known in ErrorKind::ALL {
            assert_eq!(kind(status(known)), Some(known), "{known:?}");
            assert_eq!(name(status(known)), known.code());
        }
        let mut numbers: Vec<_> = KINDS.iter().map(|(_, number)| number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), KINDS.len());
    }
}
