//! Gossip: each round a node shows a few others how far it has heard some of the members, and each side gives the other
//! the states that it lacks. After van Renesse et al., "Efficient Reconciliation and Flow Control for Anti-Entropy
//! Protocols" (2008), with news told first, so that a round needs only as many entries as the logarithm of the members.
//! Sans-IO: what is sent and received is a value here.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::members::{Members, Refused};
use super::state::{Digest, State};
use crate::base::ids::NodeNumber;

/// Peers of one round.
pub const FANOUT: usize = 3;
/// Entries of a round for each doubling of the members.
const ENTRIES_PER_DOUBLING: usize = 2;
/// Times that a node tells news for each doubling of the members: enough that everybody has it with all but certainty.
const TELLS_PER_DOUBLING: usize = 3;

/// The first message of an exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Syn {
    /// What the sender says of itself.
    pub own: State,
    /// How far it has heard some of the others.
    pub digests: Vec<Digest>,
}

/// The answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ack {
    /// What the answering node says of itself.
    pub own: State,
    /// States that the first one lacks.
    pub states: Vec<State>,
    /// Members of which the first one has heard more.
    pub wanted: Vec<NodeNumber>,
    /// How far the answering node has heard some of the others.
    pub digests: Vec<Digest>,
}

/// How many doublings lead from one member to as many as there are.
fn doublings(members: usize) -> usize {
    usize::try_from(members.max(2).next_power_of_two().ilog2()).unwrap_or(1)
}

/// Rounds after which a member may be expected to be heard again, directly or through others, among so many.
pub(super) fn heard_every(members: usize) -> u32 {
    // As many entries come with the messages of others, and with answers, as are sent; about half of them are news.
    let heard = FANOUT * 2 * doublings(members) * ENTRIES_PER_DOUBLING;
    u32::try_from(1 + 2 * members / heard).unwrap_or(u32::MAX)
}

impl Members {
    /// The first message of an exchange. `random` gives a number below its argument.
    pub fn syn(&mut self, random: impl FnMut(u64) -> u64) -> Syn {
        Syn { own: self.own.clone(), digests: self.sample(random) }
    }

    /// Answers the first message of an exchange. What is refused changes nothing and is left out.
    pub fn ack(
        &mut self,
        syn: Syn,
        now: Instant,
        random: impl FnMut(u64) -> u64,
        refuse: &mut impl FnMut(NodeNumber, Refused),
    ) -> Ack {
        let from = syn.own.number;
        let (states, wanted) = self.compare(&syn.digests, from, now, refuse);
        if let Err(refused) = self.hear(syn.own, now) {
            refuse(from, refused);
        }
        let mut digests = self.sample(random);
        digests.retain(|digest| digest.number != from);
        Ack { own: self.own.clone(), states, wanted, digests }
    }

    /// Takes an answer; gives the states that the answering node lacks.
    pub fn take_ack(
        &mut self,
        ack: Ack,
        now: Instant,
        refuse: &mut impl FnMut(NodeNumber, Refused),
    ) -> Vec<State> {
        let from = ack.own.number;
        let (mut states, _) = self.compare(&ack.digests, from, now, refuse);
        if let Err(refused) = self.hear(ack.own, now) {
            refuse(from, refused);
        }
        self.take_states(ack.states, now, refuse);
        let told: BTreeSet<_> = states.iter().map(|state| state.number).collect();
        let wanted: BTreeSet<_> = ack.wanted.into_iter().collect();
        states.extend(wanted.difference(&told).filter_map(|node| self.state(*node).cloned()));
        states
    }

    /// Takes states of others.
    pub fn take_states(
        &mut self,
        states: Vec<State>,
        now: Instant,
        refuse: &mut impl FnMut(NodeNumber, Refused),
    ) {
        for state in states {
            let number = state.number;
            if number != self.own.number
                && let Err(refused) = self.hear_of(state, now)
            {
                refuse(number, refused);
            }
        }
    }

    /// The states that the sender of these digests lacks, and those that it has and this node lacks.
    fn compare(
        &mut self,
        digests: &[Digest],
        from: NodeNumber,
        now: Instant,
        refuse: &mut impl FnMut(NodeNumber, Refused),
    ) -> (Vec<State>, Vec<NodeNumber>) {
        let (mut states, mut wanted) = (Vec::new(), Vec::new());
        let mut named = BTreeSet::new();
        for digest in digests {
            if digest.number == self.own.number || digest.number == from || !named.insert(digest.number) {
                continue;
            }
            if let Err(refused) = self.reach(*digest, now) {
                refuse(digest.number, refused);
                continue;
            }
            let known = self.state(digest.number).map(|state| (state.start, state.version));
            if known.is_none_or(|known| known < (digest.start, digest.version)) {
                wanted.push(digest.number);
            } else if known.is_some_and(|known| known > (digest.start, digest.version)) {
                states.extend(self.state(digest.number).cloned());
            }
        }
        (states, wanted)
    }

    /// How far some members have been heard: those with news first, then whichever chance names.
    fn sample(&mut self, mut random: impl FnMut(u64) -> u64) -> Vec<Digest> {
        let doublings = doublings(self.entries.len() + 1);
        let most = doublings * ENTRIES_PER_DOUBLING;
        let tells = u32::try_from(doublings * TELLS_PER_DOUBLING).unwrap_or(u32::MAX);
        let (mut news, mut rest) = (Vec::new(), Vec::new());
        for (node, entry) in self.entries.iter().filter(|(_, entry)| entry.state.is_some()) {
            if entry.told < tells {
                news.push((entry.told, *node));
            } else {
                rest.push(*node);
            }
        }
        if news.len() + rest.len() > most {
            // Half of the room for news at the most, so that heartbeats flow whatever happens.
            news.sort_unstable();
            let later = news.split_off(news.len().min(most / 2));
            rest.extend(later.into_iter().map(|(_, node)| node));
            while news.len() < most && !rest.is_empty() {
                let at = usize::try_from(random(rest.len() as u64)).unwrap_or(0);
                news.push((0, rest.swap_remove(at)));
            }
            rest.clear();
        }
        let told: Vec<_> = news.into_iter().map(|(_, node)| node).chain(rest).collect();
        told.into_iter().filter_map(|node| self.tell(node)).collect()
    }

    fn tell(&mut self, node: NodeNumber) -> Option<Digest> {
        let entry = self.entries.get_mut(&node)?;
        entry.told = entry.told.saturating_add(1);
        let state = entry.state.as_ref()?;
        // A state that is still of an earlier start says nothing of the present one.
        let version = if state.start == entry.start { state.version } else { 0 };
        Some(Digest { number: node, start: entry.start, heartbeat: entry.heartbeat, version })
    }

    /// Whom to gossip with in this round: a few members at random, and one of those that this node suspects, as it may
    /// be back. `random` gives a number below its argument.
    pub fn peers(&self, mut random: impl FnMut(u64) -> u64) -> Vec<NodeNumber> {
        let (mut suspected, mut trusted): (Vec<_>, Vec<_>) =
            self.others().partition(|node| self.suspects().contains(node));
        let mut chosen = Vec::with_capacity(FANOUT + 1);
        let mut draw = |from: &mut Vec<NodeNumber>| {
            let at = usize::try_from(random(from.len() as u64)).unwrap_or(0);
            from.swap_remove(at)
        };
        while chosen.len() < FANOUT && !trusted.is_empty() {
            chosen.push(draw(&mut trusted));
        }
        if !suspected.is_empty() {
            chosen.push(draw(&mut suspected));
        }
        chosen
    }
}
