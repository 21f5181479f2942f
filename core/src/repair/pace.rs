//! Pace: how long to wait between sendings so that they stay below a rate. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Waits shorter than this are saved up: timers are no finer, and a short burst costs nobody anything.
const WAIT_MIN: Duration = Duration::from_millis(2);

/// Keeps what is sent below a rate.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: u64,
    /// When everything sent so far is paid for.
    free_at: Instant,
}

impl Pace {
    pub(super) fn new(bytes_per_second: u64, now: Instant) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), free_at: now }
    }

    /// Spends bytes; gives how long to wait before the next are sent. What was not used earlier is not made up for.
    pub(super) fn spend(&mut self, bytes: usize, now: Instant) -> Duration {
        let nanos = (bytes as u64).saturating_mul(1_000_000_000) / self.bytes_per_second;
        self.free_at = self.free_at.max(now) + Duration::from_nanos(nanos);
        let wait = self.free_at.saturating_duration_since(now);
        if wait < WAIT_MIN { Duration::ZERO } else { wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    #[expect(clippy::disallowed_methods, reason = "a paused clock is no clock")]
    async fn what_is_sent_stays_below_the_rate() {
        let began = Instant::now();
        let mut pace = Pace::new(1 << 20, began);
        let mut sent = 0_u32;
        for _ in 0..1_000 {
            sent += 4 << 10;
            let wait = pace.spend(4 << 10, Instant::now());
            tokio::time::sleep(wait).await;
            let most = began.elapsed().as_secs_f64() * f64::from(1 << 20) + f64::from(8 << 10);
            assert!(f64::from(sent) <= most, "{sent} bytes after {:?}", began.elapsed());
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(pace.spend(1_024, Instant::now()), Duration::ZERO);
        assert!(pace.spend(1 << 20, Instant::now()) > Duration::from_secs(1));
    }
}
