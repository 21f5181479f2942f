//! The end of the interpreter: stores that are still open are closed while Python still runs, and no thread of ours
//! asks for its lock afterwards, which would end that thread inside foreign frames.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::prelude::*;
use ringkeep_surface::{Error, ErrorKind, Result, StoreHandle};

/// How long operations under way may take at exit: nobody is left to see their results.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Threads that wait notice within 50 ms; a second is ample even on a loaded machine.
const LEAVE_ROUNDS: u32 = 1_000;

static ENDING: AtomicBool = AtomicBool::new(false);
static WAITING: AtomicUsize = AtomicUsize::new(0);
static NEXT: AtomicU64 = AtomicU64::new(0);
// Locked only by threads that hold the interpreter's lock and never let it go meanwhile: fork finds it free.
static OPEN: Mutex<BTreeMap<u64, StoreHandle>> = Mutex::new(BTreeMap::new());

/// A store that is closed at exit, unless it is dropped before.
pub(crate) struct Registered(u64);

impl Registered {
    pub(crate) fn new(store: &StoreHandle) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        OPEN.lock().insert(number, store.clone());
        Self(number)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let store = OPEN.lock().remove(&self.0);
        drop(store);
    }
}

/// A thread that has let the interpreter's lock go and will ask for it again.
pub(crate) struct Waiting(());

impl Waiting {
    /// Fails once the interpreter is ending: whoever waited now might never get the lock back.
    pub(crate) fn begin() -> Result<Self> {
        WAITING.fetch_add(1, Ordering::AcqRel);
        let waiting = Self(());
        check()?;
        Ok(waiting)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The threads that wait are the parent's: a child of fork has none of them. Only stores to an atomic.
pub(crate) fn in_child() {
    WAITING.store(0, Ordering::Release);
}

/// Fails once the interpreter is ending.
pub(crate) fn check() -> Result<()> {
    if ENDING.load(Ordering::Acquire) {
        return Err(Error::new(ErrorKind::Closed, "the interpreter is exiting"));
    }
    Ok(())
}

/// Runs from `atexit`.
#[pyfunction]
pub(crate) fn end(py: Python<'_>) {
    ENDING.store(true, Ordering::Release);
    let open = std::mem::take(&mut *OPEN.lock());
    py.detach(|| {
        // All at once, so that the time limit is shared; a store inherited through fork refuses and is left alone.
        let closing: Vec<_> = open.values().map(|store| store.close(Some(CLOSE_TIMEOUT))).collect();
        for close in closing {
            // Nobody is left to tell: the next open of the directory finds whatever could not be flushed.
            let _unheard = close.wait(|| Ok(()));
        }
        for _ in 0..LEAVE_ROUNDS {
            if WAITING.load(Ordering::Acquire) == 0 {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        drop(open);
    });
}
