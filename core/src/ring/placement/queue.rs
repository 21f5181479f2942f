//! Who is to get the next place: the groups of the tree, those furthest below their targets first.
//! Taking the group with the most to get first is what makes filling empty rows exact (Gale and Ryser, 1957).

use std::collections::BTreeSet;

use super::tree::{LEVELS, Tree, mix};

/// The children of every group, those furthest below their target first.
pub(super) struct Queue<'a> {
    tree: &'a Tree,
    pub(super) remaining: Vec<i64>,
    ordered: Vec<BTreeSet<(i64, u64, usize)>>,
}

impl<'a> Queue<'a> {
    pub(super) fn new(tree: &'a Tree, remaining: &[i64]) -> Self {
        let mut ordered = vec![BTreeSet::new(); tree.groups.len()];
        for (group, set) in ordered.iter_mut().enumerate() {
            set.extend(tree.children(group).iter().map(|child| Self::key(*child, remaining)));
        }
        Self { tree, remaining: remaining.to_vec(), ordered }
    }

    /// Equal needs are ordered anew at every number, so that the same nodes do not always meet in a row.
    fn key(child: usize, remaining: &[i64]) -> (i64, u64, usize) {
        let need = remaining.get(child).copied().unwrap_or(0);
        (-need, mix((child as u64) << 32 ^ need.unsigned_abs()), child)
    }

    /// The group `levels` below the root that is furthest below its target in the group that is, and so on, where the
    /// spread has room. `holes` counts the gaps of the row with the one to be filled.
    pub(super) fn pick(&self, row: &[u32], holes: usize, levels: usize) -> Option<usize> {
        let (mut group, mut in_group) = (0, row.len() + holes);
        for level in 0..levels {
            let (child, most, held) = self.ordered.get(group)?.iter().find_map(|(_, _, child)| {
                self.tree.tests.set(self.tree.tests.get() + 1);
                let held = row.iter().filter(|node| self.tree.path(**node).get(level) == Some(child)).count();
                let most = self.tree.most(*child, in_group);
                (held < most).then_some((*child, most, held))
            })?;
            // All that the row still lacks may come here.
            (group, in_group) = (child, most.min(held + holes));
        }
        Some(group)
    }

    /// How far a group is below its target.
    pub(super) fn lacks(&self, group: usize) -> i64 {
        self.remaining.get(group).copied().unwrap_or(0)
    }

    /// Notes that a node took a place.
    pub(super) fn take(&mut self, path: &[usize; LEVELS]) {
        let mut parent = 0;
        for group in path {
            if let Some(set) = self.ordered.get_mut(parent) {
                set.remove(&Self::key(*group, &self.remaining));
                if let Some(remaining) = self.remaining.get_mut(*group) {
                    *remaining -= 1;
                }
                set.insert(Self::key(*group, &self.remaining));
            }
            parent = *group;
        }
    }
}
