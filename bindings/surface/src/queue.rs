//! The completion queue: what the runtime has finished waits here until the caller's own thread drains it.
//! Its owner is woken once when it becomes non-empty, not once for each completion.

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::thread::ThreadId;

use parking_lot::{Condvar, Mutex};
use ringkeep::base::error::Result;

use crate::flights::Flights;
use crate::fork;
use crate::signal::SignalFd;

/// A completion: the user's function with its result inside.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// How the owner of a queue learns that completions wait.
pub enum Wake {
    /// A file descriptor that is readable while completions wait.
    EventFd,
    /// Called from any thread when the queue becomes non-empty, and by a `drain` that leaves completions behind.
    Callback(Box<dyn Fn() + Send + Sync>),
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EventFd => "EventFd",
            Self::Callback(_) => "Callback",
        })
    }
}

enum Alarm {
    Fd(SignalFd),
    Callback(Box<dyn Fn() + Send + Sync>),
}

/// Completions on their way to the thread that drains them.
pub struct Queue {
    pid: u32,
    alarm: Alarm,
    state: Mutex<State>,
    drained: Condvar,
    pub(crate) flights: Flights,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Job>,
    drains: Vec<ThreadId>,
    closed: bool,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl Queue {
    /// An empty queue.
    ///
    /// # Errors
    /// `Io` when the operating system gives no file descriptor.
    pub fn new(wake: Wake) -> Result<Arc<Self>> {
        let alarm = match wake {
            Wake::EventFd => Alarm::Fd(SignalFd::new()?),
            Wake::Callback(callback) => Alarm::Callback(callback),
        };
        Ok(Arc::new(Self {
            pid: fork::pid(),
            alarm,
            state: Mutex::default(),
            drained: Condvar::new(),
            flights: Flights::default(),
        }))
    }

    /// The descriptor to poll for reading; none with a callback. Only `drain` reads from it.
    #[must_use]
    pub fn fd(&self) -> Option<RawFd> {
        match &self.alarm {
            Alarm::Fd(signal) => Some(signal.raw()),
            Alarm::Callback(_) => None,
        }
    }

    /// Runs at most `max` completions on this thread and says how many it ran. In a child of fork there are none.
    pub fn drain(&self, max: usize) -> usize {
        if self.is_forked() || max == 0 {
            return 0;
        }
        let this = std::thread::current().id();
        let mut ran = 0;
        self.state.lock().drains.push(this);
        let _done = Drained { queue: self, thread: this };
        // One at a time out of the lock: a completion may drain, start operations or close the queue.
        while ran < max {
            let Some(job) = self.pop() else { return ran };
            job();
            ran += 1;
        }
        if let Alarm::Callback(callback) = &self.alarm
            && !self.state.lock().ready.is_empty()
        {
            callback();
        }
        ran
    }

    /// Cancels what is under way towards this queue, so that each completion arrives as `Canceled`, waits for that,
    /// and runs all of them on this thread.
    pub fn cancel_and_drain(&self) {
        if self.is_forked() {
            return;
        }
        self.flights.cancel();
        self.flights.wait();
        self.drain(usize::MAX);
    }

    /// Waits until no other thread is in `drain`.
    pub fn wait_for_drains(&self) {
        if self.is_forked() {
            return;
        }
        let this = std::thread::current().id();
        let mut state = self.state.lock();
        while state.drains.iter().any(|thread| *thread != this) {
            self.drained.wait(&mut state);
        }
    }

    /// Ends the queue: operations under way towards it are canceled, completions that wait are dropped unrun, and none
    /// runs afterwards. Idempotent.
    pub fn close(&self) {
        if self.is_forked() {
            return;
        }
        let dropped = {
            let mut state = self.state.lock();
            state.closed = true;
            self.quiet();
            std::mem::take(&mut state.ready)
        };
        // Outside of the lock: what a completion owns may drop a handle that closes something of its own.
        drop(dropped);
        self.flights.cancel();
    }

    /// Whether `close` was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    #[cfg(test)]
    pub(crate) fn is_raised(&self) -> bool {
        match &self.alarm {
            Alarm::Fd(signal) => signal.is_raised(),
            Alarm::Callback(_) => false,
        }
    }

    pub(crate) fn is_forked(&self) -> bool {
        self.pid != fork::pid()
    }

    /// Adds a completion and wakes the owner if it is the first; a closed queue drops it.
    pub(crate) fn push(&self, job: Job) {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            drop(job);
            return;
        }
        let first = state.ready.is_empty();
        state.ready.push_back(job);
        if !first {
            return;
        }
        match &self.alarm {
            // Under the lock, so that raising and clearing happen in the order of the queue's own changes.
            Alarm::Fd(signal) => signal.raise(),
            Alarm::Callback(callback) => {
                drop(state);
                callback();
            }
        }
    }

    fn pop(&self) -> Option<Job> {
        let mut state = self.state.lock();
        let job = state.ready.pop_front()?;
        if state.ready.is_empty() {
            self.quiet();
        }
        Some(job)
    }

    fn quiet(&self) {
        if let Alarm::Fd(signal) = &self.alarm {
            signal.clear();
        }
    }
}

/// Notes the end of a drain, also when a completion panics.
struct Drained<'a> {
    queue: &'a Queue,
    thread: ThreadId,
}

impl Drop for Drained<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        if let Some(index) = state.drains.iter().position(|thread| *thread == self.thread) {
            state.drains.swap_remove(index);
        }
        self.queue.drained.notify_all();
    }
}
