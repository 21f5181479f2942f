//! `get_many` and `put_many`: their arguments, and results of which some may be errors.

use bytes::Bytes;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use ringkeep_surface::{Error, Result};

use crate::buffers::{Codec, bytes_of};
use crate::errors::{instance, invalid, make};

/// Keys as they were given and as bytes.
pub(crate) struct Keys(Vec<(Py<PyAny>, Bytes)>);

/// Reads the keys of `get_many`.
pub(crate) fn keys(given: &Bound<'_, PyAny>) -> PyResult<Keys> {
    let py = given.py();
    if given.is_instance_of::<PyString>() || given.is_instance_of::<PyBytes>() {
        return Err(invalid(py, "the keys are one str or bytes, not several"));
    }
    let keys = given.try_iter()?.map(|key| {
        let key = key?;
        let bytes = bytes_of(&key, "key")?;
        // What can change cannot be the key of a dict.
        let known = key.is_instance_of::<PyString>() || key.is_instance_of::<PyBytes>();
        let key = if known { key.unbind() } else { PyBytes::new(py, &bytes).into_any().unbind() };
        Ok((key, bytes))
    });
    keys.collect::<PyResult<Vec<_>>>().map(Keys)
}

/// Reads the items of `put_many`: a mapping, or pairs.
pub(crate) fn items(given: &Bound<'_, PyAny>, codec: Codec) -> PyResult<Vec<(Bytes, Bytes)>> {
    let py = given.py();
    let pairs = match given.getattr_opt(intern!(py, "items"))? {
        Some(items) => items.call0()?.try_iter()?,
        None => given.try_iter()?,
    };
    pairs
        .map(|pair| {
            let pair = pair?;
            let Ok((key, value)) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>() else {
                return Err(invalid(py, "an item is not a pair of key and value"));
            };
            Ok((bytes_of(&key, "key")?, codec.encode(&value)?))
        })
        .collect()
}

impl Keys {
    pub(crate) fn bytes(&self) -> impl Iterator<Item = Bytes> {
        self.0.iter().map(|(_, bytes)| bytes.clone())
    }

    /// The values that were found, by key; a PartialFailure if any key failed.
    pub(crate) fn dict<T>(
        self,
        py: Python<'_>,
        found: Vec<Result<T>>,
        decode: impl Fn(T) -> PyResult<Option<Py<PyAny>>>,
    ) -> PyResult<Py<PyAny>> {
        let values = PyDict::new(py);
        let mut failed = Vec::new();
        for ((key, bytes), result) in self.0.into_iter().zip(found) {
            match result {
                Ok(value) => {
                    if let Some(value) = decode(value)? {
                        values.set_item(key, value)?;
                    }
                }
                Err(error) => failed.push((bytes, error)),
            }
        }
        match failed.first() {
            None => Ok(values.into_any().unbind()),
            Some(_) => Err(partial(py, &failed, false, Some(&values))?),
        }
    }
}

/// None if every item was stored, else a PartialFailure.
pub(crate) fn check_stored<T>(py: Python<'_>, keys: &[Bytes], stored: Vec<Result<T>>) -> PyResult<Py<PyAny>> {
    let all = stored.len();
    let failed: Vec<_> =
        keys.iter().zip(stored).filter_map(|(key, result)| Some((key.clone(), result.err()?))).collect();
    if failed.is_empty() {
        return Ok(py.None());
    }
    let applied = failed.len() < all || failed.iter().any(|(_, error)| error.maybe_applied());
    Err(partial(py, &failed, applied, None)?)
}

fn partial(
    py: Python<'_>,
    failed: &[(Bytes, Error)],
    maybe_applied: bool,
    values: Option<&Bound<'_, PyDict>>,
) -> PyResult<PyErr> {
    let errors = PyDict::new(py);
    for (key, error) in failed {
        errors.set_item(PyBytes::new(py, key), instance(py, error)?)?;
    }
    let fields = PyDict::new(py);
    fields.set_item("errors", errors)?;
    fields.set_item("maybe_applied", maybe_applied)?;
    fields.set_item("retryable", failed.iter().all(|(_, error)| error.retryable()))?;
    if let Some(values) = values {
        fields.set_item("values", values)?;
    }
    let first = failed.first().map_or_else(String::new, |(_, error)| error.to_string());
    let message = format!("{} items failed, the first with: {first}", failed.len());
    Ok(PyErr::from_value(make(py, "PARTIAL", &message, &fields)?))
}
