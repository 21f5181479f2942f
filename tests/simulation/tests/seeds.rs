//! Seeds: what is promised holds in each, and the same seed twice gives the same log.
//! `RINGKEEP_SEEDS=n` runs so many, `RINGKEEP_SEED=s` one, with its log on standard output.

use ringkeep_simulation::{Scale, run};

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is not a number")))
}

#[test]
fn every_seed_keeps_its_promises() {
    if let Some(seed) = number("RINGKEEP_SEED") {
        let report = run(seed, Scale::of(seed));
        report.log.lines().iter().for_each(|line| println!("{line}"));
        if let Some(failure) = report.failure() {
            panic!("{failure}");
        }
        return;
    }
    let seeds = number("RINGKEEP_SEEDS").unwrap_or(50);
    let mut failures = Vec::new();
    let (mut operations, mut succeeded) = (0, 0);
    for seed in 0..seeds {
        let report = run(seed, Scale::of(seed));
        operations += report.history.operations().len();
        succeeded += report.succeeded();
        failures.extend(report.failure());
    }
    println!("{seeds} seeds, {operations} operations, {succeeded} succeeded");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    // A cluster that answers nothing breaks no promise of the checkers.
    assert!(succeeded * 2 > operations, "{succeeded} of {operations} operations succeeded");
}

#[test]
fn the_same_seed_gives_the_same_log() {
    for seed in [1, 2, 5] {
        let (one, other) = (run(seed, Scale::of(seed)), run(seed, Scale::of(seed)));
        if one.log.hash() != other.log.hash() {
            panic!("seed {seed}: {}", one.log.first_difference(&other.log).unwrap_or_default());
        }
    }
}

#[test]
fn a_node_alone_keeps_its_promises() {
    for seed in 0..5 {
        let report = run(seed, Scale { nodes: 1, ..Scale::default() });
        assert_eq!(report.failure(), None);
    }
}
