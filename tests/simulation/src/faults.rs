//! What goes wrong and when, drawn from a seed: slow, lossy and cut links, processes killed, machines that lose power,
//! wall clocks that jump. A schedule never asks for more than the cluster promises to bear.

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

/// One fault, or its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Every link takes this long, and loses so many frames of a million.
    Links {
        /// What every frame takes.
        delay_ms: u64,
        /// What a frame takes beyond that, at most.
        jitter_ms: u64,
        /// How many frames of a million are lost.
        lost_per_million: u32,
        /// Whether frames may overtake each other.
        reorder: bool,
    },
    /// One direction between two nodes is cut.
    Cut {
        /// The node that is not heard.
        from: u32,
        /// The node that does not hear it.
        to: u32,
    },
    /// A node is cut off from all others, both ways.
    Isolate {
        /// The node.
        node: u32,
    },
    /// Every cut heals.
    Heal,
    /// The process ends with nothing flushed; the operating system keeps what it was given.
    Kill {
        /// The node.
        node: u32,
    },
    /// The machine loses power: a part of what was not synced is gone.
    Crash {
        /// The node.
        node: u32,
        /// Decides how much is gone.
        random: u64,
    },
    /// A node that is down comes back.
    Restart {
        /// The node.
        node: u32,
    },
    /// A wall clock is set to be off by this much.
    Skew {
        /// The node.
        node: u32,
        /// How much its clock is ahead (or behind) of the others.
        ahead_ms: i64,
    },
}

/// A fault and when it happens, in milliseconds since the cluster was ready.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timed {
    /// When.
    pub at_ms: u64,
    /// What.
    pub fault: Fault,
}

/// What may go wrong in a run.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// The nodes, numbered from 0.
    pub nodes: u32,
    /// How long faults go on.
    pub duration_ms: u64,
    /// The most nodes that are down at once.
    pub down_max: usize,
    /// How often a machine may lose power. Without a sync before each acknowledgement only once: two owners that
    /// forget together may forget an acknowledged write, and nobody promised otherwise.
    pub crashes_max: usize,
    /// How far off a wall clock may be.
    pub skew_ms_max: u64,
    /// Whether the clock of the last node is a day ahead of that.
    pub day_ahead: bool,
    /// The longest time between two faults.
    pub gap_ms_max: u64,
}

/// How far ahead a clock that is set wrong may be.
const DAY_MS: i64 = 86_400_000;

struct Drawing {
    random: SmallRng,
    extent: Extent,
    down: Vec<u32>,
    crashes: usize,
}

impl Drawing {
    fn below(&mut self, bound: u64) -> u64 {
        self.random.next_u64() % bound.max(1)
    }

    fn node(&mut self) -> u32 {
        u32::try_from(self.below(u64::from(self.extent.nodes))).unwrap_or(0)
    }

    fn links(&mut self) -> Fault {
        let lost_per_million = match self.below(5) {
            0 | 1 => 0,
            2 => 2_000,
            3 => 20_000,
            _ => 150_000,
        };
        let (delay_ms, jitter_ms) = (self.below(20), self.below(40));
        Fault::Links { delay_ms, jitter_ms, lost_per_million, reorder: self.below(3) == 0 }
    }

    fn down(&mut self) -> Option<Fault> {
        let node = self.node();
        if self.down.len() >= self.extent.down_max || self.down.contains(&node) {
            return None;
        }
        self.down.push(node);
        if self.crashes < self.extent.crashes_max && self.below(2) == 0 {
            self.crashes += 1;
            return Some(Fault::Crash { node, random: self.random.next_u64() });
        }
        Some(Fault::Kill { node })
    }

    fn restart(&mut self) -> Option<Fault> {
        let at = usize::try_from(self.below(u64::try_from(self.down.len()).ok()?)).ok()?;
        (at < self.down.len()).then(|| Fault::Restart { node: self.down.remove(at) })
    }

