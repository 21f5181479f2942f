//! A wall clock that is not believed when it jumps far ahead: time goes on from where it was until the peers' clocks
//! agree with the jump. A clock's lease on disk thus never runs away with a wrong clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::env::{Env, WallClock};

/// A clock over another, watched for jumps. `check` is to be called every few hundred milliseconds.
#[derive(Debug)]
pub struct TrustedClock {
    inner: Arc<dyn WallClock>,
    env: Env,
    jump_ms_max: u64,
    /// Readings of the inner clock up to this are believed without a look.
    limit_ms: AtomicU64,
    base: Mutex<Base>,
}

/// A reading of the wall clock, and of the monotonic one at the same moment.
#[derive(Debug)]
struct Base {
    wall_ms: u64,
    at: tokio::time::Instant,
}

impl Base {
    fn projected_ms(&self, now: tokio::time::Instant) -> u64 {
        let passed: Duration = now.saturating_duration_since(self.at);
        self.wall_ms.saturating_add(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX))
    }
}

impl TrustedClock {
    /// A clock that believes jumps of up to `jump_ms_max`.
    #[must_use]
    pub fn new(inner: Arc<dyn WallClock>, env: Env, jump_ms_max: u64) -> Self {
        let base = Base { wall_ms: inner.unix_ms(), at: env.now() };
        let limit_ms = AtomicU64::new(base.wall_ms.saturating_add(jump_ms_max));
        Self { inner, env, jump_ms_max, limit_ms, base: Mutex::new(base) }
    }

    /// What the inner clock says, believed or not.
    #[must_use]
    pub fn unbelieved_ms(&self) -> u64 {
        self.inner.unix_ms()
    }

    /// Looks at the clock. `peers_ahead_ms` says how far the peers' median is ahead of what this clock shows; none: there
    /// are no peers to ask, and the inner clock is believed. Says by how many milliseconds the inner clock is ahead of
    /// what is believed.
    pub fn check(&self, peers_ahead_ms: Option<i64>) -> u64 {
        let inner = self.inner.unix_ms();
        let mut base = self.base.lock();
        let now = self.env.now();
        let shown = base.projected_ms(now);
        let ahead = inner.saturating_sub(shown);
        let agreed = match peers_ahead_ms {
            None => true,
            Some(peers) => i64::try_from(ahead).unwrap_or(i64::MAX).abs_diff(peers) <= self.jump_ms_max,
        };
        if ahead <= self.jump_ms_max || agreed {
            *base = Base { wall_ms: inner, at: now };
            self.limit_ms.store(inner.saturating_add(self.jump_ms_max), Ordering::Release);
            return 0;
        }
        ahead
    }
}

impl WallClock for TrustedClock {
    fn unix_ms(&self) -> u64 {
        let inner = self.inner.unix_ms();
        if inner <= self.limit_ms.load(Ordering::Acquire) {
            return inner;
        }
        let base = self.base.lock();
        let shown = base.projected_ms(self.env.now());
        if inner.saturating_sub(shown) > self.jump_ms_max {
            return shown;
        }
        // Not looked at for long, as in a process that stood still: the limit is old, not the clock wrong.
        self.limit_ms.store(inner.saturating_add(self.jump_ms_max), Ordering::Release);
        inner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Set(AtomicU64);

    impl WallClock for Set {
        fn unix_ms(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn clock() -> (Arc<Set>, TrustedClock, Env) {
        let set = Arc::new(Set(AtomicU64::new(1_000_000)));
        let inner: Arc<dyn WallClock> = Arc::clone(&set) as _;
        let env = Env::new(tokio::runtime::Handle::current(), Arc::clone(&inner), 1, String::new());
        (set, TrustedClock::new(inner, env.clone(), 60_000), env)
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_far_ahead_is_not_believed_until_the_peers_agree() {
        let (set, clock, env) = clock();
        set.0.store(9_000_000, Ordering::Relaxed);
        assert_eq!(clock.unix_ms(), 1_000_000);
        env.sleep(Duration::from_secs(5)).await;
        assert_eq!((clock.unix_ms(), clock.check(Some(20))), (1_005_000, 7_995_000));
        assert_eq!((clock.check(Some(7_990_000)), clock.unix_ms()), (0, 9_000_000));
    }

    #[tokio::test(start_paused = true)]
    async fn small_jumps_jumps_back_and_a_lone_nodes_jumps_are_believed() {
        let (set, clock, _) = clock();
        for (wall, peers) in [(1_050_000, Some(0)), (10, Some(0)), (9_000_000, None)] {
            set.0.store(wall, Ordering::Relaxed);
            assert_eq!((clock.check(peers), clock.unix_ms()), (0, wall));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_nobody_looked_at_for_long_is_believed() {
        let (set, clock, env) = clock();
        env.sleep(Duration::from_secs(600)).await;
        set.0.store(1_600_000, Ordering::Relaxed);
        assert_eq!(clock.unix_ms(), 1_600_000);
    }
}
