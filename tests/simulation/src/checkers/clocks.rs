//! Clocks of contexts: a quorum read contains every earlier quorum read, and every write acknowledged before it.

use super::Violation;
use crate::history::{History, Operation, Outcome, Space};
use ringkeep::causality::Clock;

/// A quorum read never goes back: its clock covers what earlier reads and receipts of its key covered.
#[must_use]
pub fn quorum_reads_never_go_back(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    for space in Space::STRICT {
        for (key, operations) in history.by_key(space) {
            for read in &operations {
                let Some((_, clock)) = read.shown() else { continue };
                let told = operations.iter().filter(|earlier| earlier.ended_before(read.began));
                let missing = told.filter_map(|earlier| Some((earlier, told_clock(earlier)?)));
                let behind = missing.into_iter().find(|(_, earlier)| !clock.dominates(earlier));
                if let Some((earlier, told)) = behind {
                    let (began, then) = (read.began, earlier.began);
                    let found =
                        format!("{key}: the read at {began:?} knows {clock:?}, at {then:?} it was {told:?}");
                    violations.push(Violation { promise: "quorum reads never go back in time", found });
                }
            }
        }
    }
    violations
}

fn told_clock(operation: &Operation) -> Option<&Clock> {
    match &operation.outcome {
        Outcome::Shown { clock, .. } | Outcome::Written { clock } => Some(clock),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Script, clock};
    use super::*;
    use crate::history::Basis;

    #[test]
    fn clocks_that_grow_pass() {
        let mut script = Script::new(Space::Registers);
        script.read_clock(clock(&[]));
        script.read_clock(clock(&[(1, 5)]));
        script.read_clock(clock(&[(1, 5), (2, 3)]));
        assert_eq!(quorum_reads_never_go_back(&script.history), []);
    }

    #[test]
    fn a_read_that_knows_less_than_an_earlier_one_is_caught() {
        let mut script = Script::new(Space::Siblings);
        script.read_clock(clock(&[(1, 5), (2, 3)]));
        script.read_clock(clock(&[(1, 9)]));
        assert_eq!(quorum_reads_never_go_back(&script.history).len(), 1);
    }

    #[test]
    fn a_read_that_lacks_an_acked_write_is_caught() {
        let mut script = Script::new(Space::Siblings);
        let (open, _) = script.open(Basis::Nothing, &[]);
        script.end(open, Outcome::Written { clock: clock(&[(1, 5)]) });
        script.read_clock(clock(&[(1, 4)]));
        assert_eq!(quorum_reads_never_go_back(&script.history).len(), 1);
    }
}
