//! Seeds: what is promised holds in each, and the same seed twice gives the same log.
//! `RINGKEEP_SEEDS=n` runs so many, from `RINGKEEP_SEED_FIRST=s` on; `RINGKEEP_SEED=s` runs one, with its log on standard
//! output.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use ringkeep_simulation::{Report, Scale, run};

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is not a number")))
}

fn seeds() -> std::ops::Range<u64> {
    let first = number("RINGKEEP_SEED_FIRST").unwrap_or(0);
    first..first + number("RINGKEEP_SEEDS").unwrap_or(400)
}

/// Runs something for each seed, on as many threads as there are processors; each run has one to itself.
fn on_all_threads<T: Send>(seeds: std::ops::Range<u64>, each: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let next = AtomicU64::new(seeds.start);
    let results = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let result = each(seed);
            results.lock().expect("no run panics with the lock").push((seed, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut results = results.into_inner().expect("no run panics with the lock");
    results.sort_by_key(|(seed, _)| *seed);
    results.into_iter().map(|(_, result)| result).collect()
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
    let reports = on_all_threads(seeds(), |seed| {
        let report = run(seed, Scale::of(seed));
        (report.history.operations().len(), report.succeeded(), report.failure())
    });
    let operations: usize = reports.iter().map(|(operations, ..)| operations).sum();
    let succeeded: usize = reports.iter().map(|(_, succeeded, _)| succeeded).sum();
    println!("{} seeds, {operations} operations, {succeeded} succeeded", reports.len());
    let failures: Vec<String> = reports.into_iter().filter_map(|(.., failure)| failure).collect();
    assert!(failures.is_empty(), "{} seeds failed\n{}", failures.len(), failures.join("\n"));
    // A cluster that answers nothing breaks no promise of the checkers.
    assert!(succeeded * 2 > operations, "{succeeded} of {operations} operations succeeded");
}

#[test]
fn the_same_seed_gives_the_same_log() {
    let seeds = seeds();
    let twice = ((seeds.end - seeds.start) / 20).clamp(20, 100);
    let differences = on_all_threads(seeds.start..seeds.start + twice, |seed| {
        let (one, other): (Report, Report) = (run(seed, Scale::of(seed)), run(seed, Scale::of(seed)));
        (one.log.hash() != other.log.hash())
            .then(|| format!("seed {seed}: {}", one.log.first_difference(&other.log).unwrap_or_default()))
    });
    let differences: Vec<String> = differences.into_iter().flatten().collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn a_node_alone_keeps_its_promises() {
    for seed in 0..5 {
        let report = run(seed, Scale { nodes: 1, ..Scale::default() });
        assert_eq!(report.failure(), None);
    }
}
