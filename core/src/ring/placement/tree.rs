//! The members as a tree of clouds, data centres, zones and nodes: how evenly replicas must spread, and whose fair share
//! is how much. Spreading comes first: a share is fair by capacity within what the spread allows.

use std::cell::Cell;
use std::collections::BTreeMap;

use crate::ring::topology::Member;

use super::POSITIONS_MAX;

/// Levels below the root: cloud, data centre, zone, node.
pub(super) const LEVELS: usize = 4;

/// The level at which data centres stand.
pub(super) const DATA_CENTRE_LEVEL: usize = 1;

/// Counts that differ by less than this part of a replica are whole: sums of shares are not exact.
const WHOLE: f64 = 1e-6;

/// A group of nodes, or one node.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) parent: usize,
    pub(super) children: Vec<usize>,
    /// Nodes below.
    pub(super) size: usize,
    capacity: f64,
    /// The node, where the group is one node alone.
    node: Option<u32>,
    /// By the number of replicas in this group: the most that any one child may hold of them.
    rounds: [usize; POSITIONS_MAX + 2],
}

/// The tree. Nodes are dense indexes in the order of the members given; group 0 is the root.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) groups: Vec<Group>,
    /// How often a place in a row was tested against the spread, which is what placement spends its time on.
    pub(super) tests: Cell<u64>,
    /// Per node: its cloud, data centre, zone and own group.
    pub(super) paths: Vec<[usize; LEVELS]>,
}

impl Tree {
    pub(super) fn new(members: &[&Member]) -> Self {
        let mut tree = Self {
            groups: vec![Group::new(0)],
            tests: Cell::new(0),
            paths: Vec::with_capacity(members.len()),
        };
        let (mut named, mut clouds) = (BTreeMap::new(), BTreeMap::new());
        for (index, member) in members.iter().enumerate() {
            let location = &member.location;
            // A data centre that members place in several clouds stands in the cloud of the first of them.
            let data_centre = location.data_centre();
            let cloud: &str = clouds.entry(data_centre).or_insert_with(|| location.cloud());
            let own = index.to_string();
            let zone = location.zone().map_or_else(|| ("node", own.as_str()), |zone| ("zone", zone));
            let names = [("cloud", cloud), ("dc", data_centre), zone, ("node", own.as_str())];
            let mut parent = 0;
            let mut path = [0; LEVELS];
            for (level, (slot, (kind, name))) in path.iter_mut().zip(names).enumerate() {
                let key = (level, parent, kind, name.to_owned());
                *slot = *named.entry(key).or_insert_with(|| tree.add(parent));
                parent = *slot;
            }
            tree.enlarge(&path, member.capacity);
            if let Some(leaf) = tree.groups.get_mut(parent) {
                leaf.node = u32::try_from(index).ok();
            }
            tree.paths.push(path);
        }
        tree.count_rounds();
        tree
    }

    fn add(&mut self, parent: usize) -> usize {
        let group = self.groups.len();
        self.groups.push(Group::new(parent));
        if let Some(parent) = self.groups.get_mut(parent) {
            parent.children.push(group);
        }
        group
    }

    fn enlarge(&mut self, path: &[usize; LEVELS], capacity: f64) {
        for group in std::iter::once(&0).chain(path) {
            if let Some(group) = self.groups.get_mut(*group) {
                group.size += 1;
                group.capacity += capacity;
            }
        }
    }

    fn count_rounds(&mut self) {
        for group in 0..self.groups.len() {
            let sizes: Vec<usize> = self.children(group).iter().map(|child| self.size(*child)).collect();
            let mut rounds = [0; POSITIONS_MAX + 2];
            for (replicas, most) in rounds.iter_mut().enumerate() {
                let holds =
                    |round: &usize| sizes.iter().map(|size| size.min(round)).sum::<usize>() >= replicas;
                *most = (0..=replicas).find(holds).unwrap_or(replicas);
            }
            if let Some(group) = self.groups.get_mut(group) {
                group.rounds = rounds;
            }
        }
    }

    pub(super) fn nodes(&self) -> usize {
        self.paths.len()
    }

    pub(super) fn knows(&self, node: u32) -> bool {
        usize::try_from(node).is_ok_and(|node| node < self.paths.len())
    }

