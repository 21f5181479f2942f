//! The bug bank: each fault that is planted into the node is seen by the checkers within some seeds, and with none planted
//! the same seeds pass.

use std::collections::BTreeSet;

use ringkeep::base::planted::{Bug, plant};
use ringkeep_simulation::{Scale, run};

/// Seeds that a fault may take to show; each is seen within a fraction of that.
const SEEDS: u64 = 300;

/// The first seed that finds a fault, and the promises that it finds broken.
fn caught(bug: Bug) -> Option<(u64, BTreeSet<&'static str>)> {
    plant(Some(bug));
    let found = (0..SEEDS).find_map(|seed| {
        let violations = run(seed, Scale::of(seed)).violations;
        let promises: BTreeSet<&str> = violations.iter().map(|violation| violation.promise).collect();
        (!promises.is_empty()).then_some((seed, promises))
    });
    plant(None);
    found
}

/// Asserts that a fault is caught, and that the seed which catches it passes without it.
fn is_caught(bug: Bug, promise: &str) {
    let (seed, promises) = caught(bug).unwrap_or_else(|| panic!("{bug:?} is not seen in {SEEDS} seeds"));
    assert!(promises.contains(promise), "{bug:?} breaks {promises:?} in seed {seed}");
    assert_eq!(run(seed, Scale::of(seed)).failure(), None);
}

#[test]
fn an_early_acknowledgement_is_caught() {
    is_caught(Bug::AckBeforeQuorum, "quorum reads never go back in time");
}

#[test]
fn a_forgetful_copy_that_counts_is_caught() {
    is_caught(Bug::ForgetfulCopyCounts, "quorum reads never go back in time");
}

#[test]
fn a_merge_that_drops_a_sibling_is_caught() {
    is_caught(Bug::MergeDropsSibling, "no acked write is lost");
}

#[test]
fn a_read_without_write_back_is_caught() {
    is_caught(Bug::NoWriteBack, "quorum reads never go back in time");
}

#[test]
fn a_debt_that_is_forgotten_is_caught() {
    is_caught(Bug::NothingOwed, "replicas converge");
}
