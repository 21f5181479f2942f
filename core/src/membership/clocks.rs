//! How far this node's clock is ahead of the others': the median of what they told at once, so that one bad clock among
//! them decides nothing. Pure.

use std::collections::BTreeMap;

use crate::base::ids::NodeNumber;

/// The clocks of the others against this node's.
#[derive(Clone, Default, Debug)]
pub struct Clocks {
    /// Milliseconds by which each is ahead of this node's.
    ahead_ms: BTreeMap<NodeNumber, i64>,
}

impl Clocks {
    /// Takes what another's clock said when this node's said `ours_ms`, both in Unix milliseconds.
    pub fn hear(&mut self, node: NodeNumber, theirs_ms: u64, ours_ms: u64) {
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        self.ahead_ms.insert(node, signed(theirs_ms).saturating_sub(signed(ours_ms)));
    }

    /// Forgets every clock but those of these nodes.
    pub fn retain(&mut self, keep: impl Fn(NodeNumber) -> bool) {
        self.ahead_ms.retain(|node, _| keep(*node));
    }

    /// How many others were heard.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ahead_ms.len()
    }

    /// Whether no other was heard.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ahead_ms.is_empty()
    }

    /// Milliseconds by which the median of the others is ahead of this node's clock; below zero it is behind. None: no
    /// other was heard. Of two medians the one nearer to this node's clock, as one of two may be the bad one.
    #[must_use]
    pub fn median_ms(&self) -> Option<i64> {
        let mut sorted: Vec<i64> = self.ahead_ms.values().copied().collect();
        sorted.sort_unstable();
        let upper = sorted.get(sorted.len() / 2).copied()?;
        let lower = sorted.get((sorted.len() - 1) / 2).copied()?;
        Some(if lower.unsigned_abs() < upper.unsigned_abs() { lower } else { upper })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn median(theirs_ms: &[u64]) -> Option<i64> {
        let mut clocks = Clocks::default();
        for (number, theirs) in (1..).zip(theirs_ms) {
            clocks.hear(NodeNumber(number), *theirs, 1_000);
        }
        clocks.median_ms()
    }

    #[test]
    fn one_bad_clock_among_others_decides_nothing() {
        assert_eq!(median(&[1_010, 1_020, u64::MAX]), Some(20));
        assert_eq!(median(&[1_010, 0]), Some(10));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn this_nodes_own_bad_clock_shows() {
        assert_eq!(median(&[10, 20, 30]), Some(-980));
        assert_eq!(median(&[10]), Some(-990));
    }
}
