//! The members as one node sees them: what each last said, when it was heard, whom it suspects, and which are down.
//! Pure. Takes what was heard and what requests showed, gives what changed. A restarted member is new evidence; a lesser
//! start number than a member itself has shown is a clone's or a forger's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::detector::{Detector, Evidence, Timing};
use super::gossip::heard_every;
use super::state::{Digest, State};
use super::verdict;
use crate::base::ids::{Epoch, NodeNumber};

/// Starts by which others may be ahead of what a member itself has shown: it was started again while this node did not
/// hear it. More is refused until the member says so itself.
const STARTS_AHEAD_MAX: u64 = 8;

/// Heartbeats and versions by which others may be ahead of a member's own word, as messages overtake each other.
const OVERTAKEN_MAX: u64 = 64;
/// A silence of this node itself, in rounds, after which it blames nobody else's on them.
const PAUSE_ROUNDS: u32 = 4;

/// Why something that was heard changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// It is about a node that the topology does not name.
    Stranger,
    /// Its start number is less than one that the member has shown itself.
    OldStart,
    /// Others claim a start number far beyond what the member has shown itself.
    ForgedStart,
    /// It breaks a limit.
    Unsound,
}

impl Refused {
    /// The name under which refusals are counted.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stranger => "gossip_stranger",
            Self::OldStart => "gossip_old_start",
            Self::ForgedStart => "gossip_forged_start",
            Self::Unsound => "gossip_unsound",
        }
    }
}

/// What became of a member, for whoever follows events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// Heard for the first time, or again after it counted as suspected or down.
    Up,
    /// This node suspects it now.
    Suspected,
    /// It counts as down now.
    Down,
    /// It was started again.
    Restarted,
}

/// How a member stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Named by the topology and not heard yet.
    Unheard,
    /// Heard, and not suspected.
    Up,
    /// Suspected by this node.
    Suspect,
    /// Suspected by this node and enough others.
    Down,
}

/// How far a member had come by its own word, and when that was heard.
#[derive(Clone, Copy, Debug)]
struct Word {
    start: u64,
    heartbeat: u64,
    at: Instant,
}

/// One other member.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) state: Option<State>,
    /// The furthest that it has been heard, by any path.
    pub(super) start: u64,
    pub(super) heartbeat: u64,
    /// What it said itself, last.
    direct: Option<Word>,
    detector: Detector,
    suspected: bool,
    down: bool,
    /// How often this version of its state was told on.
    pub(super) told: u32,
}

/// The members of a cluster as one of them sees it.
#[derive(Clone, Debug)]
pub struct Members {
    timing: Timing,
    pub(super) own: State,
    pub(super) entries: BTreeMap<NodeNumber, Entry>,
    turns: Vec<(NodeNumber, Turn)>,
    judged: Option<Instant>,
}

impl Members {
    /// A member that knows only itself.
    #[must_use]
    pub fn new(own: State, timing: Timing) -> Self {
        Self { timing, own, entries: BTreeMap::new(), turns: Vec::new(), judged: None }
    }

    /// Takes the members that the topology names: new ones are expected to be heard, the state of departed ones goes and
    /// cannot come back.
    pub fn admit(&mut self, members: impl Iterator<Item = NodeNumber>, now: Instant) {
        let named: BTreeSet<NodeNumber> = members.filter(|node| *node != self.own.number).collect();
        self.entries.retain(|node, _| named.contains(node));
        let expected = self.timing.interval * heard_every(named.len() + 1);
        for node in named {
            self.entries.entry(node).or_insert_with(|| Entry {
                state: None,
                start: 0,
                heartbeat: 0,
                direct: None,
                detector: Detector::new(self.timing, expected, now),
                suspected: false,
                down: false,
                told: 0,
            });
        }
    }

    /// Remembers the start number that an earlier run of this node saw a member show.
    pub fn recall(&mut self, node: NodeNumber, start: u64, now: Instant) {
        // Known by its address alone, a member has shown no start.
        if let Some(entry) = self.entries.get_mut(&node).filter(|_| start > 0) {
            // Long ago: whoever claims a later start now may be right.
            let long_ago = now.checked_sub(Duration::from_secs(3_600)).unwrap_or(now);
            entry.direct.get_or_insert(Word { start, heartbeat: 0, at: long_ago });
            entry.start = entry.start.max(start);
        }
    }

