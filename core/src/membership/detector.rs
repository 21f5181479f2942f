//! Suspecting a member: phi accrual over its heartbeats, by whatever path they came, and what this node saw itself.
//! After Hayashibara et al., "The φ Accrual Failure Detector" (2004). Pure; the time is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Above this a member is suspected: once in 10⁸ intervals a live one is, if intervals are as regular as they were.
const PHI_SUSPECT: f64 = 8.0;
/// Above this it is suspected if requests to it went unanswered too.
const PHI_UNANSWERED: f64 = 3.0;
/// Requests in a row without an answer that count as evidence.
const UNANSWERED: u32 = 3;
/// Intervals that are remembered: some half a minute of a small cluster.
const INTERVALS: usize = 32;
/// Heartbeats that a member must have made since a connection to it was refused before that counts no more: fewer may
/// have been under way through others when it died.
const BEATS_AFTER_REFUSAL: u32 = 3;

/// What one request to a member showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Evidence {
    /// It answered.
    Answered,
    /// Nobody listens at its address, or somebody else.
    Refused,
    /// It did not answer in time, or the connection broke.
    Unanswered,
}

/// How regular heartbeats are expected to be.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// The time between two rounds of gossip.
    pub interval: Duration,
}

/// One member's heartbeats and what was seen of it.
#[derive(Clone, Debug)]
pub struct Detector {
    timing: Timing,
    heard: bool,
    last: Instant,
    intervals: VecDeque<Duration>,
    refused: bool,
    beats_since: u32,
    unanswered: u32,
}

impl Detector {
    /// A member of which nothing is known but how far apart its heartbeats may be expected to come.
    #[must_use]
    pub fn new(timing: Timing, expected: Duration, now: Instant) -> Self {
        let intervals = VecDeque::from([expected; 4]);
        Self { timing, heard: false, last: now, intervals, refused: false, beats_since: 0, unanswered: 0 }
    }

    /// A newer heartbeat has come.
    pub fn beat(&mut self, now: Instant) {
        // One long silence is no habit.
        let interval = now.saturating_duration_since(self.last).min(self.timing.interval * 40);
        // Nor is the one that ends a suspicion, or the wait for the first of all.
        let usual =
            self.intervals.iter().sum::<Duration>() / u32::try_from(self.intervals.len()).unwrap_or(1).max(1);
        let unusual = !self.heard || self.suspects(now);
        let interval = if unusual { interval.min(usual * 2) } else { interval };
        self.last = now;
        self.heard = true;
        if self.intervals.len() == INTERVALS {
            self.intervals.pop_front();
        }
        self.intervals.push_back(interval);
        self.beats_since = self.beats_since.saturating_add(1);
        if self.refused && self.beats_since >= BEATS_AFTER_REFUSAL {
            self.refused = false;
        }
    }

    /// A request to it showed something.
    pub fn see(&mut self, evidence: Evidence) {
        match evidence {
            Evidence::Answered => {
                self.refused = false;
                self.unanswered = 0;
            }
            Evidence::Refused => {
                self.refused = true;
                self.beats_since = 0;
            }
            Evidence::Unanswered => self.unanswered = self.unanswered.saturating_add(1),
        }
    }

    /// Forgets how long it has been silent: this node itself stood still.
    pub fn excuse(&mut self, now: Instant) {
        self.last = now;
        self.refused = false;
        self.unanswered = 0;
    }

    /// Whether it is suspected.
    #[must_use]
    pub fn suspects(&self, now: Instant) -> bool {
        if self.refused {
            return true;
        }
        if !self.heard {
            // Who was never heard is not silent; in a large cluster the first heartbeat may take long.
            return self.unanswered >= UNANSWERED;
        }
        // Two rounds of silence are nothing, and most members at most times are no more silent than that.
        if now.saturating_duration_since(self.last) <= self.timing.interval * 2 {
            return false;
        }
        let phi = self.phi(now);
        phi >= PHI_SUSPECT || (phi >= PHI_UNANSWERED && self.unanswered >= UNANSWERED)
    }

    /// Minus the decimal logarithm of the chance that a heartbeat later than this still comes.
    #[must_use]
    pub fn phi(&self, now: Instant) -> f64 {
        let count = f64::from(u32::try_from(self.intervals.len()).unwrap_or(u32::MAX)).max(1.0);
        let seconds = |duration: &Duration| duration.as_secs_f64();
        let mean = self.intervals.iter().map(seconds).sum::<f64>() / count;
        let variance =
            self.intervals.iter().map(|interval| (seconds(interval) - mean).powi(2)).sum::<f64>() / count;
        let interval = self.timing.interval.as_secs_f64();
        // Regular heartbeats must not make the first late one a failure: a scheduler may take half an interval, and two
        // rounds may miss a member by chance.
        let deviation = variance.sqrt().max(interval / 2.0).max(mean / 4.0);
        let expected = mean + interval * 2.0;
        let late = (now.saturating_duration_since(self.last).as_secs_f64() - expected) / deviation;
        // The normal distribution's tail by its logistic approximation (Bowling et al., 2009).
        let power = late * (1.597_6 + 0.070_566 * late * late);
        if power > 700.0 {
            return f64::MAX;
        }
        let odds = (-power).exp();
        -(odds / (1.0 + odds)).log10()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests' own paused clock")]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(500);

    fn detector(now: Instant) -> Detector {
        Detector::new(Timing { interval: INTERVAL }, INTERVAL, now)
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_suspected_within_four_seconds_and_not_within_two() {
        let mut now = Instant::now();
        let mut detector = detector(now);
        for _ in 0..50 {
            now += INTERVAL;
            detector.beat(now);
            assert!(!detector.suspects(now));
        }
        assert!(!detector.suspects(now + INTERVAL * 4));
        assert!(detector.suspects(now + INTERVAL * 8));
        detector.beat(now + INTERVAL * 9);
        assert!(!detector.suspects(now + INTERVAL * 9));
    }

    #[tokio::test(start_paused = true)]
    async fn irregular_heartbeats_are_given_more_time() {
        let mut now = Instant::now();
        let (mut regular, mut irregular) = (detector(now), detector(now));
        for round in 0..32_u32 {
            now += INTERVAL * 2;
            regular.beat(now);
            irregular.beat(if round % 2 == 0 { now - INTERVAL } else { now });
        }
        let silent = now + INTERVAL * 9;
        assert!(regular.phi(silent) > irregular.phi(silent - INTERVAL));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_counts_at_once_and_until_the_member_lives_again() {
        let now = Instant::now();
        let mut detector = detector(now);
        detector.see(Evidence::Refused);
        assert!(detector.suspects(now));
        detector.beat(now);
        assert!(detector.suspects(now), "one heartbeat may have been under way");
        detector.see(Evidence::Answered);
        assert!(!detector.suspects(now));
    }

    #[tokio::test(start_paused = true)]
    async fn unanswered_requests_suspect_nobody_whose_heartbeats_come() {
        let now = Instant::now();
        let mut detector = detector(now);
        detector.beat(now);
        for _ in 0..100 {
            detector.see(Evidence::Unanswered);
        }
        assert!(!detector.suspects(now));
        let late = now + INTERVAL * 5;
        assert!(detector.suspects(late) && detector.phi(late) < PHI_SUSPECT);
    }
}
