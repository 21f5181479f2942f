//! What this node has heard of the others: address, start, epoch, clock, and when. Pure; addresses are told on, topology
//! is not decided here. A restarted node is new evidence: its greater start number wins over anything older.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::base::ids::{Epoch, NodeNumber, Time};

/// What a node said of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heard {
    /// Where it listens.
    pub address: String,
    /// How often it has been started.
    pub start: u64,
    /// Its announcements since.
    pub sequence: u64,
    /// The newest topology that it knows.
    pub epoch: Epoch,
    /// Its clock.
    pub now: Time,
}

#[derive(Clone, Debug)]
struct Entry {
    heard: Heard,
    /// When this node last heard it directly; none: only from others.
    at: Option<Instant>,
}

/// The members as this node sees them.
#[derive(Clone, Debug, Default)]
pub struct View {
    entries: BTreeMap<NodeNumber, Entry>,
}

impl View {
    /// Takes what a node said of itself, to this node.
    pub fn hear(&mut self, node: NodeNumber, heard: Heard, at: Instant) {
        self.take(node, heard);
        if let Some(entry) = self.entries.get_mut(&node) {
            entry.at = Some(at);
        }
    }

    /// Takes what others say that a node said; says whether it was news.
    pub fn take(&mut self, node: NodeNumber, heard: Heard) -> bool {
        match self.entries.get_mut(&node) {
            Some(entry) if (entry.heard.start, entry.heard.sequence) >= (heard.start, heard.sequence) => {
                false
            }
            Some(entry) => {
                entry.heard = heard;
                true
            }
            None => {
                self.entries.insert(node, Entry { heard, at: None });
                true
            }
        }
    }

    /// Whether a node was heard directly within `patience`.
    #[must_use]
    pub fn is_up(&self, node: NodeNumber, now: Instant, patience: Duration) -> bool {
        let at = self.entries.get(&node).and_then(|entry| entry.at);
        at.is_some_and(|at| now.saturating_duration_since(at) <= patience)
    }

    /// Everything known, by number.
    pub fn all(&self) -> impl Iterator<Item = (NodeNumber, &Heard)> {
        self.entries.iter().map(|(node, entry)| (*node, &entry.heard))
    }

    /// Where a node is reached.
    #[must_use]
    pub fn address(&self, node: NodeNumber) -> Option<&str> {
        self.entries.get(&node).map(|entry| entry.heard.address.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(start: u64, sequence: u64, address: &str) -> Heard {
        Heard { address: address.into(), start, sequence, epoch: Epoch::default(), now: Time(0) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_restarted_node_wins_over_older_words_about_it() {
        let mut view = View::default();
        assert!(view.take(NodeNumber(1), heard(1, 900, "old:1")));
        assert!(view.take(NodeNumber(1), heard(2, 1, "new:1")));
        assert!(!view.take(NodeNumber(1), heard(1, 901, "old:1")));
        assert_eq!(view.address(NodeNumber(1)), Some("new:1"));
    }

    #[tokio::test(start_paused = true)]
    #[expect(clippy::disallowed_methods, reason = "the test's own paused clock")]
    async fn only_what_was_heard_directly_makes_a_node_up() {
        let now = Instant::now();
        let patience = Duration::from_secs(5);
        let mut view = View::default();
        view.take(NodeNumber(1), heard(1, 1, "a:1"));
        assert!(!view.is_up(NodeNumber(1), now, patience));
        view.hear(NodeNumber(1), heard(1, 2, "a:1"), now);
        assert!(view.is_up(NodeNumber(1), now + patience, patience));
        assert!(!view.is_up(NodeNumber(1), now + patience * 2, patience));
    }
}
