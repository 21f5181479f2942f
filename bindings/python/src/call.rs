//! One operation on its way from Python and back: what to ask of the surface, and how its result becomes an object.
//! Each operation is described once and either waited for (`now`) or begun for a coroutine (`start`).

use pyo3::prelude::*;
use ringkeep_surface::Op;
use ringkeep_surface::{Error, ErrorKind, Result};

use crate::errors::raise;
use crate::exit;
use crate::loops::{Loops, begin};

/// An operation with the conversion of its result.
pub(crate) struct Call<T, F> {
    pub(crate) op: Op<T>,
    pub(crate) finish: F,
}

impl<T, F> Call<T, F>
where
    T: Send + 'static,
    F: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
{
    pub(crate) fn new(op: Op<T>, finish: F) -> Self {
        Self { op, finish }
    }

    /// Runs the operation on this thread and converts its result.
    pub(crate) fn now(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let value = wait(py, self.op)?;
        (self.finish)(py, value)
    }

    /// As `now`, for what may read much: without the interpreter's lock from the start.
    pub(crate) fn away(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let value = wait_away(py, self.op)?;
        (self.finish)(py, value)
    }

    /// The converted result if the operation ends at its first poll, else a `Pending` of the running loop.
    pub(crate) fn start(self, py: Python<'_>, loops: &Loops) -> PyResult<Py<PyAny>> {
        let Self { op, finish } = self;
        match op.now() {
            Ok(result) => finish(py, result.map_err(|error| raise(py, &error))?),
            Err(op) => begin(py, loops, op, finish),
        }
    }
}

/// Waits for an operation. What is local ends at its first poll, which never blocks, so that the interpreter's lock is
/// kept: letting it go costs more than the operation, and could cost a whole turn of another thread to get it back.
pub(crate) fn wait<T>(py: Python<'_>, op: Op<T>) -> PyResult<T>
where
    T: Send + 'static,
{
    match op.now() {
        Ok(result) => result.map_err(|error| raise(py, &error)),
        Err(op) => wait_away(py, op),
    }
}

/// Waits for an operation without the interpreter's lock.
pub(crate) fn wait_away<T>(py: Python<'_>, op: Op<T>) -> PyResult<T>
where
    T: Send + 'static,
{
    let waiting = exit::Waiting::begin().map_err(|error| raise(py, &error))?;
    let mut raised = None;
    let result = py.detach(|| op.wait(|| interrupted(&mut raised)));
    drop(waiting);
    match raised {
        Some(signal) => Err(signal),
        None => result.map_err(|error| raise(py, &error)),
    }
}

/// Runs the handlers of signals that have arrived; what they raise ends the wait.
#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the method's path holds for one lifetime only"
)]
fn interrupted(raised: &mut Option<PyErr>) -> Result<()> {
    exit::check()?;
    Python::attach(|py| py.check_signals()).map_err(|signal| {
        *raised = Some(signal);
        Error::new(ErrorKind::Canceled, "a signal handler raised an exception")
    })
}