    /// One round of this node: its heartbeat rises, and what it says of itself is renewed.
    pub fn beat(&mut self, epoch: Epoch, address: &str, load: u32) {
        self.own.heartbeat += 1;
        if self.own.epoch != epoch || self.own.address != address || self.own.load != load {
            address.clone_into(&mut self.own.address);
            (self.own.epoch, self.own.load) = (epoch, load);
            self.own.version += 1;
        }
    }

    /// Takes what a member says of itself, over a connection on which it introduced itself.
    ///
    /// # Errors
    /// Why it is refused; nothing has changed then.
    pub fn hear(&mut self, state: State, now: Instant) -> Result<(), Refused> {
        if !state.is_sound() {
            return Err(Refused::Unsound);
        }
        let entry = self.entries.get_mut(&state.number).ok_or(Refused::Stranger)?;
        if entry.direct.is_some_and(|word| state.start < word.start) {
            return Err(Refused::OldStart);
        }
        entry.direct = Some(Word { start: state.start, heartbeat: state.heartbeat, at: now });
        // Its own word ends what others claimed to have heard beyond it; a little may have overtaken it.
        let version = entry.state.as_ref().map_or(0, |known| known.version);
        let beyond = entry.start == state.start
            && (entry.heartbeat > state.heartbeat + OVERTAKEN_MAX || version > state.version + OVERTAKEN_MAX);
        if entry.start > state.start || beyond {
            (entry.start, entry.heartbeat, entry.state) = (state.start, 0, None);
        }
        entry.advance(&mut self.turns, state.digest(), now);
        entry.detector.see(Evidence::Answered);
        entry.take(state);
        Ok(())
    }

    /// Takes what a member says of another.
    ///
    /// # Errors
    /// Why it is refused; nothing has changed then.
    pub fn hear_of(&mut self, state: State, now: Instant) -> Result<(), Refused> {
        if !state.is_sound() {
            return Err(Refused::Unsound);
        }
        self.reach(state.digest(), now)?;
        if let Some(entry) = self.entries.get_mut(&state.number)
            && entry.start == state.start
        {
            entry.take(state);
        }
        Ok(())
    }

    /// Takes how far a member has heard another: a heartbeat, perhaps.
    ///
    /// # Errors
    /// Why it is refused; nothing has changed then.
    pub fn reach(&mut self, digest: Digest, now: Instant) -> Result<(), Refused> {
        if digest.number == self.own.number {
            // This node knows itself best.
            return Ok(());
        }
        if digest.heartbeat >= u64::MAX / 2 || digest.version >= u64::MAX / 2 {
            return Err(Refused::Unsound);
        }
        let fresh = self.timing.interval * 2;
        let entry = self.entries.get_mut(&digest.number).ok_or(Refused::Stranger)?;
        if let Some(word) = entry.direct
            && digest.start == word.start
        {
            let passed =
                now.saturating_duration_since(word.at).as_millis() / self.timing.interval.as_millis().max(1);
            let rounds = u64::try_from(passed).unwrap_or(u64::MAX);
            // A node gossips a little faster than its interval when it has news.
            if digest.heartbeat
                > word.heartbeat.saturating_add(rounds.saturating_mul(8)).saturating_add(1_024)
            {
                return Err(Refused::Unsound);
            }
        }
        if let Some(Word { start, at, .. }) = entry.direct
            && digest.start > start
        {
            if digest.start - start > STARTS_AHEAD_MAX {
                return Err(Refused::ForgedStart);
            }
            if now.saturating_duration_since(at) <= fresh {
                // It has just said otherwise itself; if it was started again it will say so.
                return Ok(());
            }
        }
        entry.advance(&mut self.turns, digest, now);
        Ok(())
    }

    /// Takes what a request to a member showed.
    pub fn see(&mut self, node: NodeNumber, evidence: Evidence) {
        if let Some(entry) = self.entries.get_mut(&node) {
            entry.detector.see(evidence);
        }
    }

    /// Forgives all silence: this node itself stood still.
    fn excuse(&mut self, now: Instant) {
        for entry in self.entries.values_mut() {
            entry.detector.excuse(now);
        }
    }

