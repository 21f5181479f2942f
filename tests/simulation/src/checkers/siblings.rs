//! Siblings: one leaves only because a write that covers it is there, and what was covered does not come back.
//! What a write covers is what its context's read showed, and what those writes had covered. Sloppy reads promise none of
//! it; of a sloppy key the last read of the history is judged, which counts owners after everything has settled.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::history::{Basis, History, Operation, Outcome, Space, WriteId, WriteOf, writes};

/// The spaces in which siblings are kept until a context covers them.
const SPACES: [Space; 3] = [Space::Sets, Space::Siblings, Space::Sloppy];

/// The writes of one key, and which of them each covers.
struct Writes<'a> {
    by_id: BTreeMap<WriteId, WriteOf<'a>>,
    covered_by: BTreeMap<WriteId, BTreeSet<WriteId>>,
}

impl<'a> Writes<'a> {
    fn of(operations: &[&'a Operation]) -> Self {
        let by_id: BTreeMap<_, _> =
            writes(operations).into_iter().map(|write| (write.write, write)).collect();
        let mut covers: BTreeMap<WriteId, BTreeSet<WriteId>> = BTreeMap::new();
        // Numbers rise in the order in which writes begin, so what a write has seen comes before it.
        for (id, write) in &by_id {
            let Basis::Seen(seen) = write.basis else { continue };
            let deeper = seen.iter().filter_map(|seen| covers.get(seen)).flatten();
            let all = seen.iter().chain(deeper).copied().collect();
            covers.insert(*id, all);
        }
        let mut covered_by: BTreeMap<WriteId, BTreeSet<WriteId>> = BTreeMap::new();
        for (id, covered) in covers {
            for covered in covered {
                covered_by.entry(covered).or_default().insert(id);
            }
        }
        Self { by_id, covered_by }
    }

    /// The writes that certainly cover this one, if they were applied.
    fn covering(&self, write: WriteId) -> impl Iterator<Item = &WriteOf<'a>> {
        self.covered_by.get(&write).into_iter().flatten().filter_map(|id| self.by_id.get(id))
    }

    /// Whether a read that does not show this write may do so: a write that covers it is shown, or is a delete.
    fn excused(&self, write: &WriteOf<'a>, shown: &BTreeSet<WriteId>, read: &Operation) -> bool {
        let applied = |other: &WriteOf<'a>| {
            other.operation.began < read.ended.unwrap_or_default()
                && !matches!(other.operation.outcome, Outcome::Failed(_))
        };
        let covered = self
            .covering(write.write)
            .any(|other| applied(other) && (other.value.is_none() || shown.contains(&other.write)));
        // A delete without a context covers what its coordinator had, which may be any write that began before it ended;
        // one that nobody heard the end of may still be on its way, to a node that stands still.
        covered
            || self.by_id.values().any(|other| {
                *other.basis == Basis::Stored
                    && other.value.is_none()
                    && applied(other)
                    && (!other.operation.acked()
                        || other.operation.ended.is_none_or(|ended| write.operation.began < ended))
            })
    }
}

fn ids(operation: &Operation) -> Option<BTreeSet<WriteId>> {
    operation.shown().map(|(siblings, _)| siblings.iter().map(|value| value.write).collect())
}

/// For each read that succeeded: the writes of its key, what it shows, and what earlier reads had shown.
fn each_read(
    history: &History,
    mut judge: impl FnMut(&Operation, &Writes<'_>, &BTreeSet<WriteId>, &BTreeSet<WriteId>) -> Vec<Violation>,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    for space in SPACES {
        for operations in history.by_key(space).into_values() {
            let writes = Writes::of(&operations);
            let sloppy = space == Space::Sloppy;
            let judged = if sloppy { operations.len().saturating_sub(1) } else { 0 };
            let reads: Vec<_> =
                operations.iter().skip(judged).filter_map(|read| Some((*read, ids(read)?))).collect();
            for (read, shown) in &reads {
                let earlier = reads.iter().filter(|(earlier, _)| earlier.ended_before(read.began));
                let seen = earlier.flat_map(|(_, ids)| ids).copied().collect();
                violations.extend(judge(read, &writes, shown, &seen));
            }
        }
    }
    violations
}

