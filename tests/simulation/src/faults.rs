//! What goes wrong and when, drawn from a seed: slow, lossy and cut links, processes that are killed or stand still,
//! machines that lose power or their disk, wall clocks that jump. A schedule never asks for more than the cluster
//! promises to bear.

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
    /// The nodes fall into groups that do not reach each other.
    Split {
        /// The group of each node.
        groups: Vec<u64>,
    },
    /// One direction of all links of a node is cut.
    OneWay {
        /// The node.
        node: u32,
        /// Whether it still hears the others; otherwise they hear it.
        hears: bool,
    },
    /// One direction of one link is worse than the others.
    Link {
        /// The sender.
        from: u32,
        /// The receiver.
        to: u32,
        /// What every frame takes.
        delay_ms: u64,
        /// How many frames of a million are lost.
        lost_per_million: u32,
    },
    /// Every cut heals, and every link is like the others again.
    Heal,
    /// The process stands still, as after SIGSTOP: its connections stay open, its clock goes on.
    Pause {
        /// The node.
        node: u32,
    },
    /// The process continues, if it stands still.
    Resume {
        /// The node.
        node: u32,
    },
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
    /// The machine loses its disk: what starts there next is a new member, which owns nothing.
    Wipe {
        /// The node.
        node: u32,
    },
    /// An image of the disk is taken, for `Clone`.
    Image {
        /// The node.
        node: u32,
    },
    /// The process ends, and one is started on the image that was taken of its disk, which knows less than it.
    Clone {
        /// The node.
        node: u32,
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
    /// How many machines may lose their disk: fewer than owners that acknowledge a write.
    pub wipes_max: usize,
    /// The longest time that a process stands still.
    pub pause_ms_max: u64,
    /// How far off a wall clock may be.
    pub skew_ms_max: u64,
    /// How far the clock of the last node jumps beyond that.
    pub jump: Jump,
    /// The longest time between two faults.
    pub gap_ms_max: u64,
}

/// How wrong the clock of one node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Jump {
    /// Like the others.
    None,
    /// A day ahead all the time.
    DayAhead,
    /// Up to a year ahead or behind, another at each jump.
    Year,
}

const DAY_MS: i64 = 86_400_000;
const YEAR_MS: i64 = 365 * DAY_MS;

struct Drawing {
    random: SmallRng,
    extent: Extent,
    at_ms: u64,
    down: Vec<u32>,
    /// Who stands still until when.
    still: Vec<(u32, u64)>,
    crashes: usize,
    wipes: usize,
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

    /// Another node than this one.
    fn other(&mut self, node: u32) -> Option<u32> {
        let other = self.node();
        (other != node).then_some(other)
    }

    fn cut(&mut self) -> Option<Fault> {
        let node = self.node();
        match self.below(8) {
            0..3 => Some(Fault::Cut { from: node, to: self.other(node)? }),
            3 | 4 => Some(Fault::Isolate { node }),
            5 => Some(Fault::OneWay { node, hears: self.below(2) == 0 }),
            _ => {
                let count = 2 + self.below(2);
                let groups = (0..self.extent.nodes).map(|_| self.below(count)).collect();
                Some(Fault::Split { groups })
            }
        }
    }

    /// One link that is slow, or loses two of five frames, while the others are well.
    fn bad_link(&mut self) -> Option<Fault> {
        let from = self.node();
        let to = self.other(from)?;
        let slow = self.below(2) == 0;
        let delay_ms = if slow { 200 + self.below(600) } else { 1 };
        Some(Fault::Link { from, to, delay_ms, lost_per_million: if slow { 0 } else { 400_000 } })
    }

    /// A node that may be taken away now: who is down or stands still already is one of those that may be.
    fn victim(&mut self) -> Option<u32> {
        let node = self.node();
        let at_ms = self.at_ms;
        self.still.retain(|(_, until)| *until > at_ms);
        let gone: Vec<u32> = self.still.iter().map(|(node, _)| *node).chain(self.down.clone()).collect();
        (gone.len() < self.extent.down_max && !gone.contains(&node)).then_some(node)
    }

    fn pause(&mut self) -> Option<Fault> {
        let node = self.victim()?;
        let until = self.at_ms + 50 + self.below(self.extent.pause_ms_max);
        self.still.push((node, until));
        Some(Fault::Pause { node })
    }

