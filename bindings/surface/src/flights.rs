//! Operations under way on the runtime, so that closing a store or a queue can cancel them and wait until they ended.

use std::collections::BTreeMap;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// The operations of one store, or of one queue.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    state: Mutex<State>,
    landed: Condvar,
    all_landed: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    // None between the reservation and the start of the task.
    open: BTreeMap<u64, Option<AbortHandle>>,
}

impl Flights {
    /// Reserves a place before the task starts, so that a task that ends at once finds it.
    pub(crate) fn begin(&self) -> u64 {
        let mut state = self.state.lock();
        let id = state.next;
        state.next += 1;
        state.open.insert(id, None);
        id
    }

    /// Notes how to cancel the task; it may have ended already.
    pub(crate) fn took_off(&self, id: u64, abort: AbortHandle) {
        if let Some(place) = self.state.lock().open.get_mut(&id) {
            *place = Some(abort);
        }
    }

    /// The task has ended and its completion is where it belongs.
    pub(crate) fn land(&self, id: u64) {
        let mut state = self.state.lock();
        state.open.remove(&id);
        if state.open.is_empty() {
            self.landed.notify_all();
            self.all_landed.notify_waiters();
        }
    }

    /// Cancels everything under way.
    pub(crate) fn cancel(&self) {
        // Out of the lock first: a task that is dropped lands.
        let open: Vec<_> = self.state.lock().open.values().flatten().cloned().collect();
        for abort in open {
            abort.abort();
        }
    }

    /// Blocks this thread until nothing is under way.
    pub(crate) fn wait(&self) {
        let mut state = self.state.lock();
        while !state.open.is_empty() {
            self.landed.wait(&mut state);
        }
    }

    /// Waits until nothing is under way.
    pub(crate) async fn settled(&self) {
        loop {
            let landed = self.all_landed.notified();
            let mut landed = std::pin::pin!(landed);
            landed.as_mut().enable();
            if self.state.lock().open.is_empty() {
                return;
            }
            landed.await;
        }
    }
}