    /// Judges every member anew; says whether this node suspects one that it did not suspect before, which it then should
    /// tell at once. After a pause of its own it first forgives all silence.
    pub fn judge(&mut self, now: Instant) -> bool {
        let paused = self.judged.map_or(Duration::ZERO, |judged| now.saturating_duration_since(judged));
        self.judged = Some(now);
        if paused > self.timing.interval * PAUSE_ROUNDS {
            self.excuse(now);
        }
        let suspects: BTreeSet<NodeNumber> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.detector.suspects(now))
            .map(|(node, _)| *node)
            .collect();
        let none = BTreeSet::new();
        let others = self
            .entries
            .iter()
            .map(|(node, entry)| (*node, entry.state.as_ref().map_or(&none, |state| &state.suspects)))
            .collect();
        let down = verdict::down(&suspects, &others);
        for (node, entry) in &mut self.entries {
            let (was, is) = ((entry.suspected, entry.down), (suspects.contains(node), down.contains(node)));
            (entry.suspected, entry.down) = is;
            match (was, is) {
                ((_, false), (_, true)) => self.turns.push((*node, Turn::Down)),
                ((false, _), (true, _)) => self.turns.push((*node, Turn::Suspected)),
                ((true, _), (false, _)) => self.turns.push((*node, Turn::Up)),
                _ => {}
            }
        }
        let anew = !suspects.is_subset(&self.own.suspects);
        if self.own.suspects != suspects {
            self.own.suspects = suspects;
            self.own.version += 1;
        }
        anew
    }

    /// What has become of members since this was last asked.
    pub fn take_turns(&mut self) -> Vec<(NodeNumber, Turn)> {
        std::mem::take(&mut self.turns)
    }

    /// How a member stands, as judged last.
    #[must_use]
    pub fn standing(&self, node: NodeNumber) -> Standing {
        match self.entries.get(&node) {
            _ if node == self.own.number => Standing::Up,
            None => Standing::Unheard,
            Some(entry) if entry.down => Standing::Down,
            Some(entry) if entry.suspected => Standing::Suspect,
            Some(entry) if entry.state.is_none() => Standing::Unheard,
            Some(_) => Standing::Up,
        }
    }

    /// The members that count as down, as judged last.
    #[must_use]
    pub fn down(&self) -> BTreeSet<NodeNumber> {
        self.entries.iter().filter(|(_, entry)| entry.down).map(|(node, _)| *node).collect()
    }

    /// The members that this node suspects, as judged last.
    #[must_use]
    pub fn suspects(&self) -> &BTreeSet<NodeNumber> {
        &self.own.suspects
    }

    /// What this node says of itself.
    #[must_use]
    pub fn own(&self) -> &State {
        &self.own
    }

    /// The state of another member, if it was heard.
    #[must_use]
    pub fn state(&self, node: NodeNumber) -> Option<&State> {
        self.entries.get(&node).and_then(|entry| entry.state.as_ref())
    }

    /// Every other member that was heard.
    pub fn states(&self) -> impl Iterator<Item = &State> {
        self.entries.values().filter_map(|entry| entry.state.as_ref())
    }

    /// The greatest start number that each member has shown itself.
    pub fn starts(&self) -> impl Iterator<Item = (NodeNumber, u64)> {
        self.entries.iter().filter_map(|(node, entry)| entry.direct.map(|word| (*node, word.start)))
    }

    /// The other members that the topology names.
    pub fn others(&self) -> impl Iterator<Item = NodeNumber> {
        self.entries.keys().copied()
    }
}

impl Entry {
    /// Takes a heartbeat if it is news.
    fn advance(&mut self, turns: &mut Vec<(NodeNumber, Turn)>, digest: Digest, now: Instant) {
        if (digest.start, digest.heartbeat) <= (self.start, self.heartbeat) {
            return;
        }
        if digest.start > self.start && self.start > 0 {
            turns.push((digest.number, Turn::Restarted));
            self.detector.excuse(now);
        } else if self.heartbeat == 0 {
            turns.push((digest.number, Turn::Up));
        }
        (self.start, self.heartbeat) = (digest.start, digest.heartbeat);
        self.detector.beat(now);
    }

