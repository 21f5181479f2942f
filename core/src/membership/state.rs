//! What a member says of itself, and the short form in which others repeat how far they have heard it.

use std::collections::BTreeSet;

use crate::base::ids::{Epoch, NodeNumber, Time};

/// Most members that one state may suspect: as many as a large cluster has.
pub(super) const SUSPECTS_MAX: usize = 4_096;
/// Most bytes of an address: a host name of 253 and a port.
pub const ADDRESS_BYTES_MAX: usize = 260;

/// A member's state as it tells it. Everything but heartbeat and clock changes seldom, and each change has a version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// The member.
    pub number: NodeNumber,
    /// Where it listens.
    pub address: String,
    /// How often it has been started.
    pub start: u64,
    /// Its rounds of gossip since.
    pub heartbeat: u64,
    /// Changes of the fields below since its start.
    pub version: u64,
    /// The newest topology that it has confirmed.
    pub epoch: Epoch,
    /// Operations under way at it, as the exponent of the next power of two.
    pub load: u32,
    /// The members that it suspects.
    pub suspects: BTreeSet<NodeNumber>,
    /// Its clock when it said so; means something only from itself, at once.
    pub now: Time,
}

impl State {
    /// How far this state has been heard.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let Self { number, start, heartbeat, version, .. } = *self;
        Digest { number, start, heartbeat, version }
    }

    /// Whether every part is within its limit.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.number != NodeNumber(0)
            && self.address.len() <= ADDRESS_BYTES_MAX
            && self.suspects.len() <= SUSPECTS_MAX
            && self.now < Time::LIMIT
            && self.heartbeat < u64::MAX / 2
            && self.version < u64::MAX / 2
    }
}

/// How far a member has been heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digest {
    /// The member.
    pub number: NodeNumber,
    /// Its start.
    pub start: u64,
    /// Its heartbeat since.
    pub heartbeat: u64,
    /// The version of its state.
    pub version: u64,
}
