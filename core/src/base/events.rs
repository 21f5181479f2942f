//! What happens to a cluster as one node sees it: a bounded ring of numbered events. Whoever reads says after which
//! number, so that a slow reader costs nothing, misses the oldest at the most, and is told that it did.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::ids::NodeNumber;

/// Events that are kept: hours of a quiet cluster, and less than a megabyte.
const EVENTS_MAX: usize = 1_024;

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum EventKind {
    /// A member that the topology did not name before.
    MemberJoined,
    /// A member counts as up again, or for the first time.
    MemberUp,
    /// This node suspects a member.
    MemberSuspected,
    /// This node and enough others suspect a member: it counts as down.
    MemberDown,
    /// A member came back with a greater start number.
    MemberRestarted,
    /// A newer topology was confirmed.
    TopologyChanged,
    /// A member missed a write, the first of a series; its keys are kept for it.
    HintsOwed,
    /// Everything that a member was owed was delivered.
    HintsDelivered,
    /// Too many keys were owed: a whole partition is compared instead.
    HintsCollapsed,
    /// A fallback's copy was started because owners were away.
    FallbackStarted,
    /// A fallback's copy was handed to the owners and dropped.
    FallbackDrained,
    /// Something from outside was refused: gossip of another cluster, a forged start number, a clock too far ahead.
    Refused,
}

impl EventKind {
    /// The name in every language.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MemberJoined => "member_joined",
            Self::MemberUp => "member_up",
            Self::MemberSuspected => "member_suspected",
            Self::MemberDown => "member_down",
            Self::MemberRestarted => "member_restarted",
            Self::TopologyChanged => "topology_changed",
            Self::HintsOwed => "hints_owed",
            Self::HintsDelivered => "hints_delivered",
            Self::HintsCollapsed => "hints_collapsed",
            Self::FallbackStarted => "fallback_started",
            Self::FallbackDrained => "fallback_drained",
            Self::Refused => "refused",
        }
    }
}

/// One event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Its number, from 1, without gaps.
    pub number: u64,
    /// The node's wall clock when it happened, in Unix milliseconds.
    pub unix_ms: u64,
    /// What happened.
    pub kind: EventKind,
    /// The member that it is about.
    pub node: Option<NodeNumber>,
    /// For people: why, or how much.
    pub detail: String,
}

/// Some events in order.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// How many events after the asked number are gone because the reader was slow.
    pub missed: u64,
}

/// The events of a node.
#[derive(Debug)]
pub struct Events {
    kept: Mutex<VecDeque<Event>>,
    last: watch::Sender<u64>,
}

impl Default for Events {
    fn default() -> Self {
        Self { kept: Mutex::default(), last: watch::Sender::new(0) }
    }
}

impl Events {
    /// Adds an event.
    pub fn publish(
        &self,
        unix_ms: u64,
        kind: EventKind,
        node: Option<NodeNumber>,
        detail: impl Into<String>,
    ) {
        let mut kept = self.kept.lock();
        let number = self.last() + 1;
        if kept.len() == EVENTS_MAX {
            kept.pop_front();
        }
        kept.push_back(Event { number, unix_ms, kind, node, detail: detail.into() });
        // Under the lock, so that numbers rise in the order of the ring.
        self.last.send_replace(number);
    }

    /// The number of the last event; 0: none yet.
    #[must_use]
    pub fn last(&self) -> u64 {
        *self.last.borrow()
    }

    /// Up to `max` events after a number.
    #[must_use]
    pub fn after(&self, number: u64, max: usize) -> EventPage {
        let kept = self.kept.lock();
        let events: Vec<Event> =
            kept.iter().filter(|event| event.number > number).take(max).cloned().collect();
        let first = events.first().map_or(number + 1, |event| event.number);
        EventPage { events, missed: first - number - 1 }
    }

    /// Waits until there is an event after a number.
    pub async fn wait(&self, number: u64) {
        let mut last = self.last.subscribe();
        // The sender lives as long as this borrow of it.
        let _changed = last.wait_for(|last| *last > number).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_each_event_once_and_in_order() {
        let events = Events::default();
        for detail in ["a", "b", "c"] {
            events.publish(5, EventKind::MemberUp, Some(NodeNumber(1)), detail);
        }
        let page = events.after(0, 2);
        assert_eq!(page.events.iter().map(|event| event.detail.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((events.after(2, 9).events.len(), page.missed), (1, 0));
        assert_eq!(events.after(3, 9), EventPage::default());
    }

    #[test]
    fn a_slow_reader_is_told_how_much_it_missed() {
        let events = Events::default();
        for _ in 0..EVENTS_MAX + 10 {
            events.publish(5, EventKind::MemberDown, None, "");
        }
        let page = events.after(3, usize::MAX);
        assert_eq!((page.events.len(), page.missed), (EVENTS_MAX, 7));
    }

    #[tokio::test]
    async fn a_wait_ends_with_the_next_event() {
        let events = Events::default();
        let (_, ()) = tokio::join!(events.wait(0), async {
            events.publish(5, EventKind::HintsOwed, None, "");
        });
        assert_eq!(events.last(), 1);
    }
}