    pub(super) fn path(&self, node: u32) -> &[usize; LEVELS] {
        const NOWHERE: &[usize; LEVELS] = &[0; LEVELS];
        usize::try_from(node).ok().and_then(|node| self.paths.get(node)).unwrap_or(NOWHERE)
    }

    /// The group of one node alone.
    pub(super) fn leaf(&self, node: u32) -> usize {
        self.path(node)[LEVELS - 1]
    }

    /// The node of a group that is one node alone.
    pub(super) fn node_of(&self, group: usize) -> Option<u32> {
        self.groups.get(group).and_then(|group| group.node)
    }

    pub(super) fn children(&self, group: usize) -> &[usize] {
        self.groups.get(group).map_or(&[], |group| &group.children)
    }

    fn size(&self, group: usize) -> usize {
        self.groups.get(group).map_or(0, |group| group.size)
    }

    /// The most replicas of a partition that a child may hold when its parent holds so many: as even as sizes allow.
    pub(super) fn most(&self, child: usize, in_parent: usize) -> usize {
        let Some(group) = self.groups.get(child) else { return 0 };
        let rounds = self.groups.get(group.parent).map_or(&[][..], |parent| &parent.rounds);
        group.size.min(rounds.get(in_parent).or(rounds.last()).copied().unwrap_or(0))
    }

    /// Whether a row of nodes, with so many more to come, can still be spread as it must.
    pub(super) fn fits(&self, row: &[u32], holes: usize) -> bool {
        self.tests.set(self.tests.get() + 1);
        for (at, node) in row.iter().enumerate() {
            let path = self.path(*node);
            let mut in_parent = row.len() + holes;
            for (level, group) in path.iter().enumerate() {
                let held = row.iter().filter(|other| self.path(**other).get(level) == Some(group)).count();
                let most = self.most(*group, in_parent);
                if held > most {
                    return false;
                }
                in_parent = most.min(held + holes);
            }
            if row.iter().skip(at + 1).any(|other| other == node) {
                return false;
            }
        }
        true
    }

    /// Per group: the fair number of replicas of `partitions` partitions, `replicas` each.
    pub(super) fn fair(&self, replicas: usize, partitions: f64) -> Vec<f64> {
        let mut shares = vec![0.0; self.groups.len()];
        if let Some(root) = shares.first_mut() {
            *root = f64_of(replicas.min(self.nodes()));
        }
        // Parents stand before their children.
        for group in 0..self.groups.len() {
            let share = shares.get(group).copied().unwrap_or(0.0);
            for (child, part) in self.split(group, share) {
                if let Some(slot) = shares.get_mut(child) {
                    *slot = part;
                }
            }
        }
        shares.iter().map(|share| share * partitions).collect()
    }

    /// Splits a group's share of each partition among its children: by capacity, between the least and the most that an
    /// even spread gives each.
    fn split(&self, group: usize, share: f64) -> Vec<(usize, f64)> {
        let children = self.children(group);
        let whole = (0..=POSITIONS_MAX).rev().find(|count| f64_of(*count) <= share + WHOLE).unwrap_or(0);
        let rest = (share - f64_of(whole)).max(0.0);
        let (low, high) = (self.bounds(children, whole), self.bounds(children, whole + 1));
        let mut parts: Vec<Part> = children
            .iter()
            .zip(low.iter().zip(&high))
            .map(|(child, (low, high))| Part {
                capacity: self.groups.get(*child).map_or(0.0, |child| child.capacity),
                least: low.0 * (1.0 - rest) + high.0 * rest,
                most: low.1 * (1.0 - rest) + high.1 * rest,
                share: None,
            })
            .collect();
        fill(&mut parts, share);
        children.iter().copied().zip(parts.iter().map(|part| part.share.unwrap_or(0.0))).collect()
    }

    /// Per child the least and the most replicas when the parent holds so many.
    fn bounds(&self, children: &[usize], in_parent: usize) -> Vec<(f64, f64)> {
        let most: Vec<usize> = children.iter().map(|child| self.most(*child, in_parent)).collect();
        let all: usize = most.iter().sum();
        let before = most.iter().copied().max().unwrap_or(0).saturating_sub(1);
        let least = |child: &usize, most: usize| {
            let even = if all >= in_parent { self.size(*child).min(before) } else { most };
            even.max(in_parent.saturating_sub(all - most)).min(most)
        };
        children.iter().zip(&most).map(|(child, most)| (f64_of(least(child, *most)), f64_of(*most))).collect()
    }

