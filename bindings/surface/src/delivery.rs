//! A thread of the library that runs completions for callers who drain no queue. Started by the first such operation of
//! a store, ended by its close; completions run one at a time, in the order in which operations ended.

use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use ringkeep::base::error::{Error, Result};

use crate::queue::{Queue, Wake};

/// The queue and the thread that drains it.
#[derive(Debug)]
pub(crate) struct Delivery {
    queue: Arc<Queue>,
    signal: Arc<Signal>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Signal {
    state: Mutex<Posted>,
    posted: Condvar,
}

#[derive(Debug, Default)]
struct Posted {
    ready: bool,
    end: bool,
}

impl Delivery {
    pub(crate) fn start() -> Result<Self> {
        let signal = Arc::new(Signal::default());
        let waker = Arc::clone(&signal);
        let queue = Queue::new(Wake::Callback(Box::new(move || waker.post(false))))?;
        let (queue_of_thread, signal_of_thread) = (Arc::clone(&queue), Arc::clone(&signal));
        let thread = std::thread::Builder::new()
            .name("ringkeep-calls".to_owned())
            .spawn(move || signal_of_thread.run(&queue_of_thread))
            .map_err(|error| Error::io("the thread for callbacks could not be started", error))?;
        Ok(Self { queue, signal, thread })
    }

    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Runs what is queued, then ends the thread and waits for it, unless it is the caller.
    pub(crate) fn end(self) {
        self.signal.post(true);
        if self.thread.thread().id() != std::thread::current().id() {
            // A panic of a completion ended the thread early: there is nobody left to wait for.
            let _ended = self.thread.join();
        }
        self.queue.close();
    }
}

impl Signal {
    fn post(&self, end: bool) {
        let mut state = self.state.lock();
        state.ready = true;
        state.end |= end;
        self.posted.notify_one();
    }

    fn run(&self, queue: &Queue) {
        loop {
            let end = {
                let mut state = self.state.lock();
                while !state.ready {
                    self.posted.wait(&mut state);
                }
                state.ready = false;
                state.end
            };
            queue.drain(usize::MAX);
            if end {
                return;
            }
        }
    }
}