    fn skew(&mut self, node: u32) -> Fault {
        let most = i64::try_from(self.extent.skew_ms_max).unwrap_or(i64::MAX);
        let ahead_ms = i64::try_from(self.below(self.extent.skew_ms_max * 2 + 1)).unwrap_or(0) - most;
        let wrong = self.extent.day_ahead && node + 1 == self.extent.nodes;
        Fault::Skew { node, ahead_ms: if wrong { ahead_ms + DAY_MS } else { ahead_ms } }
    }

    fn next(&mut self) -> Option<Fault> {
        match self.below(100) {
            0..15 => Some(self.links()),
            15..30 => {
                let (from, to) = (self.node(), self.node());
                (from != to).then_some(Fault::Cut { from, to })
            }
            30..38 => Some(Fault::Isolate { node: self.node() }),
            38..58 => Some(Fault::Heal),
            58..72 => self.down(),
            72..92 => self.restart(),
            _ => {
                let node = self.node();
                Some(self.skew(node))
            }
        }
    }
}

/// The faults of a seed, in order of time.
#[must_use]
pub fn schedule(seed: u64, extent: Extent) -> Vec<Timed> {
    let random = SmallRng::seed_from_u64(seed ^ 0x5fa7_17f0_0bad_cafe);
    let mut drawing = Drawing { random, extent, down: Vec::new(), crashes: 0 };
    let mut faults = Vec::new();
    for node in 0..extent.nodes {
        faults.push(Timed { at_ms: 0, fault: drawing.skew(node) });
    }
    let mut at_ms = 0;
    loop {
        at_ms += 10 + drawing.below(extent.gap_ms_max);
        if at_ms >= extent.duration_ms {
            return faults;
        }
        faults.extend(drawing.next().map(|fault| Timed { at_ms, fault }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENT: Extent = Extent {
        nodes: 5,
        duration_ms: 60_000,
        down_max: 2,
        crashes_max: 3,
        skew_ms_max: 5_000,
        day_ahead: false,
        gap_ms_max: 600,
    };

    #[test]
    fn a_seed_decides_everything() {
        assert_eq!(schedule(7, EXTENT), schedule(7, EXTENT));
        assert_ne!(schedule(7, EXTENT), schedule(8, EXTENT));
    }

    #[test]
    fn no_schedule_asks_for_more_than_its_extent() {
        for seed in 0..200 {
            let (mut down, mut crashes, mut last) = (Vec::new(), 0, 0);
            for Timed { at_ms, fault } in schedule(seed, EXTENT) {
                assert!(last <= at_ms && at_ms < EXTENT.duration_ms);
                last = at_ms;
                match fault {
                    Fault::Kill { node } | Fault::Crash { node, .. } => {
                        assert!(!down.contains(&node), "seed {seed}: {node} is down already");
                        down.push(node);
                        crashes += usize::from(matches!(fault, Fault::Crash { .. }));
                    }
                    Fault::Restart { node } => {
                        assert!(down.contains(&node), "seed {seed}: {node} is not down");
                        down.retain(|other| *other != node);
                    }
                    Fault::Skew { ahead_ms, .. } => assert!(ahead_ms.unsigned_abs() <= EXTENT.skew_ms_max),
                    Fault::Cut { from, to } => assert_ne!(from, to),
                    Fault::Links { .. } | Fault::Isolate { .. } | Fault::Heal => {}
                }
                assert!(down.len() <= EXTENT.down_max && crashes <= EXTENT.crashes_max, "seed {seed}");
            }
        }
    }

    #[test]
    fn every_kind_of_fault_happens() {
        let faults = (0..20).flat_map(|seed| schedule(seed, EXTENT)).map(|timed| timed.fault);
        let kinds: std::collections::BTreeSet<String> = faults
            .map(|fault| format!("{fault:?}").split([' ', '{']).next().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(kinds.len(), 8, "{kinds:?}");
    }
}