/// A write that was acknowledged or shown is in every later read, unless one that covers it is there in its place.
#[must_use]
pub fn no_false_causality(history: &History) -> Vec<Violation> {
    each_read(history, |read, writes, shown, seen| {
        let known = |write: &WriteOf<'_>| {
            seen.contains(&write.write)
                || (write.operation.acked() && write.operation.ended_before(read.began))
        };
        writes
            .by_id
            .values()
            .filter(|write| write.value.is_some() && known(write) && !shown.contains(&write.write))
            .filter(|write| !writes.excused(write, shown, read))
            .map(|write| Violation {
                promise: "a sibling leaves only if a later write's context covers it",
                found: format!(
                    "{}: the read at {:?} lacks write {}: {shown:?}",
                    read.key, read.began, write.write
                ),
            })
            .collect()
    })
}

/// What a write covers is not shown beside it, nor after it was acknowledged or shown.
#[must_use]
pub fn no_resurrection(history: &History) -> Vec<Violation> {
    each_read(history, |read, writes, shown, seen| {
        let there = |write: &WriteOf<'_>| {
            shown.contains(&write.write)
                || seen.contains(&write.write)
                || (write.operation.acked() && write.operation.ended_before(read.began))
        };
        let risen = |id: &WriteId| writes.covering(*id).find(|write| there(write)).map(|by| (*id, by.write));
        shown
            .iter()
            .filter_map(risen)
            .map(|(write, by)| Violation {
                promise: "what was superseded or deleted does not come back",
                found: format!(
                    "{}: the read at {:?} shows write {write}, which {by} covers",
                    read.key, read.began
                ),
            })
            .collect()
    })
}

