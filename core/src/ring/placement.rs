//! Placement: which nodes hold which partition, in which order, computed from the previous placement and the members.
//! A pure function; the proposer of a topology runs it and everyone else takes the agreed result as data.

use std::collections::BTreeMap;

use crate::base::NodeNumber;

use super::topology::Member;

/// The most nodes that a partition lists in one data centre: seven owners and as many fallbacks.
pub const POSITIONS_MAX: usize = 14;

/// Per data centre and partition the ordered nodes, and how the data centres' lists are merged.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Placement {
    /// Per data centre, per partition: its nodes in order, at most `POSITIONS_MAX`.
    pub lists: BTreeMap<String, Vec<Vec<NodeNumber>>>,
    /// Per partition: the data centre (as a position in `lists`) from which each position of the merged list is taken.
    /// Empty when there is one data centre, whose lists need no merging.
    pub order: Vec<Vec<u16>>,
}

/// Computes a placement of `partitions` over the members.
#[must_use]
pub fn place(_previous: &Placement, members: &[&Member], partitions: u32) -> Placement {
    let mut nodes: BTreeMap<String, Vec<NodeNumber>> = BTreeMap::new();
    for member in members {
        nodes.entry(member.location.data_centre().to_owned()).or_default().push(member.number);
    }
    let mut placement = Placement::default();
    for (name, mut numbers) in nodes.clone() {
        numbers.sort();
        let lists = (0..partitions as usize).map(|p| {
            let start = p % numbers.len();
            numbers.iter().cycle().skip(start).take(numbers.len().min(POSITIONS_MAX)).copied().collect()
        });
        placement.lists.insert(name, lists.collect());
    }
    if nodes.len() > 1 {
        placement.order = (0..partitions)
            .map(|_| {
                let mut row = Vec::new();
                for position in 0..POSITIONS_MAX {
                    for (index, numbers) in nodes.values().enumerate() {
                        if position < numbers.len() && row.len() < POSITIONS_MAX {
                            row.push(u16::try_from(index).expect("members are at most MEMBERS_MAX"));
                        }
                    }
                }
                row
            })
            .collect();
    }
    placement
}
