//! Down or not: a member is down only if this node suspects it and enough others do too. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::ids::NodeNumber;

/// Accusers that are enough, however many members there are.
const ACCUSERS: usize = 3;

/// The members that count as down, for a node that suspects `suspects` and has heard whom the others suspect.
/// Whom this node suspects is no accuser, as its word may be old.
///
/// A node that reaches others is thus moved by no single accuser, two nodes work, and a minority, even of one, routes
/// around what it cannot reach.
#[must_use]
pub fn down(
    suspects: &BTreeSet<NodeNumber>,
    others: &BTreeMap<NodeNumber, &BTreeSet<NodeNumber>>,
) -> BTreeSet<NodeNumber> {
    let mut trusted = 0;
    let mut accusers: BTreeMap<NodeNumber, usize> = suspects.iter().map(|node| (*node, 1)).collect();
    for (_, accused) in others.iter().filter(|(node, _)| !suspects.contains(node)) {
        trusted += 1;
        for node in *accused {
            if let Some(count) = accusers.get_mut(node) {
                *count += 1;
            }
        }
    }
    let needed = ACCUSERS.min(1 + trusted);
    accusers.into_iter().filter(|(_, count)| *count >= needed).map(|(node, _)| node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(numbers: &[u32]) -> BTreeSet<NodeNumber> {
        numbers.iter().map(|number| NodeNumber(*number)).collect()
    }

    /// What node 1 of `size` holds, given whom each suspects.
    fn judged(size: u32, suspects: &[(u32, &[u32])]) -> BTreeSet<NodeNumber> {
        let of = |node: u32| suspects.iter().find(|(who, _)| *who == node).map_or(&[][..], |(_, whom)| whom);
        let sets: BTreeMap<_, _> = (2..=size).map(|node| (NodeNumber(node), set(of(node)))).collect();
        down(&set(of(1)), &sets.iter().map(|(node, set)| (*node, set)).collect())
    }

    #[test]
    fn one_accuser_moves_nobody_who_reaches_others() {
        assert_eq!(judged(3, &[(1, &[2])]), set(&[]));
        assert_eq!(judged(5, &[(1, &[2]), (3, &[2])]), set(&[]));
        assert_eq!(judged(5, &[(2, &[3]), (4, &[3]), (5, &[3])]), set(&[]), "this node sees it well");
    }

    #[test]
    fn enough_accusers_do() {
        assert_eq!(judged(3, &[(1, &[2]), (3, &[2])]), set(&[2]));
        assert_eq!(judged(5, &[(1, &[2]), (3, &[2]), (4, &[2])]), set(&[2]));
        assert_eq!(judged(1_000, &[(1, &[2]), (3, &[2]), (4, &[2])]), set(&[2]));
    }

    #[test]
    fn two_nodes_and_minorities_judge_by_themselves() {
        assert_eq!(judged(2, &[(1, &[2])]), set(&[2]));
        assert_eq!(judged(5, &[(1, &[2, 3, 4, 5])]), set(&[2, 3, 4, 5]));
        assert_eq!(judged(5, &[(1, &[3, 4, 5]), (2, &[3, 4, 5])]), set(&[3, 4, 5]));
    }

    #[test]
    fn whom_this_node_suspects_accuses_nobody() {
        assert_eq!(judged(4, &[(1, &[2, 3]), (3, &[2])]), set(&[]), "node 4 is trusted and sees both");
    }
}
