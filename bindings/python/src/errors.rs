//! Errors on their way to Python: the class is chosen by code in `ringkeep.errors`, the fields come from the detail.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList};
use ringkeep_surface::{Detail, Error};

use crate::entry::Context;

static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The exception of an error.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    instance(py, error).map_or_else(|failed| failed, PyErr::from_value)
}

/// The exception of a wrong argument.
pub(crate) fn invalid(py: Python<'_>, message: impl Into<String>) -> PyErr {
    raise(py, &Error::invalid(message))
}

/// As `invalid`, caused by another exception.
pub(crate) fn invalid_from(py: Python<'_>, message: impl Into<String>, cause: PyErr) -> PyErr {
    let error = invalid(py, message);
    error.set_cause(py, Some(cause));
    error
}

/// The exception's object, not raised.
pub(crate) fn instance<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let fields = PyDict::new(py);
    if error.maybe_applied() {
        fields.set_item("maybe_applied", true)?;
    }
    match error.detail() {
        Detail::Quorum { needed, received, replicas } => {
            fields.set_item("needed", needed)?;
            fields.set_item("received", received)?;
            fields.set_item("replicas", replicas)?;
        }
        Detail::Locked { pid } => fields.set_item("pid", pid)?,
        Detail::TooManySiblings { limit } => fields.set_item("limit", limit)?,
        Detail::Conflict { key, siblings, context } => {
            fields.set_item("key", PyBytes::new(py, key))?;
            fields.set_item("siblings", PyList::new(py, siblings.iter().map(|s| PyBytes::new(py, s)))?)?;
            fields.set_item("context", Context::from_token(context.clone()))?;
        }
        Detail::Partial { errors } => {
            let by_key = PyDict::new(py);
            for (key, error) in errors {
                by_key.set_item(PyBytes::new(py, key), instance(py, error)?)?;
            }
            fields.set_item("errors", by_key)?;
        }
        _ => {}
    }
    make(py, error.kind().code(), &error.to_string(), &fields)
}

/// The error object of a code, with these fields.
pub(crate) fn make<'py>(
    py: Python<'py>,
    code: &str,
    message: &str,
    fields: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    MAKE.import(py, "ringkeep.errors", "_make")?.call1((code, message, fields))
}
