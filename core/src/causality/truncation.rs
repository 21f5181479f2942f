//! Shortening clocks. Settled truncation is lossless where every owner holds exactly this record (DESIGN.md section 8);
//! forced truncation may bring a superseded version back as a sibling, and never loses one.

use super::siblings::Record;
use super::version::Clock;

/// The record with its clock cut down to its live dots. Only for a settled record, by "if the hash is still this".
/// Merging it with what it was cut from gives that back.
#[must_use]
pub fn truncate_settled(record: &Record) -> Record {
    let clock: Clock = record.siblings.iter().map(|sibling| sibling.dot).collect();
    Record { clock, siblings: record.siblings.clone() }
}

/// The record with the oldest entries of actors without a sibling dropped, until at most `entries_max` are left or
/// none can go. Only on a coordinated client write, never in repair or merge: two replicas that each cut and merge
/// would never come to agree.
#[must_use]
pub fn truncate_forced(mut record: Record, entries_max: usize) -> Record {
    let excess = record.clock.len().saturating_sub(entries_max);
    if excess == 0 {
        return record;
    }
    let held: Clock = record.siblings.iter().map(|sibling| sibling.dot).collect();
    let mut idle: Vec<_> = record
        .clock
        .iter()
        .filter(|(actor, _)| held.get(*actor).is_none())
        .map(|(actor, time)| (time, actor))
        .collect();
    idle.sort_unstable();
    idle.truncate(excess);
    // The greatest of those that go: everything idle up to it goes, and times with their actors are unique.
    let Some(&last) = idle.last() else { return record };
    record.clock.retain(|actor, time| held.get(actor).is_some() || (time, actor) > last);
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Time;
    use crate::causality::siblings::tests::{actor, dot, value};

    fn long() -> Record {
        let mut record = Record::first(value(1, 1));
        for node in 2..=20 {
            record = record.clone().replace(value(node, u64::from(node)));
        }
        record
    }

    #[test]
    fn a_settled_record_keeps_its_siblings_and_only_their_entries() {
        let cut = truncate_settled(&long());
        assert_eq!(cut.clock.iter().collect::<Vec<_>>(), [(actor(20), Time(20))]);
        assert_eq!(cut.siblings, long().siblings);
        assert_eq!(cut.merge(&long()), long());
    }

    #[test]
    fn forced_truncation_drops_the_oldest_entries_of_actors_without_a_sibling() {
        let with_old_sibling = long().merge(&Record::first(value(30, 0)));
        let cut = truncate_forced(with_old_sibling, 4);
        let actors: Vec<_> = cut.clock.iter().map(|(actor, _)| actor.node.0).collect();
        assert_eq!(actors, [18, 19, 20, 30]);
        assert!(cut.sibling(dot(30, 0)).is_some());
    }

    #[test]
    fn forced_truncation_stops_at_the_siblings() {
        let mut record = Record::default();
        for node in 1..=6 {
            record = record.merge(&Record::first(value(node, 5)));
        }
        assert_eq!(truncate_forced(record.clone(), 2), record);
        assert_eq!(truncate_forced(record.clone(), 128), record);
    }
}
