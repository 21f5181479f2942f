//! Trading places until every node holds its fair number of rows, rounded down or up.
//! In one partition one node comes in for another; where no single trade helps, the shortest chain of them is searched,
//! as augmenting paths are in a flow network.

use std::collections::{BTreeSet, VecDeque};

use super::tree::{Tree, mix};

/// How many nodes one search may visit, and how many places it may test: chains longer than two are rare.
const SEARCH_NODES_MAX: usize = 64;
const SEARCH_TESTS_MAX: u64 = 20_000;

/// After so many fruitless searches a step gives up: its shares cannot be met together with what earlier steps settled.
const SEARCHES_FRUITLESS_MAX: usize = 64;

/// Which trades are allowed in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scope<'a> {
    /// Any node may come in for one that stands behind the settled part of its row (one length per partition).
    Behind(&'a [usize]),
    /// The node at this position may change places with a later one of its row.
    Position(usize),
}

/// In one partition, one node comes in for another.
#[derive(Clone, Copy, Debug)]
struct Link {
    partition: usize,
    inward: u32,
    outward: u32,
}

/// Rows in the middle of being traded.
pub(super) struct Market<'a> {
    tree: &'a Tree,
    scope: Scope<'a>,
    rows: &'a mut [Vec<u32>],
    /// Per node the partitions where it stands in a place that may be traded.
    places: Vec<Vec<usize>>,
    /// The rows as they were before the change: a trade of what came in since moves nothing more.
    before: &'a [Vec<u32>],
    /// Per node: what it holds, and the least and the most that is fair.
    held: Vec<i64>,
    fair: Vec<(i64, i64)>,
}

impl<'a> Market<'a> {
    /// `held` and `fair` are per node and count the first places of all rows that the step is about.
    pub(super) fn new(
        tree: &'a Tree,
        rows: &'a mut [Vec<u32>],
        scope: Scope<'a>,
        before: &'a [Vec<u32>],
        held: Vec<i64>,
        fair: Vec<(i64, i64)>,
    ) -> Self {
        let mut places = vec![Vec::new(); tree.nodes()];
        for (partition, row) in rows.iter().enumerate() {
            let from = match scope {
                Scope::Behind(settled) => settled.get(partition).copied().unwrap_or(0),
                Scope::Position(position) => position,
            };
            for node in row.iter().skip(from) {
                if let Some(places) = places.get_mut(*node as usize) {
                    places.push(partition);
                }
            }
        }
        Self { tree, scope, rows, places, before, held, fair }
    }

    /// Trades until every node is fair, or nothing more can be done.
    pub(super) fn settle(&mut self) {
        let mut fruitless = 0;
        let mut progress = true;
        while progress {
            // Who has too few goes first: it takes from those that have too many, and so settles two at once.
            progress = self.round(-1, &mut fruitless);
            progress |= self.round(1, &mut fruitless);
        }
        self.recall();
    }

    /// Takes moves back where the shares allow it, or where trades of what has moved anyway make up for it.
    fn recall(&mut self) {
        for partition in 0..self.before.len().min(self.rows.len()) {
            let before = self.before.get(partition).map_or(&[][..], Vec::as_slice);
            let row = self.row(partition).to_vec();
            let gone = before.iter().filter(|node| self.tree.knows(**node) && !row.contains(node));
            for (inward, outward) in gone.zip(row.iter().filter(|node| !before.contains(node))) {
                let link = Link { partition, inward: *inward, outward: *outward };
                if self.allowed(&link) && self.off(*inward) == 0 && self.off(*outward) == 0 {
                    self.take_back(&link);
                }
            }
        }
    }

    /// Takes one move back, unless that leaves a node with too many or too few places.
    fn take_back(&mut self, link: &Link) {
        self.apply(link);
        if self.off(link.inward) == 0 && self.off(link.outward) == 0 {
            return;
        }
        let giver = |other| other == link.inward;
        if let Some(chain) = self.chain(&[link.outward], &giver, true)
            && chain.iter().all(|step| step.partition != link.partition)
        {
            chain.iter().for_each(|step| self.apply(step));
            return;
        }
        self.apply(&Link { inward: link.outward, outward: link.inward, ..*link });
    }