/// A read shows only writes of its key that had begun and had not failed.
#[must_use]
pub fn no_phantom(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    for space in Space::ALL {
        for (key, operations) in history.by_key(space) {
            let writes = Writes::of(&operations);
            for read in &operations {
                let begun = |id: &WriteId| {
                    writes.by_id.get(id).is_some_and(|write| {
                        write.operation.began < read.ended.unwrap_or_default()
                            && !matches!(write.operation.outcome, Outcome::Failed(_))
                    })
                };
                for id in ids(read).into_iter().flatten().filter(|id| !begun(id)) {
                    let found = format!("{key}: the read at {:?} shows write {id}", read.began);
                    violations.push(Violation { promise: "a write that failed is never shown", found });
                }
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Script, seen, unknown};
    use super::*;

    fn all(script: &Script) -> Vec<&'static str> {
        let checkers = [no_false_causality, no_resurrection, no_phantom];
        checkers.iter().flat_map(|check| check(&script.history)).map(|violation| violation.promise).collect()
    }

    #[test]
    fn siblings_that_a_context_replaces_pass() {
        let mut script = Script::new(Space::Siblings);
        let one = script.put(Basis::Nothing, &[]);
        let two = script.put(Basis::Nothing, &[]);
        script.read(&[one, two]);
        let (open, three) = script.open(seen(&[one, two]), &[]);
        script.read(&[three]);
        script.end(open, unknown());
        let four = script.put(seen(&[three]), &[]);
        script.read(&[four]);
        script.delete(seen(&[four]));
        script.read(&[]);
        assert_eq!(all(&script), Vec::<&str>::new());
    }

    #[test]
    fn a_sibling_that_leaves_without_a_covering_write_is_caught() {
        let mut script = Script::new(Space::Siblings);
        let one = script.put(Basis::Nothing, &[]);
        let two = script.put(Basis::Nothing, &[]);
        script.read(&[one, two]);
        let three = script.put(seen(&[one]), &[]);
        script.read(&[three]);
        assert_eq!(all(&script), ["a sibling leaves only if a later write's context covers it"]);
    }

    #[test]
    fn of_a_sloppy_key_the_last_read_alone_is_judged() {
        let mut script = Script::new(Space::Sloppy);
        let one = script.put(Basis::Nothing, &[]);
        script.read(&[]);
        let two = script.put(seen(&[one]), &[]);
        script.read(&[one]);
        let three = script.put(Basis::Nothing, &[]);
        script.read(&[two, three]);
        assert_eq!(all(&script), Vec::<&str>::new());
        script.read(&[three]);
        // The second write, and the first, which it covers.
        assert_eq!(all(&script), ["a sibling leaves only if a later write's context covers it"; 2]);
        script.read(&[one, two, three]);
        assert_eq!(all(&script), ["what was superseded or deleted does not come back"]);
    }

    #[test]
    fn a_covering_write_that_is_not_there_excuses_nothing() {
        let mut script = Script::new(Space::Siblings);
        let one = script.put(Basis::Nothing, &[]);
        let (open, _) = script.open(seen(&[one]), &[]);
        script.read(&[]);
        script.end(open, unknown());
        assert_eq!(all(&script), ["a sibling leaves only if a later write's context covers it"]);
    }

    #[test]
    fn a_covering_write_that_failed_excuses_nothing() {
        let mut script = Script::new(Space::Siblings);
        let one = script.put(Basis::Nothing, &[]);
        let write = script.history.write_id();
        let call = crate::history::Call::Write { write, value: None, basis: seen(&[one]) };
        let key = crate::history::Key { space: Space::Siblings, number: 1 };
        let delete = script.history.begin(0, 0, key, call);
        script.end(delete, Outcome::Failed("QUORUM_UNAVAILABLE".to_owned()));
        script.read(&[]);
        assert_eq!(all(&script), ["a sibling leaves only if a later write's context covers it"]);
    }

    #[test]
    fn a_delete_without_a_context_may_have_covered_what_began_before_it_ended() {
        let mut script = Script::new(Space::Siblings);
        script.put(Basis::Nothing, &[]);
        script.delete(Basis::Stored);
        script.read(&[]);
        assert_eq!(all(&script), Vec::<&str>::new());
        script.put(Basis::Nothing, &[]);
        script.read(&[]);
        assert_eq!(all(&script), ["a sibling leaves only if a later write's context covers it"]);
    }

    #[test]
    fn a_delete_that_may_still_be_on_its_way_may_cover_what_is_written_later() {
        let mut script = Script::new(Space::Siblings);
        let write = script.history.write_id();
        let call = crate::history::Call::Write { write, value: None, basis: Basis::Stored };
        let key = crate::history::Key { space: Space::Siblings, number: 1 };
        let delete = script.history.begin(0, 0, key, call);
        script.end(delete, unknown());
        script.put(Basis::Nothing, &[]);
        script.read(&[]);
        assert_eq!(all(&script), Vec::<&str>::new());
    }

    #[test]
    fn a_deleted_value_that_comes_back_is_caught() {
        let mut script = Script::new(Space::Siblings);
        let one = script.put(Basis::Nothing, &[]);
        script.delete(seen(&[one]));
        script.read(&[one]);
        assert_eq!(all(&script), ["what was superseded or deleted does not come back"]);
    }

    #[test]
    fn a_value_beside_what_covers_it_at_a_distance_is_caught() {
        let mut script = Script::new(Space::Siblings);
        let one = script.put(Basis::Nothing, &[]);
        let two = script.put(seen(&[one]), &[]);
        let (open, three) = script.open(seen(&[two]), &[]);
        script.read(&[one, three]);
        script.end(open, unknown());
        // Write 2 covers it and was acknowledged, and write 3 covers it and is shown; one finding is enough.
        assert_eq!(all(&script), ["what was superseded or deleted does not come back"]);
    }

    #[test]
    fn a_write_that_failed_or_never_began_and_is_shown_is_caught() {
        let mut script = Script::new(Space::Siblings);
        let (open, one) = script.open(Basis::Nothing, &[]);
        script.end(open, Outcome::Failed("OVERLOADED".to_owned()));
        script.read(&[one, 99]);
        assert_eq!(all(&script), ["a write that failed is never shown"; 2]);
    }
}