    fn down(&mut self) -> Option<Fault> {
        let node = self.victim()?;
        self.down.push(node);
        if self.wipes < self.extent.wipes_max && self.below(3) == 0 {
            self.wipes += 1;
            return Some(Fault::Wipe { node });
        }
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
        let jump_ms = match self.extent.jump {
            Jump::DayAhead => DAY_MS,
            Jump::Year => i64::try_from(self.below(2 * YEAR_MS.unsigned_abs())).unwrap_or(0) - YEAR_MS,
            Jump::None => 0,
        };
        let jumps = node + 1 == self.extent.nodes;
        Fault::Skew { node, ahead_ms: if jumps { ahead_ms + jump_ms } else { ahead_ms } }
    }

    fn next(&mut self) -> Option<Fault> {
        match self.below(100) {
            0..12 => Some(self.links()),
            12..32 => self.cut(),
            32..38 => self.bad_link(),
            38..58 => Some(Fault::Heal),
            58..70 => self.down(),
            70..76 => self.pause(),
            76..92 => self.restart(),
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
    let mut drawing =
        Drawing { random, extent, at_ms: 0, down: Vec::new(), still: Vec::new(), crashes: 0, wipes: 0 };
    let mut faults = Vec::new();
    for node in 0..extent.nodes {
        faults.push(Timed { at_ms: 0, fault: drawing.skew(node) });
    }
    loop {
        drawing.at_ms += 10 + drawing.below(extent.gap_ms_max);
        let at_ms = drawing.at_ms;
        if at_ms >= extent.duration_ms {
            break;
        }
        let Some(fault) = drawing.next() else { continue };
        if let (Fault::Pause { node }, Some((_, until))) = (&fault, drawing.still.last()) {
            faults.push(Timed { at_ms: *until, fault: Fault::Resume { node: *node } });
        }
        faults.push(Timed { at_ms, fault });
    }
    // Whoever still stands when the time is up continues when everything heals.
    faults.retain(|timed| timed.at_ms < extent.duration_ms);
    faults.sort_by_key(|timed| timed.at_ms);
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENT: Extent = Extent {
        nodes: 5,
        duration_ms: 60_000,
        down_max: 2,
        crashes_max: 3,
        wipes_max: 1,
        pause_ms_max: 20_000,
        skew_ms_max: 5_000,
        jump: Jump::None,
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
            let (mut down, mut crashes, mut wipes, mut last) = (Vec::new(), 0, 0, 0);
            let mut still: Vec<u32> = Vec::new();
            for Timed { at_ms, fault } in schedule(seed, EXTENT) {
                assert!(last <= at_ms && at_ms < EXTENT.duration_ms);
                last = at_ms;
                match fault {
                    Fault::Kill { node } | Fault::Crash { node, .. } | Fault::Wipe { node } => {
                        assert!(!down.contains(&node), "seed {seed}: {node} is down already");
                        down.push(node);
                        wipes += usize::from(matches!(fault, Fault::Wipe { .. }));
                        crashes += usize::from(matches!(fault, Fault::Crash { .. }));
                    }
                    Fault::Restart { node } => {
                        assert!(down.contains(&node), "seed {seed}: {node} is not down");
                        down.retain(|other| *other != node);
                    }
                    Fault::Skew { ahead_ms, .. } => assert!(ahead_ms.unsigned_abs() <= EXTENT.skew_ms_max),
                    Fault::Cut { from, to } => assert_ne!(from, to),
                    Fault::Pause { node } => still.push(node),
                    Fault::Resume { node } => still.retain(|other| *other != node),
                    Fault::Image { .. } | Fault::Clone { .. } => panic!("no promise bears clones yet"),
                    _ => {}
                }
                assert!(down.len() + still.len() <= EXTENT.down_max, "seed {seed}");
                assert!(crashes <= EXTENT.crashes_max && wipes <= EXTENT.wipes_max, "seed {seed}");
            }
        }
    }

    #[test]
    fn every_kind_of_fault_happens() {
        let faults = (0..20).flat_map(|seed| schedule(seed, EXTENT)).map(|timed| timed.fault);
        let kinds: std::collections::BTreeSet<String> = faults
            .map(|fault| format!("{fault:?}").split([' ', '{']).next().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(kinds.len(), 14, "{kinds:?}");
    }
}
