//! Scans: items that were fetched already are given without letting the interpreter's lock go.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3::{PyTraverseError, PyVisit};
use ringkeep_surface::ScanHandle;

use crate::call::{Call, wait_away};
use crate::keyspace::{Keyspace, pair};
use crate::loops::Loops;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Gives {
    Items,
    Keys,
}

/// Keys and values in key order. A Conflict is raised for its key alone: iterating again goes on behind it.
#[pyclass(frozen, generic, module = "ringkeep")]
pub(crate) struct Scan {
    keyspace: Keyspace,
    // None once it is closed.
    handle: Mutex<Option<ScanHandle>>,
    gives: Gives,
}

impl Scan {
    pub(crate) fn items(keyspace: Keyspace, handle: ScanHandle) -> Self {
        Self { keyspace, handle: Mutex::new(Some(handle)), gives: Gives::Items }
    }

    pub(crate) fn keys(keyspace: Keyspace, handle: ScanHandle) -> Self {
        Self { gives: Gives::Keys, ..Self::items(keyspace, handle) }
    }
}

#[pymethods]
impl Scan {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let Some(handle) = self.handle.lock().clone() else { return Ok(None) };
        let item = match handle.buffered() {
            Some(item) => Some(item),
            None => wait_away(py, handle.next())?,
        };
        let Some(item) = item else { return Ok(None) };
        match self.gives {
            Gives::Items => pair(py, &self.keyspace, &item).map(Some),
            Gives::Keys => Ok(Some(PyBytes::new(py, &item.key).into_any().unbind())),
        }
    }

    /// Ends the scan. Idempotent.
    fn close(&self) {
        let handle = self.handle.lock().take();
        drop(handle);
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (kind, error, trace, /))]
    fn __exit__(&self, kind: &Bound<'_, PyAny>, error: &Bound<'_, PyAny>, trace: &Bound<'_, PyAny>) {
        let _unused = (kind, error, trace);
        self.close();
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.keyspace.resolve)
    }
}

/// What `ringkeep.aio.Scan` stands on.
#[pyclass(frozen, generic, module = "ringkeep._ringkeep")]
pub(crate) struct AsyncScan {
    pub(crate) keyspace: Keyspace,
    pub(crate) handle: Mutex<Option<ScanHandle>>,
    pub(crate) loops: Arc<Loops>,
}

#[pymethods]
impl AsyncScan {
    /// The next pair, None at the end, or what to wait for.
    fn next(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let Some(handle) = self.handle.lock().clone() else { return Ok(py.None()) };
        if let Some(item) = handle.buffered() {
            return pair(py, &self.keyspace, &item);
        }
        let keyspace = self.keyspace.share(py);
        let finish = move |py: Python<'_>, item: Option<ringkeep_surface::ScanItem>| match item {
            Some(item) => pair(py, &keyspace, &item),
            None => Ok(py.None()),
        };
        Call::new(handle.next(), finish).start(py, &self.loops)
    }

    /// Ends the scan.
    fn close(&self) {
        let handle = self.handle.lock().take();
        drop(handle);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.keyspace.resolve)
    }
}
