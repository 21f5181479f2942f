//! Gossip as it travels: states and digests as control messages. Lists are bounded before they are taken.

use super::state::{Digest, SUSPECTS_MAX, State};
use crate::base::error::{Error, Result};
use crate::base::ids::{NodeNumber, Time};
use crate::wire::control::{self, proto};

/// Most entries of any list that is taken from outside: as many as a large cluster has members.
const ENTRIES_MAX: usize = SUSPECTS_MAX;

/// Checks the lengths of a message's lists, and those inside its states.
///
/// # Errors
/// `InvalidArgument` with the length that is too much.
pub fn check_lists<'a>(lengths: &[usize], states: impl IntoIterator<Item = &'a proto::State>) -> Result<()> {
    let suspects = states.into_iter().map(|state| state.suspects.len());
    match lengths.iter().copied().chain(suspects).find(|length| *length > ENTRIES_MAX) {
        Some(length) => {
            Err(Error::invalid(format!("gossip with a list of {length} entries; {ENTRIES_MAX} are taken")))
        }
        None => Ok(()),
    }
}

impl From<State> for proto::State {
    fn from(state: State) -> Self {
        Self {
            number: state.number.0,
            address: state.address,
            start: state.start,
            heartbeat: state.heartbeat,
            version: state.version,
            epoch: Some(state.epoch.into()),
            load: state.load,
            suspects: state.suspects.into_iter().map(|node| node.0).collect(),
            now: state.now.0,
        }
    }
}

impl From<proto::State> for State {
    fn from(state: proto::State) -> Self {
        Self {
            number: NodeNumber(state.number),
            address: state.address,
            start: state.start,
            heartbeat: state.heartbeat,
            version: state.version,
            epoch: control::epoch(state.epoch),
            load: state.load,
            suspects: state.suspects.into_iter().map(NodeNumber).collect(),
            now: Time(state.now),
        }
    }
}

impl From<Digest> for proto::Digest {
    fn from(digest: Digest) -> Self {
        let Digest { number, start, heartbeat, version } = digest;
        Self { number: number.0, start, heartbeat, version }
    }
}

impl From<proto::Digest> for Digest {
    fn from(digest: proto::Digest) -> Self {
        let proto::Digest { number, start, heartbeat, version } = digest;
        Self { number: NodeNumber(number), start, heartbeat, version }
    }
}
