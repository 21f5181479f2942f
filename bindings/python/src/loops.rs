//! asyncio's side of the completion queue: one queue per store and loop, drained by the loop when its descriptor becomes
//! readable. A future is made only for an operation that did not end at its first poll.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::{PyTraverseError, PyVisit};
use ringkeep_surface::{Op, Queue, Result, Ticket, Wake};

use crate::errors::raise;

/// Completions that run in one turn of the loop, so that other callbacks get theirs.
const DRAIN_MAX: usize = 1_024;

/// The queues of one store, by loop.
pub(crate) struct Loops {
    pid: u32,
    served: Mutex<Vec<Served>>,
}

struct Served {
    event_loop: Py<PyAny>,
    drain: Py<Drain>,
}

/// What a loop calls when completions wait.
#[pyclass(frozen, module = "ringkeep._ringkeep")]
pub(crate) struct Drain {
    event_loop: Py<PyAny>,
    queue: Arc<Queue>,
}

#[pymethods]
impl Drain {
    fn __call__(&self) {
        self.queue.drain(DRAIN_MAX);
    }

    /// Delivers what waits and takes the queue off its loop; runs on the loop's thread.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        self.queue.drain(usize::MAX);
        if let Some(fd) = self.queue.fd() {
            self.event_loop.call_method1(py, intern!(py, "remove_reader"), (fd,))?;
        }
        self.queue.close();
        Ok(())
    }
}

/// The loop that runs on this thread.
fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static RUNNING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    RUNNING.import(py, "asyncio", "get_running_loop")?.call0()
}

fn is_closed(event_loop: &Bound<'_, PyAny>) -> bool {
    event_loop
        .call_method0(intern!(event_loop.py(), "is_closed"))
        .and_then(|closed| closed.is_truthy())
        .unwrap_or(true)
}

impl Loops {
    pub(crate) fn new() -> Self {
        Self { pid: std::process::id(), served: Mutex::new(Vec::new()) }
    }

    /// The queue that this loop drains; made when first needed.
    fn queue(&self, event_loop: &Bound<'_, PyAny>) -> PyResult<Arc<Queue>> {
        let py = event_loop.py();
        if let Some(served) = self.served.lock().iter().find(|served| served.event_loop.is(event_loop)) {
            return Ok(Arc::clone(&served.drain.get().queue));
        }
        let queue = Queue::new(Wake::EventFd).map_err(|error| raise(py, &error))?;
        let drain =
            Py::new(py, Drain { event_loop: event_loop.clone().unbind(), queue: Arc::clone(&queue) })?;
        event_loop.call_method1("add_reader", (queue.fd(), &drain))?;
        // Loops that have ended since are forgotten here, out of the lock: what they hold may run code when it goes.
        let known = std::mem::take(&mut *self.served.lock());
        let (gone, mut kept): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|served| is_closed(served.event_loop.bind(py)));
        kept.push(Served { event_loop: event_loop.clone().unbind(), drain });
        self.served.lock().extend(kept);
        for served in gone {
            served.drain.get().queue.close();
        }
        Ok(queue)
    }

    /// Takes the queues off their loops: at once where this thread runs the loop, else through the loop.
    pub(crate) fn detach(&self, py: Python<'_>) {
        // A child of fork shares its parent's poller: taking a descriptor off there would deafen the parent.
        if self.pid != std::process::id() {
            return;
        }
        let served = std::mem::take(&mut *self.served.lock());
        let running = running_loop(py).ok();
        for Served { event_loop, drain } in served {
            let event_loop = event_loop.bind(py);
            let ended = if running.as_ref().is_some_and(|running| running.is(event_loop)) {
                drain.get().end(py)
            } else if is_closed(event_loop) {
                drain.get().queue.close();
                Ok(())
            } else {
                let end = drain.getattr(py, "end");
                end.and_then(|end| event_loop.call_method1("call_soon_threadsafe", (end,))).map(drop)
            };
            if ended.is_err() {
                // The loop closed in between: nobody drains this queue any more.
                drain.get().queue.close();
            }
        }
    }
}

/// An operation under way for a coroutine.
#[pyclass(frozen, generic, module = "ringkeep._ringkeep")]
pub(crate) struct Pending {
    future: Py<PyAny>,
    ticket: Ticket,
}

#[pymethods]
impl Pending {
    /// Gets the result.
    #[getter]
    fn future(&self, py: Python<'_>) -> Py<PyAny> {
        self.future.clone_ref(py)
    }

    /// Ends the operation, if it has not ended.
    fn cancel(&self) {
        self.ticket.cancel();
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.future)
    }
}

/// Lets an operation go on on the runtime, to complete through the running loop's queue.
pub(crate) fn begin<T, F>(py: Python<'_>, loops: &Loops, op: Op<T>, finish: F) -> PyResult<Py<PyAny>>
where
    T: Send + 'static,
    F: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
{
    let event_loop = running_loop(py)?;
    let queue = loops.queue(&event_loop)?;
    let future = event_loop.call_method0(intern!(py, "create_future"))?.unbind();
    let waiter = future.clone_ref(py);
    let done = move |result: Result<T>| {
        Python::attach(|py| {
            settle(py, &waiter, || finish(py, result.map_err(|error| raise(py, &error))?));
        });
    };
    let ticket = op.start_queued(&queue, done);
    Ok(Py::new(py, Pending { future, ticket })?.into_any())
}

/// Gives a future its result, unless its waiter is gone.
fn settle(py: Python<'_>, future: &Py<PyAny>, convert: impl FnOnce() -> PyResult<Py<PyAny>>) {
    let given = future.call_method0(py, intern!(py, "done")).and_then(|done| {
        if done.is_truthy(py)? {
            return Ok(());
        }
        match convert() {
            Ok(value) => future.call_method1(py, intern!(py, "set_result"), (value,))?,
            Err(error) => {
                let error = storable(py, error).into_value(py);
                future.call_method1(py, intern!(py, "set_exception"), (error,))?
            }
        };
        Ok(())
    });
    if let Err(error) = given {
        // The loop closed while it drained: the future has nobody to wake.
        error.write_unraisable(py, Some(future.bind(py)));
    }
}

/// A future refuses StopIteration, which a resolver may raise; a generator would make the same of it.
fn storable(py: Python<'_>, error: PyErr) -> PyErr {
    if !error.is_instance_of::<PyStopIteration>(py) {
        return error;
    }
    let stored = PyRuntimeError::new_err("a resolver raised StopIteration");
    stored.set_cause(py, Some(error));
    stored
}
