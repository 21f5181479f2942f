//! Who agrees on the next topology: an odd number of members, up to five, spread over zones.
//! Memory nodes forget what they promised, so they vote only where no durable node exists.

use std::collections::BTreeMap;

use crate::base::NodeNumber;

use super::topology::Member;

/// The most voters. Five survive the loss of two; more would only slow agreement down.
pub const VOTERS_MAX: usize = 5;

/// The voters of the next topology. Present voters stay where they may, so that at most a minority changes at once:
/// beyond filling empty seats, at most one moves to a zone that has none. The number is odd, because an even one needs a
/// larger majority without surviving more losses.
#[must_use]
pub fn choose(present: &[NodeNumber], members: &BTreeMap<NodeNumber, Member>) -> Vec<NodeNumber> {
    let durable = members.values().any(|member| member.durable);
    let eligible: Vec<&Member> = members.values().filter(|member| member.durable || !durable).collect();
    let seats = match eligible.len().min(VOTERS_MAX) {
        even if even % 2 == 0 => even.saturating_sub(1),
        odd => odd,
    };
    let mut voters: Vec<&Member> =
        eligible.iter().copied().filter(|member| present.contains(&member.number)).take(seats).collect();
    while voters.len() < seats {
        let Some(next) = best_seat(&eligible, &voters) else { break };
        voters.push(next);
    }
    spread_one(&eligible, &mut voters);
    let mut numbers: Vec<_> = voters.iter().map(|member| member.number).collect();
    numbers.sort();
    numbers
}

/// The member whose zone, then data centre, has the fewest voters; the oldest of several.
fn best_seat<'a>(eligible: &[&'a Member], voters: &[&Member]) -> Option<&'a Member> {
    eligible
        .iter()
        .filter(|member| voters.iter().all(|voter| voter.number != member.number))
        .min_by_key(|member| (crowd(member, voters), member.number))
        .copied()
}

/// How many of the voters share a member's zone, and how many its data centre.
fn crowd(member: &Member, voters: &[&Member]) -> (usize, usize) {
    let others = || voters.iter().filter(|voter| voter.number != member.number);
    let zone = member.location.zone();
    let same_zone = others().filter(|voter| zone.is_some() && voter.location.zone() == zone).count();
    let data_centre = member.location.data_centre();
    let same_data_centre = others().filter(|voter| voter.location.data_centre() == data_centre).count();
    (same_zone, same_data_centre)
}

/// Moves one seat from a zone that has several to a zone that has none.
fn spread_one<'a>(eligible: &[&'a Member], voters: &mut Vec<&'a Member>) {
    // With fewer than three voters one is not a minority.
    if voters.len() < 3 {
        return;
    }
    let Some(crowded) = voters.iter().copied().max_by_key(|voter| (crowd(voter, voters), voter.number))
    else {
        return;
    };
    if crowd(crowded, voters).0 == 0 {
        return;
    }
    let mut rest = voters.clone();
    rest.retain(|voter| voter.number != crowded.number);
    let free = |member: &&&Member| voters.iter().all(|voter| voter.number != member.number);
    if let Some(better) = eligible.iter().filter(free).find(|member| crowd(member, &rest).0 == 0) {
        rest.push(better);
        *voters = rest;
    }
}
