//! How a calling thread waits for its operation: parked, woken by whoever makes progress possible, and back every now
//! and then so that signals are noticed.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

/// The longest that a thread sleeps before it asks whether it was interrupted: half of what people notice as a delay.
const SLICE: Duration = Duration::from_millis(50);

/// One thread's place to sleep.
pub(crate) struct Parker {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }
}

thread_local! {
    static PARKER: OnceCell<(Arc<Parker>, Waker)> = const { OnceCell::new() };
}

impl Parker {
    /// Lends this thread's parker and its waker, which outlive the call: a late wake costs one needless poll.
    pub(crate) fn of_this_thread<R>(run: impl FnOnce(&Self, &Waker) -> R) -> R {
        PARKER.with(|cell| {
            let (parker, waker) = cell.get_or_init(|| {
                let parker = Arc::new(Self { thread: std::thread::current(), woken: AtomicBool::new(false) });
                (Arc::clone(&parker), Waker::from(parker))
            });
            run(parker, waker)
        })
    }

    /// Sleeps until woken or for one slice; says whether it was woken.
    pub(crate) fn park(&self) -> bool {
        if !self.woken.load(Ordering::Acquire) {
            std::thread::park_timeout(SLICE);
        }
        self.woken.swap(false, Ordering::AcqRel)
    }
}
