//! kill -9 of a real process, again and again on the same directory: every acknowledged write is there, whole, with
//! either durability. `RINGKEEP_KILLS` says how often (default 10).

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends at the first surprise")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use ringkeep::base::settings::Durability;
use ringkeep::storage::Engine;
use ringkeep_crash::{WRITERS, check, last, open};

fn kills() -> u64 {
    std::env::var("RINGKEEP_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

/// A number from a seed (SplitMix64): which moment a round is killed at.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Runs the writer until it has reported this many batches, kills it, and returns the last of each writer.
fn run_and_kill(path: &Path, durability: &str, lines: u64) -> [u64; WRITERS as usize] {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringkeep-crash"))
        .arg(path)
        .arg(durability)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut acknowledged = [0; WRITERS as usize];
    let mut hear = |line: &str| {
        // The last line may be cut by the kill; what was not heard was not promised.
        if let Some((writer, number)) = line.strip_suffix('\n').and_then(|line| line.split_once(' ')) {
            acknowledged[writer.parse::<usize>().unwrap()] = number.parse().unwrap();
        }
    };
    let mut line = String::new();
    for _ in 0..lines {
        line.clear();
        if output.read_line(&mut line).unwrap() == 0 {
            let mut error = String::new();
            child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
            panic!("the writer ended by itself: {error}");
        }
        hear(&line);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    line.clear();
    while output.read_line(&mut line).unwrap() > 0 {
        hear(&line);
        line.clear();
    }
    acknowledged
}

fn kill_again_and_again(durability: Durability, name: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let mut promised = [0; WRITERS as usize];
    for round in 0..kills() {
        // Some rounds end during the start, most in the middle of flushes and merges.
        let lines = if round % 5 == 4 { 0 } else { mix(round) % 1_500 };
        let acknowledged = run_and_kill(&path, name, lines);
        for (promised, acknowledged) in promised.iter_mut().zip(acknowledged) {
            *promised = (*promised).max(acknowledged);
        }
        // Every other round the next writer opens what the kill has left, without a look in between.
        if round % 2 == 0 {
            continue;
        }
        let engine = open(&path, durability).unwrap();
        assert!(!engine.opening().may_have_forgotten(), "the operating system has run on");
        for (writer, promised) in (0..WRITERS).zip(promised) {
            check(&engine, writer, promised).unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
        if round % 4 == 1 {
            engine.close().unwrap();
        }
    }
    let engine = open(&path, durability).unwrap();
    let written: u64 = (0..WRITERS).map(|writer| last(&engine, writer).unwrap()).sum();
    assert!(written > kills() * 100, "{written} batches are too few to have been killed in their midst");
}

#[test]
fn no_acknowledged_write_is_lost_with_durability_sync() {
    kill_again_and_again(Durability::Sync, "sync");
}

#[test]
fn no_acknowledged_write_is_lost_with_durability_interval() {
    kill_again_and_again(Durability::Interval, "interval");
}
