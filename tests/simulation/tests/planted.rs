//! The bug bank: each fault that is planted into the node is seen by the checkers within some seeds, and with none planted
//! the same seeds pass.

use ringkeep::base::planted::{Bug, plant};
use ringkeep_simulation::{Scale, run};

/// Seeds that a fault may take to show; each is seen within a fraction of that.
const SEEDS: u64 = 1_000;

/// Asserts that a fault is seen to break a promise, and that the seed which shows it passes without it.
fn is_caught(bug: Bug, promise: &str) {
    plant(Some(bug));
    let breaks = |seed| run(seed, Scale::of(seed)).violations.iter().any(|found| found.promise == promise);
    let seed = (0..SEEDS).find(|seed| breaks(*seed));
    plant(None);
    let seed = seed.unwrap_or_else(|| panic!("{bug:?} is not seen in {SEEDS} seeds"));
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
