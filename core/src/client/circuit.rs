//! One member as this side's own requests show it: whether it answers, and how soon. Opens when requests fail, and when
//! answers stay away for much longer than they usually take, so that a slow, stopped or one-way member is passed over
//! before gossip knows. After Nygard, "Release It!" (2007), the circuit breaker. Pure; the time is an argument.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// How long a member that failed once is asked last. Short: a restarted one is tried again soon.
const OPEN: Duration = Duration::from_millis(500);
/// Doublings of that while it goes on failing: every four seconds is often enough for one that has gone.
const DOUBLINGS_MAX: u32 = 3;
/// Silence with requests under way that is no failure yet: a disk or a scheduler may take as long.
const SILENCE_MIN: Duration = Duration::from_millis(250);
/// Silence that is one, in times of what an answer usually takes.
const SILENCE_TIMES: u64 = 8;
/// What an answer is taken to need before there was one: past the slow end of a data centre's round trips.
pub(super) const USUAL: Duration = Duration::from_millis(20);
/// Bounds of the wait for a replica before another is asked too: below a round trip it only doubles the work, and above
/// it a caller notices.
const HEDGE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// What is known of one member. Times are nanoseconds since an origin that the caller keeps.
#[derive(Debug, Default)]
pub(super) struct Circuit {
    under_way: AtomicU32,
    /// Since when nothing has been heard although requests are under way.
    silent_since: AtomicU64,
    failures: AtomicU32,
    open_until: AtomicU64,
    /// The 99th percentile of what answers take, about; 0: there was none.
    usual: AtomicU64,
}

impl Circuit {
    /// A request is sent.
    pub(super) fn begin(&self, now: u64) {
        if self.under_way.fetch_add(1, Ordering::Relaxed) == 0 {
            self.silent_since.store(now, Ordering::Relaxed);
        }
    }

    /// It was answered. `since` is when it was sent, for requests whose time says something about the member; says whether
    /// the member had failed before.
    pub(super) fn answered(&self, now: u64, since: Option<u64>) -> bool {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        self.silent_since.store(now, Ordering::Relaxed);
        if let Some(since) = since {
            self.sample(now.saturating_sub(since));
        }
        // Read before written: in the usual case nothing is shared between threads but for reading.
        if self.failures.load(Ordering::Relaxed) == 0 {
            return false;
        }
        self.failures.store(0, Ordering::Relaxed);
        self.open_until.store(0, Ordering::Relaxed);
        true
    }

    /// It failed.
    pub(super) fn failed(&self, now: u64) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        // Requests that fail together are one failure.
        if self.open_until.load(Ordering::Relaxed) <= now {
            let failures = self.failures.fetch_add(1, Ordering::Relaxed).min(DOUBLINGS_MAX);
            self.open_until.store(now.saturating_add(nanos(OPEN) << failures), Ordering::Relaxed);
        }
    }

    /// It could not be sent for want of room here, which says nothing of the member.
    pub(super) fn withdrawn(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether a request that was sent at `began` has not waited long enough by now to say that its member is silent.
    pub(super) fn is_soon(&self, began: u64, now: u64) -> bool {
        now.saturating_sub(began) < self.silence()
    }

    fn silence(&self) -> u64 {
        nanos(SILENCE_MIN).max(self.usual.load(Ordering::Relaxed).saturating_mul(SILENCE_TIMES))
    }

    /// Whether others should be asked first.
    pub(super) fn is_open(&self, now: u64) -> bool {
        if self.open_until.load(Ordering::Relaxed) > now {
            return true;
        }
        let silence = now.saturating_sub(self.silent_since.load(Ordering::Relaxed));
        self.under_way.load(Ordering::Relaxed) > 0 && silence > self.silence()
    }

    /// How long an answer may take before another replica is asked too.
    pub(super) fn hedge(&self) -> Duration {
        match self.usual.load(Ordering::Relaxed) {
            0 => USUAL,
            usual => Duration::from_nanos(usual).clamp(HEDGE.0, HEDGE.1),
        }
    }

    /// Moves the estimate up by a quarter for a sample above it and down by a 400th for one below: it rests where 99 of
    /// 100 lie below. After Ma, Muthukrishnan and Sandler, "Frugal Streaming for Estimating Quantiles" (2013).
    fn sample(&self, took: u64) {
        let usual = self.usual.load(Ordering::Relaxed);
        let next = match usual {
            0 => took.saturating_mul(2).max(1),
            usual if took > usual => usual + usual / 4 + 1,
            usual => usual - usual / 400,
        };
        self.usual.store(next, Ordering::Relaxed);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn failures_open_it_for_ever_longer_and_an_answer_closes_it() {
        let circuit = Circuit::default();
        let mut now = 0;
        for open_ms in [500, 1_000, 2_000, 4_000, 4_000] {
            circuit.begin(now);
            circuit.failed(now);
            assert!(circuit.is_open(now + open_ms * MS - 1), "after {now}");
            now += open_ms * MS;
            assert!(!circuit.is_open(now));
        }
        circuit.begin(now);
        assert!(circuit.answered(now, None));
        circuit.begin(now);
        circuit.failed(now);
        assert!(!circuit.is_open(now + 500 * MS));
    }

    #[test]
    fn requests_that_fail_together_are_one_failure() {
        let circuit = Circuit::default();
        for _ in 0..64 {
            circuit.begin(0);
        }
        for _ in 0..64 {
            circuit.failed(5);
        }
        assert!(circuit.is_open(6) && !circuit.is_open(500 * MS + 5));
    }

    #[test]
    fn silence_opens_it_only_while_requests_are_under_way_and_unusually_long() {
        let circuit = Circuit::default();
        assert!(!circuit.is_open(9_000 * MS));
        circuit.begin(0);
        assert!(!circuit.is_open(250 * MS));
        assert!(circuit.is_open(251 * MS));
        circuit.answered(260 * MS, Some(0));
        assert!(!circuit.is_open(9_000 * MS));
        // One that is always slow is not silent as soon.
        circuit.begin(9_000 * MS);
        assert!(!circuit.is_open(10_000 * MS));
    }

    #[test]
    fn what_answers_usually_take_is_their_99th_percentile() {
        let circuit = Circuit::default();
        assert_eq!(circuit.hedge(), USUAL);
        for number in 0..50_000_u64 {
            circuit.begin(0);
            // One to ten milliseconds, evenly; one of a thousand takes a second.
            let took = if number % 1_000 == 7 { 1_000 * MS } else { (1 + number * 7_919 % 1_000 / 111) * MS };
            circuit.answered(took, Some(0));
        }
        let hedge = circuit.hedge();
        assert!(hedge >= Duration::from_millis(9) && hedge <= Duration::from_millis(16), "{hedge:?}");
    }
}
