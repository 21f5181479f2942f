//! What all handles of one store share: the process they belong to, the runtime, whether the store is closed, and its
//! operations under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;
use ringkeep::base::error::Result;
use tokio::runtime::Handle;

use crate::delivery::Delivery;
use crate::flights::Flights;
use crate::queue::Queue;
use crate::{fork, runtime};

const OPEN: u8 = 0;
const CLOSING: u8 = 1;
const ENDED: u8 = 2;

/// The life of one store in this process.
#[derive(Debug)]
pub(crate) struct Scope {
    pid: u32,
    handle: Handle,
    state: AtomicU8,
    pub(crate) flights: Flights,
    delivery: Mutex<Option<Delivery>>,
}

impl Scope {
    /// A scope on this process's runtime.
    pub(crate) fn new(threads: u32) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            pid: fork::pid(),
            handle: runtime::handle(threads)?,
            state: AtomicU8::new(OPEN),
            flights: Flights::default(),
            delivery: Mutex::new(None),
        }))
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Whether this process is not the one that opened the store.
    pub(crate) fn is_forked(&self) -> bool {
        self.pid != fork::pid()
    }

    /// Whether `close` has been called.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) != OPEN
    }

    /// Whether `close` is through: what still waits has nobody to wait for.
    pub(crate) fn has_ended(&self) -> bool {
        self.state.load(Ordering::Acquire) == ENDED
    }

    /// Fails in a child of fork.
    pub(crate) fn check_process(&self) -> Result<()> {
        if self.is_forked() { Err(runtime::forked()) } else { Ok(()) }
    }

    /// Fails in a child of fork and after `close`.
    pub(crate) fn check(&self) -> Result<()> {
        self.check_process()?;
        if self.is_closed() { Err(runtime::closed()) } else { Ok(()) }
    }

    /// From here on operations are refused.
    pub(crate) fn begin_close(&self) {
        self.state.fetch_max(CLOSING, Ordering::AcqRel);
    }

    /// Ends what is left and waits until each has been completed with an error.
    pub(crate) async fn end(&self) {
        self.state.fetch_max(ENDED, Ordering::AcqRel);
        self.flights.cancel();
        self.flights.settled().await;
    }

    /// The queue whose completions run on a thread of the library; started at first use.
    pub(crate) fn delivery(&self) -> Result<Arc<Queue>> {
        let mut delivery = self.delivery.lock();
        match &*delivery {
            Some(started) => Ok(Arc::clone(started.queue())),
            None => {
                let started = delivery.insert(Delivery::start()?);
                Ok(Arc::clone(started.queue()))
            }
        }
    }

    /// Lets the library's thread run what is left, and ends it.
    pub(crate) fn end_delivery(&self) {
        let delivery = self.delivery.lock().take();
        if let Some(delivery) = delivery {
            delivery.end();
        }
    }
}