    /// Trades for every node that is off to one side, and says whether that did anything.
    fn round(&mut self, side: i64, fruitless: &mut usize) -> bool {
        let mut progress = false;
        for node in self.nodes() {
            while self.off(node).signum() == side && *fruitless < SEARCHES_FRUITLESS_MAX {
                let chain = if side < 0 { self.chain_into(node) } else { self.chain_out_of(node) };
                let Some(chain) = chain else {
                    *fruitless += 1;
                    break;
                };
                chain.iter().for_each(|link| self.apply(link));
                progress = true;
            }
        }
        progress
    }

    fn nodes(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.tree.nodes()).unwrap_or(u32::MAX)
    }

    fn held(&self, node: u32) -> i64 {
        self.held.get(node as usize).copied().unwrap_or(0)
    }

    fn fair(&self, node: u32) -> (i64, i64) {
        self.fair.get(node as usize).copied().unwrap_or((0, 0))
    }

    /// How far a node is above (positive) or below (negative) what is fair.
    fn off(&self, node: u32) -> i64 {
        let (held, (least, most)) = (self.held(node), self.fair(node));
        (held - most).max(0) + (held - least).min(0)
    }

    /// Gives a node below its least one place more, from a node above its most or, failing that, above its least.
    fn chain_into(&self, node: u32) -> Option<Vec<Link>> {
        let above = |other: u32| other != node && self.off(other) > 0;
        let spare = |other: u32| other != node && self.held(other) > self.fair(other).0;
        let any = self.nodes().any(above);
        let free = || self.chain(&[node], &spare, true);
        let common = || any.then(|| self.chain(&[node], &above, false)).flatten();
        free().or_else(common).or_else(|| self.chain(&[node], &spare, false))
    }

    /// Takes a place from a node above its most, for a node below its most.
    fn chain_out_of(&self, node: u32) -> Option<Vec<Link>> {
        let room: Vec<u32> = self.nodes().filter(|other| self.held(*other) < self.fair(*other).1).collect();
        let wanted = |other| other == node;
        self.chain(&room, &wanted, true).or_else(|| self.chain(&room, &wanted, false))
    }

    /// The shortest chain of trades, or of `free` ones only, after which one of `starts` holds one place more and one
    /// `wanted` node one less.
    fn chain(&self, starts: &[u32], wanted: &dyn Fn(u32) -> bool, free: bool) -> Option<Vec<Link>> {
        let spent = self.tree.tests.get();
        let mut visited: BTreeSet<u32> = starts.iter().copied().collect();
        let mut steps: Vec<(Link, Option<usize>)> = Vec::new();
        let mut queue: VecDeque<(u32, Option<usize>)> = starts.iter().map(|start| (*start, None)).collect();
        let mut budget = SEARCH_NODES_MAX.max(starts.len());
        while let Some((inward, step)) = queue.pop_front() {
            let so_far: Vec<Link> = Back { steps: &steps, at: step }.collect();
            if let Some(link) = self.links(inward, &so_far, wanted, free, 1).pop() {
                return Some([vec![link], so_far].concat());
            }
            budget = budget.saturating_sub(1);
            if budget == 0 || self.tree.tests.get() - spent > SEARCH_TESTS_MAX {
                return None;
            }
            let new = |other: u32| !visited.contains(&other);
            for link in self.links(inward, &so_far, &new, free, SEARCH_NODES_MAX) {
                visited.insert(link.outward);
                steps.push((link, step));
                queue.push_back((link.outward, Some(steps.len() - 1)));
            }
        }
        None
    }

    /// Trades that bring `inward` in for different nodes that are `wanted` out, in partitions that the chain so far does
    /// not touch.
    fn links(
        &self,
        inward: u32,
        so_far: &[Link],
        wanted: &dyn Fn(u32) -> bool,
        free: bool,
        most: usize,
    ) -> Vec<Link> {
        let link = |partition: usize, outward: u32| {
            let untouched = so_far.iter().all(|link| link.partition != partition);
            let link = Link { partition, inward, outward };
            (untouched && (!free || self.free(&link)) && self.allowed(&link)).then_some(link)
        };
        match self.scope {
            Scope::Behind(_) => {
                let others = self.nodes().filter(|other| *other != inward && wanted(*other));
                let first = |outward: u32| {
                    let places = self.places.get(outward as usize)?;
                    // Start elsewhere for each pair, so that a newcomer's places are spread over the ring.
                    let pair = u64::from(inward) << 32 | u64::from(outward);
                    let start = usize::try_from(mix(pair) % (places.len().max(1) as u64)).unwrap_or(0);
                    let mut round = places.iter().cycle().skip(start).take(places.len());
                    round.find_map(|partition| link(*partition, outward))
                };
                others.filter_map(first).take(most).collect()
            }
            Scope::Position(position) => {
                let mut seen = BTreeSet::new();
                let places = self.places.get(inward as usize).map_or(&[][..], Vec::as_slice);
                let at = |partition: &usize| {
                    let outward = self.row(*partition).get(position).copied()?;
                    let new = outward != inward && wanted(outward) && !seen.contains(&outward);
                    let link = new.then(|| link(*partition, outward)).flatten()?;
                    seen.insert(outward);
                    Some(link)
                };
                places.iter().filter_map(at).take(most).collect()
            }
        }
    }

    fn row(&self, partition: usize) -> &[u32] {
        self.rows.get(partition).map_or(&[], Vec::as_slice)
    }

    /// Whether a trade moves nothing that has not moved already.
    fn free(&self, link: &Link) -> bool {
        let before = self.before.get(link.partition).map_or(&[][..], Vec::as_slice);
        before.contains(&link.inward) || !before.contains(&link.outward)
    }

    fn allowed(&self, link: &Link) -> bool {
        let row = self.row(link.partition);
        let Some(out) = row.iter().position(|node| *node == link.outward) else { return false };
        let within = row.iter().position(|node| *node == link.inward);
        let after: Vec<u32> = match self.scope {
            Scope::Behind(settled) => {
                if within.is_some() || settled.get(link.partition).is_none_or(|settled| out < *settled) {
                    return false;
                }
                row.iter().map(|node| if *node == link.outward { link.inward } else { *node }).collect()
            }
            Scope::Position(position) => {
                if out != position || within.is_none_or(|within| within <= position) {
                    return false;
                }
                row.iter().take(position).copied().chain([link.inward]).collect()
            }
        };
        self.tree.fits(&after, 0)
    }

    fn apply(&mut self, link: &Link) {
        let Some(row) = self.rows.get_mut(link.partition) else { return };
        let Some(out) = row.iter().position(|node| *node == link.outward) else { return };
        if let Some(within) = row.iter().position(|node| *node == link.inward) {
            row.swap(out, within);
        } else {
            if let Some(slot) = row.get_mut(out) {
                *slot = link.inward;
            }
            if let Some(places) = self.places.get_mut(link.outward as usize) {
                places.retain(|partition| *partition != link.partition);
            }
            if let Some(places) = self.places.get_mut(link.inward as usize) {
                places.push(link.partition);
            }
        }
        for (node, change) in [(link.inward, 1), (link.outward, -1)] {
            if let Some(held) = self.held.get_mut(node as usize) {
                *held += change;
            }
        }
    }
}

/// Walks a chain of search steps back to where it began.
struct Back<'a> {
    steps: &'a [(Link, Option<usize>)],
    at: Option<usize>,
}

impl Iterator for Back<'_> {
    type Item = Link;

    fn next(&mut self) -> Option<Link> {
        let (link, before) = self.steps.get(self.at?)?;
        self.at = *before;
        Some(*link)
    }
}
