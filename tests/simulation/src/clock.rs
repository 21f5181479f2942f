//! The wall clock of a simulated node: the simulation's time, off by as much as a fault says.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ringkeep::base::Env;
use ringkeep::base::env::WallClock;

/// Where the simulation's time begins: a fixed day, so that logs are the same on every day.
const EPOCH_MS: u64 = 1_700_000_000_000;

/// The time that has passed since a simulation began.
#[derive(Clone, Debug)]
pub struct Stopwatch {
    env: Env,
    began: tokio::time::Instant,
}

impl Stopwatch {
    /// Starts now, on the clock of this environment.
    #[must_use]
    pub fn start(env: &Env) -> Self {
        Self { env: env.clone(), began: env.now() }
    }

    /// What has passed.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.env.now().saturating_duration_since(self.began)
    }

    /// What has passed, in whole milliseconds.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// One node's wall clock.
#[derive(Debug)]
pub struct SkewedClock {
    stopwatch: Stopwatch,
    ahead_ms: AtomicI64,
}

impl SkewedClock {
    /// A clock that is right.
    #[must_use]
    pub fn new(stopwatch: Stopwatch) -> Self {
        Self { stopwatch, ahead_ms: AtomicI64::new(0) }
    }

    /// Sets how far it is ahead; below zero it is behind.
    pub fn set_ahead_ms(&self, ahead_ms: i64) {
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
    }
}

impl WallClock for SkewedClock {
    fn unix_ms(&self) -> u64 {
        let right = EPOCH_MS + self.stopwatch.elapsed_ms();
        right.saturating_add_signed(self.ahead_ms.load(Ordering::Relaxed))
    }
}
