//! The seams: time, randomness and tasks enter here and nowhere else, so that a simulation can own all three.
//! An `Env` belongs to one node or client; stopping it ends every task that was started through it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::{Error, ErrorKind, Result};
#[cfg(feature = "testing")]
use super::standstill::Standstill;

/// A future on the heap, as driver traits return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The wall clock. Real nodes read the system's; simulated ones have one each, which may be wrong.
pub trait WallClock: Send + Sync + fmt::Debug {
    /// Unix milliseconds.
    fn unix_ms(&self) -> u64;
}

/// The system's wall clock.
#[derive(Debug)]
pub struct SystemClock;

impl WallClock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    fn unix_ms(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The moment by which an operation must have ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Deadline(tokio::time::Instant);

impl Deadline {
    /// The time that is left; zero once it has passed.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(tokio::time::Instant::now())
    }

    /// Whether it has passed.
    #[must_use]
    pub fn passed(self) -> bool {
        self.remaining().is_zero()
    }

    /// Runs a future until it ends or the deadline passes; the error is a `Timeout`.
    ///
    /// # Errors
    /// `Timeout` when the deadline passes first.
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    pub async fn limit<T>(self, future: impl Future<Output = T>) -> Result<T> {
        // No timer is made for what is ready at once: local operations end here without touching the timer wheel.
        let mut future = std::pin::pin!(future);
        if let Some(value) = poll_once(future.as_mut()).await {
            return Ok(value);
        }
        tokio::time::timeout_at(self.0, future)
            .await
            .map_err(|_| Error::new(ErrorKind::Timeout, "the deadline passed"))
    }
}

/// Polls a future once with the waker of the task at hand.
pub async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(move |context: &mut Context<'_>| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Time, randomness and tasks of one node or client.
#[derive(Clone, Debug)]
pub struct Env {
    wall: Arc<dyn WallClock>,
    inner: Arc<Inner>,
}

struct Inner {
    random: Mutex<SmallRng>,
    handle: tokio::runtime::Handle,
    tracker: TaskTracker,
    stop: CancellationToken,
    boot: String,
    #[cfg(feature = "testing")]
    standstill: Option<Standstill>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("boot", &self.boot).finish_non_exhaustive()
    }
}

impl Env {
    /// The real world, on this runtime: system clock, seed from the operating system, boot id of the kernel.
    ///
    /// # Errors
    /// `Io` when the operating system gives no randomness.
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    pub fn system(handle: tokio::runtime::Handle) -> Result<Self> {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|error| {
            Error::new(ErrorKind::Io, format!("the operating system gave no randomness: {error}"))
        })?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Ok(Self::new(handle, Arc::new(SystemClock), u64::from_le_bytes(seed), boot.trim().to_owned()))
    }

    /// A world of one's own: with a single-threaded paused runtime everything is a function of the seed.
    /// `boot` names the period over which the operating system keeps what was written to it; an empty one is unknown.
    #[must_use]
    pub fn new(handle: tokio::runtime::Handle, wall: Arc<dyn WallClock>, seed: u64, boot: String) -> Self {
        let inner = Arc::new(Inner {
            random: Mutex::new(SmallRng::seed_from_u64(seed)),
            handle,
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            boot,
            #[cfg(feature = "testing")]
            standstill: None,
        });
        Self { wall, inner }
    }

    /// The same world with another wall clock.
    #[must_use]
    pub fn with_wall(&self, wall: Arc<dyn WallClock>) -> Self {
        Self { wall, inner: Arc::clone(&self.inner) }
    }

    /// The wall clock.
    #[must_use]
    pub fn wall(&self) -> &Arc<dyn WallClock> {
        &self.wall
    }

    /// This environment, whose tasks stand still whenever the process does. To be called before it is cloned.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn with_standstill(mut self, standstill: Standstill) -> Self {
        let inner = Arc::get_mut(&mut self.inner).expect("nobody else has the environment yet");
        inner.standstill = Some(standstill);
        self
    }

    /// The wall clock in Unix milliseconds.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        self.wall.unix_ms()
    }

    /// The deadline that lies this far ahead.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    pub fn deadline(&self, after: Duration) -> Deadline {
        // A century is beyond any caller's patience and within any platform's clock.
        let after = after.min(Duration::from_secs(3_000_000_000));
        Deadline(tokio::time::Instant::now() + after)
    }

    /// Monotonic time since an arbitrary origin that is fixed for the life of the runtime's clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    pub fn now(&self) -> tokio::time::Instant {
        tokio::time::Instant::now()
    }

    /// Sleeps.
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// A random number.
    #[must_use]
    pub fn random(&self) -> u64 {
        self.inner.random.lock().next_u64()
    }

    /// A random number below `bound`; 0 for a bound of 0.
    #[must_use]
    pub fn random_below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.random() % bound }
    }

    /// Starts a task that ends by itself or is dropped at its next await when the environment stops.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.inner.stop.clone();
        #[cfg(feature = "testing")]
        if let Some(standstill) = &self.inner.standstill {
            let task = standstill.hold(task);
            let task = async move {
                let _ended = stop.run_until_cancelled_owned(task).await;
            };
            self.inner.tracker.spawn_on(task, &self.inner.handle);
            return;
        }
        self.inner.tracker.spawn_on(
            async move {
                let _ended = stop.run_until_cancelled_owned(task).await;
            },
            &self.inner.handle,
        );
    }

    /// The runtime that tasks run on; a thread that polls an operation enters it first.
    #[must_use]
    pub fn handle(&self) -> &tokio::runtime::Handle {
        &self.inner.handle
    }

    /// The period over which the operating system keeps what was written to it; empty if unknown.
    #[must_use]
    pub fn boot(&self) -> &str {
        &self.inner.boot
    }

    /// Tells every task to stop; returns at once.
    pub fn stop(&self) {
        self.inner.stop.cancel();
        self.inner.tracker.close();
    }

    /// Whether `stop` was called.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.inner.stop.is_cancelled()
    }

    /// Waits until `stop` is called.
    pub async fn stopping(&self) {
        self.inner.stop.cancelled().await;
    }

    /// Waits until every task has ended after `stop`.
    pub async fn drained(&self) {
        self.inner.tracker.wait().await;
    }
}
