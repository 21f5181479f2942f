//! The numbers that name things, each wrapped so that one cannot stand in for another.
//! Their order is the order that deciders rely on; their widths are those of the disk and wire formats.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A member's number: given by the topology, never used again after the member has gone.
    NodeNumber(u32)
);
number!(
    /// One of the Q equal arcs of the hash ring, counted from token 0.
    PartitionId(u16)
);
number!(
    /// A bucket's number: given by the topology, never used again. The default bucket is 0.
    BucketId(u32)
);
number!(
    /// One node's holding of one partition; drawn from the node's clock when the copy is started.
    CopyNumber(u64)
);
number!(
    /// A hybrid logical time: Unix milliseconds in the upper 48 bits, a counter in the lower 16. Always below 2^63.
    Time(u64)
);

impl Time {
    /// The first time that is refused in parsing: 2^63.
    pub const LIMIT: Self = Self(1 << 63);

    /// The time of a wall clock in Unix milliseconds, with the counter at 0.
    #[must_use]
    pub fn from_unix_ms(unix_ms: u64) -> Self {
        Self(unix_ms.min((1 << 47) - 1) << 16)
    }

    /// The Unix milliseconds of this time.
    #[must_use]
    pub fn unix_ms(self) -> u64 {
        self.0 >> 16
    }

    /// The next greater time.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Who issued a write: a node's number with the number of the copy that it wrote through (DESIGN.md section 3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Actor {
    /// The member that coordinated the write.
    pub node: NodeNumber,
    /// The copy through which it did.
    pub copy: CopyNumber,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}.{:x}", self.node, self.copy.0)
    }
}

/// The id of one write. Never issued twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Dot {
    /// When it was minted. First, so that the derived order is the order of last-writer-wins: time, then actor.
    pub time: Time,
    /// Who minted it.
    pub actor: Actor,
}

/// The number of a topology record; a later era wins over any epoch of an older one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Epoch {
    /// Raised by hand when lost voters are rebuilt.
    pub era: u32,
    /// Raised by one with each agreed change.
    pub number: u64,
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.era == 0 { write!(f, "{}", self.number) } else { write!(f, "{}.{}", self.era, self.number) }
    }
}

/// The random identity of a cluster, drawn at its founding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct ClusterId(pub [u8; 16]);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