    /// Per group its fair number of replicas rounded down and up.
    pub(super) fn fair_bounds(&self, replicas: usize, partitions: usize) -> Vec<(i64, i64)> {
        let bounds = |fair: &f64| (whole((fair + WHOLE).floor()), whole((fair - WHOLE).ceil()));
        self.fair(replicas, f64_of(partitions)).iter().map(bounds).collect()
    }

    /// Per group a whole number of replicas: its fair number rounded down or up, so that all add up; up where more than
    /// that are held already, because that moves least.
    pub(super) fn targets(&self, replicas: usize, partitions: usize, held: &[i64]) -> Vec<i64> {
        let fair = self.fair(replicas, f64_of(partitions));
        let mut targets = vec![0; self.groups.len()];
        if let Some(root) = targets.first_mut() {
            *root = i64::try_from(replicas.min(self.nodes()) * partitions).unwrap_or(i64::MAX);
        }
        for group in 0..self.groups.len() {
            let total = targets.get(group).copied().unwrap_or(0);
            let mut children: Vec<Rounding> = self
                .children(group)
                .iter()
                .map(|child| {
                    let fair = fair.get(*child).copied().unwrap_or(0.0);
                    let floor = (fair + WHOLE).floor();
                    let down = whole(floor);
                    let surplus = held.get(*child).copied().unwrap_or(0) - down;
                    Rounding { child: *child, down, fraction: (fair - floor).max(0.0), surplus }
                })
                .collect();
            let mut extra = total - children.iter().map(|child| child.down).sum::<i64>();
            children.sort_by(Rounding::first_up);
            for child in children {
                let up = i64::from(extra > 0 && child.fraction > WHOLE);
                extra -= up;
                if let Some(target) = targets.get_mut(child.child) {
                    *target = child.down + up;
                }
            }
        }
        targets
    }
}

impl Group {
    fn new(parent: usize) -> Self {
        Self {
            parent,
            children: Vec::new(),
            size: 0,
            capacity: 0.0,
            node: None,
            rounds: [0; POSITIONS_MAX + 2],
        }
    }
}

struct Rounding {
    child: usize,
    down: i64,
    fraction: f64,
    surplus: i64,
}

impl Rounding {
    fn first_up(&self, other: &Self) -> std::cmp::Ordering {
        let key = |it: &Self| (it.fraction > WHOLE, it.surplus > 0);
        key(other)
            .cmp(&key(self))
            .then(other.fraction.total_cmp(&self.fraction))
            .then(mix(self.child as u64).cmp(&mix(other.child as u64)))
    }
}

struct Part {
    capacity: f64,
    least: f64,
    most: f64,
    share: Option<f64>,
}

/// Shares in proportion to capacity within each part's bounds: fix whoever breaks a bound on the side that is broken by
/// more in all, and share the rest among the others again.
fn fill(parts: &mut [Part], total: f64) {
    while parts.iter().any(|part| part.share.is_none()) {
        let fixed: f64 = parts.iter().filter_map(|part| part.share).sum();
        let free: f64 = parts.iter().filter(|part| part.share.is_none()).map(|part| part.capacity).sum();
        let scale = (total - fixed).max(0.0) / free;
        let open = || parts.iter().filter(|part| part.share.is_none());
        let over: f64 = open().map(|part| (scale * part.capacity - part.most).max(0.0)).sum();
        let under: f64 = open().map(|part| (part.least - scale * part.capacity).max(0.0)).sum();
        let settled = over <= 0.0 && under <= 0.0;
        for part in parts.iter_mut().filter(|part| part.share.is_none()) {
            let share = scale * part.capacity;
            if settled {
                part.share = Some(share);
            } else if over >= under && share >= part.most {
                part.share = Some(part.most);
            } else if under > over && share <= part.least {
                part.share = Some(part.least);
            }
        }
    }
}

/// A scrambled number (the finaliser of SplitMix64): breaks ties without favouring low numbers.
pub(super) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[expect(clippy::cast_precision_loss, reason = "replicas and partitions are far below 2^53")]
fn f64_of(count: usize) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, reason = "replicas in all are far below 2^53, and never negative")]
fn whole(value: f64) -> i64 {
    value as i64
}
