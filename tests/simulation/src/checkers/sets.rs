//! Sets that only grow: an element that was acknowledged, or that a read showed, is in every later read.

use std::collections::BTreeSet;

use super::Violation;
use crate::history::{History, Space, WriteId, writes};

/// No acknowledged element is lost: it is in every read that began after it was acknowledged or shown.
#[must_use]
pub fn acked_elements_stay(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (key, operations) in history.by_key(Space::Sets) {
        let writes = writes(&operations);
        for read in &operations {
            let Some((siblings, _)) = read.shown() else { continue };
            let shown: BTreeSet<WriteId> =
                siblings.iter().flat_map(|value| &value.elements).copied().collect();
            let acked = writes
                .iter()
                .filter(|write| write.operation.acked() && write.operation.ended_before(read.began))
                .map(|write| write.write);
            let seen = operations
                .iter()
                .filter(|earlier| earlier.ended_before(read.began))
                .filter_map(|earlier| earlier.shown())
                .flat_map(|(siblings, _)| siblings.iter().flat_map(|value| &value.elements).copied());
            let lost: BTreeSet<WriteId> =
                acked.chain(seen).filter(|element| !shown.contains(element)).collect();
            if !lost.is_empty() {
                let found = format!("{key}: the read at {:?} lacks elements {lost:?}", read.began);
                violations.push(Violation { promise: "no acked write is lost", found });
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Script, seen, unknown};
    use super::*;
    use crate::history::Basis;

    #[test]
    fn elements_that_stay_pass() {
        let mut script = Script::new(Space::Sets);
        let one = script.put(Basis::Nothing, &[]);
        let (open, _) = script.open(Basis::Nothing, &[]);
        script.read(&[one]);
        script.end(open, unknown());
        let two = script.put(seen(&[one]), &[one]);
        script.read_sets(&[(two, &[one])]);
        assert_eq!(acked_elements_stay(&script.history), []);
    }

    #[test]
    fn a_lost_acked_element_is_caught() {
        let mut script = Script::new(Space::Sets);
        let one = script.put(Basis::Nothing, &[]);
        let two = script.put(Basis::Nothing, &[]);
        script.read(&[two]);
        let violations = acked_elements_stay(&script.history);
        assert_eq!(violations.len(), 1);
        assert!(violations[0].found.contains(&format!("{{{one}}}")), "{}", violations[0]);
    }

    #[test]
    fn an_element_that_was_shown_and_then_vanished_is_caught() {
        let mut script = Script::new(Space::Sets);
        let (open, one) = script.open(Basis::Nothing, &[]);
        script.read(&[one]);
        script.read(&[]);
        script.end(open, unknown());
        assert_eq!(acked_elements_stay(&script.history).len(), 1);
    }
}
