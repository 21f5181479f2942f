//! What reads and writes give: contexts, receipts, entries.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDateTime, PyList, PyTuple, PyType, PyTzInfo};
use pyo3::{PyTraverseError, PyVisit};

use crate::buffers::bytes_of;
use crate::errors::invalid;
use crate::keyspace::Keyspace;

/// What a reader or writer has seen of a key: opaque, valid for that key alone.
#[pyclass(frozen, module = "ringkeep")]
pub(crate) struct Context(pub(crate) ringkeep_surface::Context);

impl Context {
    pub(crate) fn from_token(token: Bytes) -> Self {
        Self(ringkeep_surface::Context::from_bytes(token))
    }
}

#[pymethods]
impl Context {
    #[classmethod]
    #[pyo3(signature = (data, /))]
    fn from_bytes(_class: &Bound<'_, PyType>, data: &Bound<'_, PyAny>) -> PyResult<Self> {
        if data.is_instance_of::<pyo3::types::PyString>() {
            return Err(invalid(data.py(), "the context is str, not bytes-like"));
        }
        Ok(Self::from_token(bytes_of(data, "context")?))
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.to_bytes())
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get().0 == self.0)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.to_bytes().hash(&mut hasher);
        hasher.finish()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyBytes>,))> {
        let from_bytes = slf.get_type().getattr("from_bytes")?;
        Ok((from_bytes, (slf.get().__bytes__(slf.py()),)))
    }

    fn __repr__(&self) -> &'static str {
        "<ringkeep.Context>"
    }
}

/// What a write did.
#[pyclass(frozen, module = "ringkeep")]
pub(crate) struct Receipt(pub(crate) ringkeep_surface::Receipt);

#[pymethods]
impl Receipt {
    /// Covers the write and what it superseded.
    #[getter]
    fn context(&self) -> Context {
        Context(self.0.context().clone())
    }

    /// Owners that had stored it when the call returned.
    #[getter]
    fn owners(&self) -> u32 {
        self.0.owners()
    }

    /// Fallbacks that had stored it in a marked copy.
    #[getter]
    fn fallbacks(&self) -> u32 {
        self.0.fallbacks()
    }

    fn __repr__(&self) -> String {
        format!("<ringkeep.Receipt owners={} fallbacks={}>", self.0.owners(), self.0.fallbacks())
    }
}

/// Every live sibling of a key, and the context that covers them.
#[pyclass(frozen, generic, module = "ringkeep")]
pub(crate) struct Entry {
    pub(crate) entry: ringkeep_surface::Entry,
    pub(crate) keyspace: Keyspace,
}

#[pymethods]
impl Entry {
    /// The live values, oldest first; empty: absent.
    #[getter]
    fn siblings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let codec = self.keyspace.codec;
        let values: PyResult<Vec<_>> =
            self.entry.siblings().iter().map(|value| codec.decode(py, &value.bytes)).collect();
        PyTuple::new(py, values?)
    }

    /// Give it to the put that supersedes what this entry saw.
    #[getter]
    fn context(&self) -> Context {
        Context(self.entry.context().clone())
    }

    /// The value that the resolver picks; raises Conflict when it cannot decide.
    #[getter]
    fn value(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.keyspace.shown(py, &self.entry)
    }

    /// Whether more than one sibling is live.
    #[getter]
    fn conflicted(&self) -> bool {
        self.entry.conflicted()
    }

    /// When each sibling stops being shown; None: never.
    #[getter]
    fn expires<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let times: PyResult<Vec<_>> =
            self.entry.siblings().iter().map(|value| datetime(py, value.expires)).collect();
        PyTuple::new(py, times?)
    }

    fn __repr__(&self) -> String {
        format!("<ringkeep.Entry siblings={}>", self.entry.siblings().len())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.keyspace.resolve)
    }
}

/// A list of the raw values of an entry, as a `resolve` function takes them.
pub(crate) fn raw_siblings<'py>(
    py: Python<'py>,
    entry: &ringkeep_surface::Entry,
) -> PyResult<Bound<'py, PyList>> {
    PyList::new(py, entry.siblings().iter().map(|value| PyBytes::new(py, &value.bytes)))
}

/// The UTC time of Unix milliseconds; the last one that Python knows if it lies beyond.
fn datetime(py: Python<'_>, unix_ms: Option<u64>) -> PyResult<Option<Py<PyAny>>> {
    static END: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    // 9999-12-31T23:59:59 UTC.
    const LAST_MS: u64 = 253_402_300_799_000;
    let Some(unix_ms) = unix_ms else { return Ok(None) };
    let utc = PyTzInfo::utc(py)?;
    let whole = unix_ms.min(LAST_MS);
    let seconds = i64::try_from(whole / 1_000).unwrap_or(i64::MAX);
    let micros = whole % 1_000 * 1_000;
    let class = END.import(py, "datetime", "datetime")?;
    let time = class.call_method1("fromtimestamp", (seconds, utc))?;
    let fields = pyo3::types::PyDict::new(py);
    fields.set_item("microsecond", micros)?;
    let time = time.call_method("replace", (), Some(&fields))?;
    debug_assert!(time.is_instance_of::<PyDateTime>());
    Ok(Some(time.unbind()))
}