    /// Takes a state if it is news.
    fn take(&mut self, state: State) {
        let known = self.state.as_ref().map(|known| (known.start, known.version));
        if known.is_none_or(|known| known < (state.start, state.version)) {
            self.told = 0;
            self.state = Some(state);
        } else if let Some(known) = &mut self.state
            && (known.start, known.heartbeat) < (state.start, state.heartbeat)
        {
            (known.heartbeat, known.now) = (state.heartbeat, state.now);
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests' own paused clock")]
mod tests {
    use super::*;
    use crate::base::ids::Time;

    const OTHER: NodeNumber = NodeNumber(2);

    fn state(number: u32, start: u64, heartbeat: u64, address: &str) -> State {
        State {
            number: NodeNumber(number),
            address: address.to_owned(),
            start,
            heartbeat,
            version: heartbeat,
            epoch: Epoch::default(),
            load: 0,
            suspects: BTreeSet::new(),
            now: Time(0),
        }
    }

    fn three(now: Instant) -> Members {
        let timing = Timing { interval: Duration::from_millis(500) };
        let mut members = Members::new(state(1, 1, 1, "a:1"), timing);
        members.admit([1, 2, 3].map(NodeNumber).into_iter(), now);
        members
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_has_gone_cannot_come_back_by_gossip() {
        let now = Instant::now();
        let mut members = three(now);
        members.hear(state(2, 1, 5, "b:1"), now).unwrap();
        members.admit([1, 3].map(NodeNumber).into_iter(), now);
        assert_eq!(members.state(OTHER), None);
        assert_eq!(members.hear(state(2, 1, 6, "b:1"), now), Err(Refused::Stranger));
        assert_eq!(members.hear_of(state(2, 9, 6, "b:1"), now), Err(Refused::Stranger));
        assert_eq!(members.state(OTHER), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_restarted_member_is_new_evidence_and_its_address_may_change() {
        let now = Instant::now();
        let mut members = three(now);
        members.hear(state(2, 1, 900, "b:1"), now).unwrap();
        members.see(OTHER, Evidence::Refused);
        members.judge(now);
        assert_eq!(members.standing(OTHER), Standing::Suspect);
        members.hear(state(2, 2, 1, "elsewhere:1"), now).unwrap();
        members.judge(now);
        assert_eq!(members.standing(OTHER), Standing::Up);
        assert_eq!(members.state(OTHER).map(|state| state.address.as_str()), Some("elsewhere:1"));
        assert!(members.take_turns().contains(&(OTHER, Turn::Restarted)));
        assert_eq!(members.hear(state(2, 1, 901, "b:1"), now), Err(Refused::OldStart));
        members.hear_of(state(2, 1, 902, "b:1"), now).unwrap();
        assert_eq!(members.state(OTHER).map(|state| state.start), Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_claim_of_a_start_ends_with_the_members_own_word() {
        let mut now = Instant::now();
        let mut members = three(now);
        members.hear(state(2, 1, 5, "b:1"), now).unwrap();
        assert_eq!(members.hear_of(state(2, 1_000, 1, "c:1"), now), Err(Refused::ForgedStart));
        // It has just spoken itself.
        members.hear_of(state(2, 2, 1, "c:1"), now).unwrap();
        assert_eq!(members.state(OTHER).map(|state| state.start), Some(1));
        now += Duration::from_secs(5);
        members.hear_of(state(2, 2, 1, "c:1"), now).unwrap();
        assert_eq!(members.state(OTHER).map(|state| state.start), Some(2));
        members.hear(state(2, 1, 6, "b:1"), now).unwrap();
        assert_eq!(members.state(OTHER).map(|state| state.address.as_str()), Some("b:1"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_stood_still_blames_nobody_for_its_own_silence() {
        let now = Instant::now();
        let mut members = three(now);
        members.hear(state(2, 1, 5, "b:1"), now).unwrap();
        let mut later = now + Duration::from_secs(60);
        members.judge(now);
        assert!(!members.judge(later), "it was this node that stood still");
        let mut suspected = false;
        for _ in 0..20 {
            later += Duration::from_millis(500);
            suspected |= members.judge(later);
        }
        assert!(suspected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_forged_heartbeat_or_version_does_not_silence_a_member() {
        let now = Instant::now();
        let mut members = three(now);
        let far = State { version: 1 << 60, ..state(2, 1, 900, "false:1") };
        members.hear_of(far, now).unwrap();
        members.hear(state(2, 1, 5, "b:1"), now).unwrap();
        assert_eq!(members.state(OTHER).map(|state| state.address.as_str()), Some("b:1"));
        assert_eq!(members.hear_of(state(2, 1, 1 << 60, "false:1"), now), Err(Refused::Unsound));
        members.hear(state(2, 1, 6, "b:1"), now).unwrap();
        assert_eq!(members.state(OTHER).map(|state| state.heartbeat), Some(6));
    }
}
