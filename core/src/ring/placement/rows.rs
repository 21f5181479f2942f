//! One step of placement: every partition's row gets so many nodes, as few as possible new ones, each node as many rows as
//! is fair. First drop what may not stay, then fill the gaps, then trade until the shares are met.

use super::queue::Queue;
use super::trade::{Market, Scope};
use super::tree::{LEVELS, Tree};

/// The rows of all partitions, as dense node indexes.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    tree: &'a Tree,
    pub(super) rows: Vec<Vec<u32>>,
    /// Per partition: how many leading nodes are settled by earlier steps.
    settled: Vec<usize>,
}

impl<'a> Rows<'a> {
    /// Rows of which all nodes so far are settled.
    pub(super) fn new(tree: &'a Tree, rows: Vec<Vec<u32>>) -> Self {
        let settled = rows.iter().map(Vec::len).collect();
        Self { tree, rows, settled }
    }

    /// Extends every row to `width` nodes. `wish` are the nodes that held the row before, best first. `trade` meets the
    /// shares exactly, at the price of searching; without it they are met only as the gaps allow.
    pub(super) fn extend(&mut self, width: usize, wish: &[Vec<u32>], trade: bool) {
        let width = width.min(self.tree.nodes());
        let none = Vec::new();
        let gaps: Vec<Vec<usize>> = (0..self.rows.len())
            .map(|partition| self.keep(partition, width, wish.get(partition).unwrap_or(&none)))
            .collect();
        self.fill(width, &gaps);
        if trade {
            let (held, fair) = self.shares(width);
            let before: Vec<Vec<u32>> =
                wish.iter().map(|wished| wished.iter().take(width).copied().collect()).collect();
            Market::new(self.tree, &mut self.rows, Scope::Behind(&self.settled), &before, held, fair)
                .settle();
        }
        self.settled = self.rows.iter().map(Vec::len).collect();
    }

    /// Orders the first `width` nodes of every row so that each leading part is spread and shared fairly, too.
    pub(super) fn order(&mut self, width: usize) {
        for position in 0..width.saturating_sub(1) {
            self.spread(position);
            let (held, fair) = self.shares(position + 1);
            Market::new(self.tree, &mut self.rows, Scope::Position(position), &[], held, fair).settle();
        }
    }

    /// Puts a node at this position that leaves the places up to it as evenly spread as the whole row is.
    fn spread(&mut self, position: usize) {
        for row in &mut self.rows {
            let fits = |at: &usize| {
                let leading: Vec<u32> = row.iter().take(position).chain(row.get(*at)).copied().collect();
                self.tree.fits(&leading, 0)
            };
            if let Some(at) = (position..row.len()).find(fits) {
                row.swap(position, at);
            }
        }
    }

    /// Per node how many of the first `width` places it holds, and the least and most that is fair.
    fn shares(&self, width: usize) -> (Vec<i64>, Vec<(i64, i64)>) {
        let held = held(self.tree, &self.rows, width);
        let fair = self.tree.fair_bounds(width, self.rows.len());
        let leaves = || (0..).take(self.tree.nodes()).map(|node| self.tree.leaf(node));
        let held = leaves().map(|leaf| held.get(leaf).copied().unwrap_or(0)).collect();
        (held, leaves().map(|leaf| fair.get(leaf).copied().unwrap_or((0, 0))).collect())
    }

    /// Takes over the wished nodes that the spread allows and returns the gaps between them.
    fn keep(&mut self, partition: usize, width: usize, wished: &[u32]) -> Vec<usize> {
        let Some(row) = self.rows.get_mut(partition) else { return Vec::new() };
        let settled = row.len();
        let fresh: Vec<u32> = wished.iter().filter(|node| !row.contains(node)).copied().collect();
        let mut gaps = Vec::new();
        for (place, at) in (settled..width).enumerate() {
            let Some(node) = fresh.get(place) else {
                gaps.push(at);
                continue;
            };
            row.push(*node);
            if !self.tree.knows(*node) || !self.tree.fits(row, width.saturating_sub(row.len())) {
                row.pop();
                gaps.push(at);
            }
        }
        gaps
    }

    /// Fills every gap with the node that is furthest below its target, zone by zone.
    fn fill(&mut self, width: usize, gaps: &[Vec<usize>]) {
        let held = held(self.tree, &self.rows, width);
        let targets = self.tree.targets(width, self.rows.len(), &held);
        let remaining: Vec<i64> = targets.iter().zip(&held).map(|(target, held)| target - held).collect();
        let mut queue = Queue::new(self.tree, &remaining);
        for (row, gaps) in self.rows.iter_mut().zip(gaps) {
            for (done, place) in gaps.iter().enumerate() {
                let leaf = queue.pick(row, gaps.len() - done, LEVELS);
                let Some(node) = leaf.and_then(|leaf| self.tree.node_of(leaf)) else { break };
                queue.take(self.tree.path(node));
                row.insert((*place).min(row.len()), node);
            }
        }
    }
}

/// Per group how many of the first `width` places of all rows it holds.
pub(super) fn held(tree: &Tree, rows: &[Vec<u32>], width: usize) -> Vec<i64> {
    let mut held = vec![0; tree.groups.len()];
    for group in rows.iter().flat_map(|row| row.iter().take(width)).flat_map(|node| tree.path(*node)) {
        if let Some(held) = held.get_mut(*group) {
            *held += 1;
        }
    }
    held
}
