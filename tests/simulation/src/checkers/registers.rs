//! Registers (`lww`, blind writes): after a write was acknowledged, a read shows it or one that is not older than it.

use super::Violation;
use crate::history::{History, Outcome, Space, WriteOf, writes};

/// An acknowledged blind write is the one that reads show, or what they show did not end before it began.
#[must_use]
pub fn acked_blind_writes_show(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (key, operations) in history.by_key(Space::Registers) {
        let writes = writes(&operations);
        for read in &operations {
            let Some((siblings, _)) = read.shown() else { continue };
            let winner = siblings.last().map(|value| value.write);
            // A read that shows nothing shows one of the deletes, and the client cannot know which.
            let could_be_shown = |write: &&WriteOf<'_>| match winner {
                Some(winner) => write.write == winner,
                None => write.value.is_none(),
            };
            let candidates: Vec<_> = writes
                .iter()
                .filter(could_be_shown)
                .filter(|write| !matches!(write.operation.outcome, Outcome::Failed(_)))
                .filter(|write| write.operation.began < read.ended.unwrap_or_default())
                .collect();
            let acked = writes
                .iter()
                .filter(|write| write.operation.acked() && write.operation.ended_before(read.began));
            for write in acked {
                let allowed = candidates.iter().any(|shown| {
                    shown.write == write.write
                        || !shown.operation.acked()
                        || !shown.operation.ended_before(write.operation.began)
                });
                if !allowed {
                    let found = format!(
                        "{key}: write {} was acknowledged and the read at {:?} shows {winner:?}",
                        write.write, read.began
                    );
                    violations.push(Violation {
                        promise: "an acked blind write is the one that reads show",
                        found,
                    });
                }
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Script, unknown};
    use super::*;
    use crate::history::Basis;

    #[test]
    fn the_last_write_or_a_concurrent_one_passes() {
        let mut script = Script::new(Space::Registers);
        script.read(&[]);
        let one = script.put(Basis::Stored, &[]);
        script.read(&[one]);
        let (open, two) = script.open(Basis::Stored, &[]);
        let three = script.put(Basis::Stored, &[]);
        script.read(&[two]);
        script.read(&[three]);
        script.end(open, unknown());
        script.delete(Basis::Stored);
        script.read(&[]);
        assert_eq!(acked_blind_writes_show(&script.history), []);
    }

    #[test]
    fn an_older_write_that_hides_an_acked_one_is_caught() {
        let mut script = Script::new(Space::Registers);
        let one = script.put(Basis::Stored, &[]);
        script.put(Basis::Stored, &[]);
        script.read(&[one]);
        assert_eq!(acked_blind_writes_show(&script.history).len(), 1);
    }

    #[test]
    fn an_acked_write_that_is_gone_is_caught() {
        let mut script = Script::new(Space::Registers);
        script.delete(Basis::Stored);
        script.put(Basis::Stored, &[]);
        script.read(&[]);
        assert_eq!(acked_blind_writes_show(&script.history).len(), 1);
    }

    #[test]
    fn a_value_after_its_acked_delete_is_caught() {
        let mut script = Script::new(Space::Registers);
        let one = script.put(Basis::Stored, &[]);
        script.delete(Basis::Stored);
        script.read(&[one]);
        assert_eq!(acked_blind_writes_show(&script.history).len(), 1);
    }
}
