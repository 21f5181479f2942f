//! What every load keeps while it runs: latencies, and the errors by their text. A load never stops at an error; it is
//! counted and shown, and the lane goes on after a pause.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Keys that a load touches.
pub(crate) const KEYS: u64 = 10_000;
/// How long a lane waits after an error.
pub(crate) const PAUSE: Duration = Duration::from_millis(5);
/// The first part of a load warms caches and buffers.
const WARM: Duration = Duration::from_millis(300);
/// Errors are told apart by this much of their text.
const ERROR_CHARS: usize = 160;

/// A closed-loop load: so many connections with so many requests in flight on each, for so long.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    pub(crate) depth: usize,
}

/// What a load saw.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// CPU of the servers per operation.
    pub(crate) cpu_us: f64,
    pub(crate) errors: BTreeMap<String, u64>,
}

/// What one connection has seen.
#[derive(Default)]
pub(crate) struct Lane {
    stop: AtomicBool,
    latencies_us: Mutex<Vec<u32>>,
    errors: Mutex<BTreeMap<String, u64>>,
}

impl Lane {
    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn succeeded(&self, began: Instant) {
        let took = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);
        self.latencies_us.lock().push(took);
    }

    pub(crate) fn failed(&self, why: &str) {
        let why = why.chars().take(ERROR_CHARS).collect();
        *self.errors.lock().entry(why).or_default() += 1;
    }
}

/// The key of a lane's next operation: 64 lanes together have touched all keys after as many operations as keys.
pub(crate) fn key(lane: usize, operation: u64) -> String {
    let lane = u64::try_from(lane).unwrap();
    format!("key:{:08}", (lane + operation * 64) * 7_919 % KEYS)
}

/// Watches running lanes for so long, after a warm-up; then stops them. `cpu_us` tells what the servers have used so far.
pub(crate) async fn observe(lanes: &[Arc<Lane>], seconds: Duration, cpu_us: impl Fn() -> f64) -> Measured {
    tokio::time::sleep(WARM).await;
    lanes.iter().for_each(|lane| lane.latencies_us.lock().clear());
    let (began, cpu_before) = (Instant::now(), cpu_us());
    tokio::time::sleep(seconds).await;
    let mut latencies_us: Vec<u32> = Vec::new();
    let mut errors = BTreeMap::new();
    for lane in lanes {
        latencies_us.append(&mut lane.latencies_us.lock());
    }
    let (took, cpu_after) = (began.elapsed().as_secs_f64(), cpu_us());
    for lane in lanes {
        lane.stop.store(true, Ordering::Relaxed);
        for (why, count) in std::mem::take(&mut *lane.errors.lock()) {
            *errors.entry(why).or_default() += count;
        }
    }
    latencies_us.sort_unstable();
    let operations = f64::from(u32::try_from(latencies_us.len()).unwrap());
    let at = |part: usize| latencies_us.get(latencies_us.len() * part / 100).copied().unwrap_or_default();
    Measured {
        per_second: operations / took,
        p50_us: f64::from(at(50)),
        p99_us: f64::from(at(99)),
        cpu_us: (cpu_after - cpu_before) / operations,
        errors,
    }
}
