//! Placement: which nodes hold which partition, in which order, computed from the previous placement and the members.
//! A pure function; the proposer of a topology runs it and everyone else takes the agreed result as data.
//!
//! Owners stand in distinct clouds, data centres and zones as far as there are any; within that each node's share of three
//! replicas follows its capacity to within one, and a change moves little more than it must (docs/decisions/0009-placement.md).

use std::collections::BTreeMap;

use crate::base::NodeNumber;

use super::topology::Member;

#[cfg(test)]
mod claims;
#[cfg(test)]
mod least;
mod merge;
mod queue;
mod rows;
mod trade;
mod tree;

use rows::Rows;
use tree::Tree;

/// The most nodes that a partition lists in one data centre: seven owners and as many fallbacks.
pub const POSITIONS_MAX: usize = 14;

/// The most replicas whose owners are placed with care; positions after it hold only fallbacks.
const OWNERS_MAX: usize = 7;

/// The replica count whose shares are met first and therefore exactly: the default.
const OWNERS_FIRST: usize = 3;

/// A node that is no member any more, in a row of dense indexes.
const GONE: u32 = u32::MAX;

/// Per data centre and partition the ordered nodes, and how the data centres' lists are merged.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Placement {
    /// Per data centre, per partition: its nodes in order, at most `POSITIONS_MAX`.
    pub lists: BTreeMap<String, Vec<Vec<NodeNumber>>>,
    /// Per partition: the data centre (as a position in `lists`) from which each position of the merged list is taken.
    /// Empty when there is one data centre, whose lists need no merging.
    pub order: Vec<Vec<u16>>,
}

/// Computes the placement of `partitions` over the members (at least one, at most 16 data centres).
#[must_use]
pub fn place(previous: &Placement, members: &[&Member], partitions: u32) -> Placement {
    counted(previous, members, partitions).0
}

/// The placement and how many tests of places it took.
fn counted(previous: &Placement, members: &[&Member], partitions: u32) -> (Placement, u64) {
    let partitions = usize::try_from(partitions).unwrap_or(0);
    let tree = Tree::new(members);
    let before = Before::new(previous, members, partitions);
    let mut rows = Rows::new(&tree, vec![Vec::new(); partitions]);
    rows.extend(OWNERS_FIRST, &before.merged, true);
    rows.order(OWNERS_FIRST);

    let mut groups: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (index, member) in (0..).zip(members) {
        groups.entry(member.location.data_centre()).or_default().push(index);
    }
    if let (1, Some(name)) = (groups.len(), groups.keys().next()) {
        lengthen(&mut rows, &before.merged);
        let lists = rows.rows.iter().map(|row| numbers(row, members)).collect();
        let lists = BTreeMap::from([((*name).to_owned(), lists)]);
        return (Placement { lists, order: Vec::new() }, tree.tests.get());
    }
    let mut tests = 0;
    let mut lists = BTreeMap::new();
    for (name, indexes) in &groups {
        let (list, spent) = data_centre(&rows.rows, before.lists.get(*name), members, indexes);
        tests += spent;
        lists.insert(*name, list);
    }
    let order = merge::merge(&tree, &mut rows.rows, &lists, &previous.order_by_name());
    let named = |(name, rows): (&str, Vec<Vec<u32>>)| {
        (name.to_owned(), rows.iter().map(|row| numbers(row, members)).collect())
    };
    let placement = Placement { lists: lists.into_iter().map(named).collect(), order };
    (placement, tests + tree.tests.get())
}

/// The rows of one data centre: first its part of the merged owners, in their order, then its own further nodes.
fn data_centre(
    merged: &[Vec<u32>],
    wish: Option<&Vec<Vec<u32>>>,
    members: &[&Member],
    indexes: &[u32],
) -> (Vec<Vec<u32>>, u64) {
    let local: BTreeMap<u32, u32> = indexes.iter().copied().zip(0..).collect();
    let inside: Vec<&Member> =
        indexes.iter().filter_map(|index| members.get(usize::try_from(*index).ok()?).copied()).collect();
    let inward = |row: &Vec<u32>| row.iter().filter_map(|node| local.get(node).copied()).collect();
    let tree = Tree::new(&inside);
    let mut rows = Rows::new(&tree, merged.iter().map(inward).collect());
    let none = vec![Vec::new(); merged.len()];
    let wish: Vec<Vec<u32>> = wish.unwrap_or(&none).iter().map(inward).collect();
    rows.extend(OWNERS_FIRST, &leading(&wish, OWNERS_FIRST), true);
    lengthen(&mut rows, &wish);
    let outward = |row: &Vec<u32>| {
        row.iter().filter_map(|node| indexes.get(usize::try_from(*node).ok()?).copied()).collect()
    };
    (rows.rows.iter().map(outward).collect(), tree.tests.get())
}

/// Adds the further owners one position after the other, then the fallbacks.
fn lengthen(rows: &mut Rows<'_>, wish: &[Vec<u32>]) {
    for width in OWNERS_FIRST + 1..=OWNERS_MAX {
        rows.extend(width, &leading(wish, width), true);
    }
    rows.extend(POSITIONS_MAX, &leading(wish, POSITIONS_MAX), false);
}

/// The nodes that held the leading places and are still there.
fn leading(wish: &[Vec<u32>], width: usize) -> Vec<Vec<u32>> {
    wish.iter().map(|row| row.iter().take(width).copied().filter(|node| *node != GONE).collect()).collect()
}

fn numbers(row: &[u32], members: &[&Member]) -> Vec<NodeNumber> {
    row.iter()
        .filter_map(|node| members.get(usize::try_from(*node).ok()?))
        .map(|member| member.number)
        .collect()
}

/// The previous placement in dense indexes of the present members.
struct Before {
    merged: Vec<Vec<u32>>,
    lists: BTreeMap<String, Vec<Vec<u32>>>,
}

impl Before {
    fn new(previous: &Placement, members: &[&Member], partitions: usize) -> Self {
        let known: BTreeMap<NodeNumber, u32> = members.iter().map(|member| member.number).zip(0..).collect();
        let index = |node: NodeNumber| known.get(&node).copied().unwrap_or(GONE);
        let dense = |rows: &Vec<Vec<NodeNumber>>| {
            let row = |row: &Vec<NodeNumber>| row.iter().copied().map(index).collect();
            let rows: Vec<Vec<u32>> = rows.iter().map(row).collect();
            rows
        };
        let lists = previous.lists.iter().map(|(name, rows)| (name.clone(), dense(rows))).collect();
        let ids = (0..partitions).filter_map(|at| u16::try_from(at).ok()).map(crate::base::PartitionId);
        Self { merged: ids.map(|id| previous.merged(id).map(index).collect()).collect(), lists }
    }
}
