//! This node's clock against the others': whose is believed, and what a node does whose own is wrong. It stops minting
//! and says so; it goes on merging what others minted.

use std::sync::atomic::Ordering;

use super::NodeCore;
use crate::base::ids::{NodeNumber, Time};
use crate::base::{Error, ErrorKind, Result};
use crate::client::TopologySource;

/// A clock that is further behind than this has not been set: what others say then goes to no lease.
const BEHIND_MS_MAX: u64 = 2 * 366 * 86_400_000;

impl NodeCore {
    /// Looks at the clock's jumps and at how far it is ahead of the peers' median.
    pub(super) fn look_at_clocks(&self) {
        let wall = self.env.unix_ms();
        let (median, peers) = {
            let mut clocks = self.clocks.lock();
            // Those that are down are not forgotten: what they said still tells a jump of this clock.
            let topology = self.topology.current();
            clocks.retain(|node| {
                topology.as_ref().is_some_and(|topology| topology.members.contains_key(&node))
            });
            (clocks.median_ms(), clocks.len())
        };
        let jumped = self.clock.check(median);
        if self.env.unix_ms().abs_diff(wall) > self.settings.clock_skew_max_ms {
            // They were measured against a clock that is no longer shown.
            self.clocks.lock().retain(|_| false);
            return;
        }
        if jumped > 0 {
            let reason =
                format!("this node's clock jumped {jumped} ms ahead of its peers' and is not believed");
            self.refused("clock_jump", self.number(), &reason);
        }
        let ours = i64::try_from(self.hlc.read(wall).unix_ms()).unwrap_or(i64::MAX);
        let theirs = i64::try_from(wall).unwrap_or(i64::MAX).saturating_add(median.unwrap_or(0));
        let lead = if peers == 0 { 0 } else { u64::try_from(ours.saturating_sub(theirs)).unwrap_or(0) };
        let lead = if lead > self.settings.clock_skew_max_ms { lead } else { 0 };
        self.lead_ms.store(lead, Ordering::Release);
        if lead > 0 {
            let reason =
                format!("this node's clock is {lead} ms ahead of its peers' median: it mints no versions");
            self.refused("clock_lead", self.number(), &reason);
        }
    }

    /// Takes a peer's clock as it said it just now; a believable one raises this node's.
    pub(super) fn hear_clock(&self, node: NodeNumber, now: Time) {
        if now >= Time::LIMIT {
            return self.refused("clock_ahead", Some(node), "a time past the end of time");
        }
        self.clocks.lock().hear(node, now.unix_ms(), self.env.unix_ms());
        self.absorb(Some(node), now);
    }

    /// A believable clock of a peer raises this node's: one that is not far ahead of this node's own, or of the median of
    /// several peers' where this node is the slow one.
    pub(super) fn absorb(&self, node: Option<NodeNumber>, now: Time) {
        let behind = {
            let clocks = self.clocks.lock();
            let median = clocks.median_ms().filter(|_| clocks.len() > 1);
            median.and_then(|median| u64::try_from(median).ok()).filter(|behind| *behind <= BEHIND_MS_MAX)
        };
        let ours = self.env.unix_ms().saturating_add(behind.unwrap_or(0));
        if now.unix_ms() <= ours.saturating_add(self.settings.clock_skew_max_ms) {
            self.hlc.absorb(now);
        } else {
            let reason = format!("a clock {} ms ahead of this node's", now.unix_ms() - ours);
            self.refused("clock_ahead", node, &reason);
        }
    }

    /// Whether this node may mint versions.
    ///
    /// # Errors
    /// `ClockSkew` when its clock is far ahead of its peers' median.
    pub(super) fn check_clock(&self) -> Result<()> {
        match self.lead_ms.load(Ordering::Acquire) {
            0 => Ok(()),
            lead => Err(Error::new(
                ErrorKind::ClockSkew,
                format!("this node's clock is {lead} ms ahead of its peers' median: set it right"),
            )),
        }
    }

    pub(super) fn number(&self) -> Option<NodeNumber> {
        self.serving.get().map(|serving| serving.replica.number())
    }
}
