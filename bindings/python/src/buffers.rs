//! Keys and values between Python and Rust: `str` as UTF-8, everything with the buffer protocol as its bytes, and the
//! codecs of typed buckets.

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyMemoryView, PyString};

use crate::errors::{invalid, invalid_from};

/// A copy of the bytes of a `str` or bytes-like object; `what` names it in the error.
pub(crate) fn bytes_of(object: &Bound<'_, PyAny>, what: &str) -> PyResult<Bytes> {
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(Bytes::copy_from_slice(bytes.as_bytes()));
    }
    let py = object.py();
    if let Ok(text) = object.cast::<PyString>() {
        return match text.to_str() {
            Ok(text) => Ok(Bytes::copy_from_slice(text.as_bytes())),
            Err(cause) => Err(invalid_from(py, format!("the {what} is a str that has no UTF-8 form"), cause)),
        };
    }
    let kind = object.get_type().name()?;
    let Ok(view) = PyMemoryView::from(object) else {
        return Err(invalid(py, format!("the {what} is {kind}, not str or bytes-like")));
    };
    let bytes = view.call_method0("tobytes")?;
    Ok(Bytes::copy_from_slice(bytes.cast::<PyBytes>()?.as_bytes()))
}

/// What the values of a bucket handle are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Codec {
    Bytes,
    Utf8,
    Json,
}

impl Codec {
    pub(crate) fn named(py: Python<'_>, name: &str) -> PyResult<Self> {
        match name {
            "bytes" => Ok(Self::Bytes),
            "utf8" => Ok(Self::Utf8),
            "json" => Ok(Self::Json),
            _ => Err(invalid(py, format!("codec {name:?} is not bytes, utf8 or json"))),
        }
    }

    /// The bytes to store.
    pub(crate) fn encode(self, value: &Bound<'_, PyAny>) -> PyResult<Bytes> {
        match self {
            Self::Bytes => bytes_of(value, "value"),
            Self::Utf8 if value.cast::<PyString>().is_ok() => bytes_of(value, "value"),
            Self::Utf8 => {
                let kind = value.get_type().name()?;
                Err(invalid(value.py(), format!("the value is {kind}, and a utf8 bucket takes only str")))
            }
            Self::Json => to_json(value),
        }
    }

    /// The value that was stored.
    pub(crate) fn decode(self, py: Python<'_>, bytes: &[u8]) -> PyResult<Py<PyAny>> {
        match self {
            Self::Bytes => Ok(PyBytes::new(py, bytes).into_any().unbind()),
            Self::Utf8 => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(PyString::new(py, text).into_any().unbind()),
                Err(error) => Err(invalid(py, format!("the stored value is not UTF-8: {error}"))),
            },
            Self::Json => from_json(py, bytes),
        }
    }

    /// What a write stored, as a read of it would give it.
    pub(crate) fn stored(self, value: &Bound<'_, PyAny>, bytes: &[u8]) -> Py<PyAny> {
        match self {
            Self::Bytes => PyBytes::new(value.py(), bytes).into_any().unbind(),
            Self::Utf8 | Self::Json => value.clone().unbind(),
        }
    }
}

fn to_json(value: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = value.py();
    let options = PyDict::new(py);
    options.set_item("ensure_ascii", false)?;
    options.set_item("allow_nan", false)?;
    options.set_item("separators", (",", ":"))?;
    let text = DUMPS.import(py, "json", "dumps")?.call((value,), Some(&options)).map_err(|cause| {
        let message = format!("the value has no JSON form: {}", cause.value(py));
        invalid_from(py, message, cause)
    })?;
    bytes_of(&text, "value")
}

fn from_json(py: Python<'_>, bytes: &[u8]) -> PyResult<Py<PyAny>> {
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let value = LOADS.import(py, "json", "loads")?.call1((PyBytes::new(py, bytes),)).map_err(|cause| {
        let message = format!("the stored value is not JSON: {}", cause.value(py));
        invalid_from(py, message, cause)
    })?;
    Ok(value.unbind())
}
