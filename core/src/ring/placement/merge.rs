//! Merging the lists of several data centres into one: the first owners are given, every further place goes to the data
//! centre that the spread allows and that is furthest below its share, and, if that may be, to the one that had it.

use std::collections::BTreeMap;

use super::queue::Queue;
use super::rows::held;
use super::tree::{DATA_CENTRE_LEVEL, Tree};
use super::{OWNERS_MAX, POSITIONS_MAX};

/// Lengthens the merged rows with nodes of the data centres' lists, in their order, and says for every place of every row
/// which data centre (as a position among the names) it is taken from. `wish` names the data centres that had the places.
pub(super) fn merge(
    tree: &Tree,
    rows: &mut [Vec<u32>],
    lists: &BTreeMap<&str, Vec<Vec<u32>>>,
    wish: &[Vec<&str>],
) -> Vec<Vec<u16>> {
    let groups = groups(tree, lists);
    let name = |group: usize| groups.iter().find(|(_, known)| **known == group).map(|(name, _)| *name);
    let mut order = vec![Vec::new(); rows.len()];
    for width in (rows.first().map_or(0, Vec::len) + 1..=OWNERS_MAX).chain([POSITIONS_MAX]) {
        let width = width.min(tree.nodes());
        let next = |partition: usize, row: &[u32], group: usize| {
            lists.get(name(group)?)?.get(partition)?.iter().copied().find(|node| !row.contains(node))
        };
        let wished = |partition: usize, row: &[u32]| {
            let group = groups.get(wish.get(partition)?.get(row.len())?).copied()?;
            let longer = [row, &[next(partition, row, group)?]].concat();
            tree.fits(&longer, 0).then_some(group)
        };
        // Round the shares towards what all wishes together would hold, so that what was fair stays.
        let hoped = rows.iter().enumerate().map(|(partition, row)| {
            let mut row = row.clone();
            while let Some(node) = wished(partition, &row).and_then(|group| next(partition, &row, group)) {
                if row.len() >= width {
                    break;
                }
                row.push(node);
            }
            row
        });
        let targets = tree.targets(width, rows.len(), &held(tree, &hoped.collect::<Vec<_>>(), width));
        let remaining: Vec<i64> =
            targets.iter().zip(held(tree, rows, width)).map(|(target, held)| target - held).collect();
        let mut queue = Queue::new(tree, &remaining);
        for (partition, row) in rows.iter_mut().enumerate() {
            while row.len() < width {
                let picked = queue.pick(row, 1, DATA_CENTRE_LEVEL + 1);
                let useful = picked.is_some_and(|group| queue.lacks(group) > 0);
                let group =
                    wished(partition, row).filter(|group| queue.lacks(*group) > 0 || !useful).or(picked);
                let Some(node) = group.and_then(|group| next(partition, row, group)) else { break };
                queue.take(tree.path(node));
                row.push(node);
            }
        }
    }
    for (order, row) in order.iter_mut().zip(rows.iter()) {
        let at = |node: &u32| groups.values().position(|group| tree.path(*node)[DATA_CENTRE_LEVEL] == *group);
        order.extend(row.iter().filter_map(at).filter_map(|at| u16::try_from(at).ok()));
    }
    order
}

/// Per data centre its group in the tree.
fn groups<'a>(tree: &Tree, lists: &BTreeMap<&'a str, Vec<Vec<u32>>>) -> BTreeMap<&'a str, usize> {
    let group = |rows: &Vec<Vec<u32>>| rows.first()?.first().map(|node| tree.path(*node)[DATA_CENTRE_LEVEL]);
    lists.iter().filter_map(|(name, rows)| Some((*name, group(rows)?))).collect()
}
