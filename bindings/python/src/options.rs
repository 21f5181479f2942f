//! Keyword arguments into the surface's options. None is as good as not given; an unknown name is an InvalidArgument.

use std::time::Duration;

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString};
use ringkeep_surface::{CallOptions, ConnectOptions, ReadOptions, ScanOptions, WriteOptions, options};

use crate::buffers::bytes_of;
use crate::entry::Context;
use crate::errors::{invalid, raise};

type Object<'py> = Bound<'py, PyAny>;
type Options<'a, 'py> = Option<&'a Bound<'py, PyDict>>;

/// The options of a read.
pub(crate) fn read_options(given: Options<'_, '_>) -> PyResult<ReadOptions> {
    let Some(given) = given else { return Ok(ReadOptions { event_loop: true, ..ReadOptions::default() }) };
    let level = level(given)?;
    call_options(given, level.as_deref(), None)?.read().map_err(|error| raise(given.py(), &error))
}

/// The options of a write.
pub(crate) fn write_options(given: Options<'_, '_>, context: Option<&Object<'_>>) -> PyResult<WriteOptions> {
    let context = match context {
        None => None,
        Some(context) => match context.cast::<Context>() {
            Ok(context) => Some(context.get().0.clone()),
            Err(_) => {
                return Err(invalid(context.py(), format!("context={} is not a Context", shown(context))));
            }
        },
    };
    let Some(given) = given else {
        return Ok(WriteOptions { event_loop: true, context, ..WriteOptions::default() });
    };
    let level = level(given)?;
    call_options(given, level.as_deref(), context)?.write().map_err(|error| raise(given.py(), &error))
}

/// The range of a scan, and how its pages are read: by a thread that may wait for the disk, or for an event loop.
pub(crate) fn scan_options(
    event_loop: bool,
    prefix: Option<&Object<'_>>,
    start: Option<&Object<'_>>,
    end: Option<&Object<'_>>,
    limit: Option<&Object<'_>>,
    given: Options<'_, '_>,
) -> PyResult<ScanOptions> {
    let bound =
        |name: &str, key: Option<&Object<'_>>| key.map_or(Ok(Bytes::new()), |key| bytes_of(key, name));
    let limit = match limit {
        None => None,
        Some(limit) => {
            Some(options::limit(whole("limit", limit)?).map_err(|error| raise(limit.py(), &error))?)
        }
    };
    Ok(ScanOptions {
        prefix: bound("prefix", prefix)?,
        start: bound("start", start)?,
        end: bound("end", end)?,
        limit,
        read: ReadOptions { event_loop, ..read_options(given)? },
    })
}

/// What `connect` takes besides the addresses.
pub(crate) fn connect_options(
    token: Option<String>,
    location: &str,
    given: Options<'_, '_>,
) -> PyResult<ConnectOptions> {
    let mut connect = ConnectOptions { token, ..ConnectOptions::default() };
    if !location.is_empty() {
        connect.location = Some(location.to_owned());
    }
    for (name, value) in given.into_iter().flatten() {
        match name.cast::<PyString>()?.to_str()? {
            _ if value.is_none() => {}
            "consistency" => connect.consistency = Some(text("consistency", &value)?),
            "sloppy" => connect.sloppy = Some(flag("sloppy", &value)?),
            "timeout" => connect.timeout_ms = Some(milliseconds("timeout", &value)?),
            unknown => return Err(unknown_option(value.py(), unknown)),
        }
    }
    Ok(connect)
}

/// A time limit that may be left out.
pub(crate) fn timeout(given: Option<&Object<'_>>) -> PyResult<Option<Duration>> {
    let Some(given) = given else { return Ok(None) };
    let ms = milliseconds("timeout", given)?;
    options::timeout(ms).map(Some).map_err(|error| raise(given.py(), &error))
}

/// The time limit of a close, which may be zero.
pub(crate) fn close_timeout(given: Option<&Object<'_>>) -> PyResult<Option<Duration>> {
    let Some(given) = given else { return Ok(None) };
    let seconds = milliseconds("timeout", given)? / 1_000.0;
    Duration::try_from_secs_f64(seconds)
        .map(Some)
        .map_err(|_| invalid(given.py(), format!("timeout={} is not a number of seconds", shown(given))))
}

fn level(given: &Bound<'_, PyDict>) -> PyResult<Option<String>> {
    match given.get_item(pyo3::intern!(given.py(), "consistency"))? {
        Some(value) if !value.is_none() => text("consistency", &value).map(Some),
        _ => Ok(None),
    }
}

/// The first poll never waits for the disk, because it runs with the interpreter's lock held.
fn call_options<'a>(
    given: &Bound<'_, PyDict>,
    consistency: Option<&'a str>,
    context: Option<ringkeep_surface::Context>,
) -> PyResult<CallOptions<'a>> {
    let mut call = CallOptions { consistency, context, event_loop: true, ..CallOptions::default() };
    for (name, value) in given {
        match name.cast::<PyString>()?.to_str()? {
            _ if value.is_none() => {}
            "consistency" => {}
            "r" => call.r = Some(whole("r", &value)?),
            "w" => call.w = Some(whole("w", &value)?),
            "sloppy" => call.sloppy = Some(flag("sloppy", &value)?),
            "timeout" => call.timeout_ms = Some(milliseconds("timeout", &value)?),
            "ttl" => call.ttl_ms = Some(milliseconds("ttl", &value)?),
            unknown => return Err(unknown_option(value.py(), unknown)),
        }
    }
    Ok(call)
}

fn unknown_option(py: Python<'_>, name: &str) -> PyErr {
    invalid(py, format!("unknown option {name:?}"))
}

fn text(name: &str, value: &Object<'_>) -> PyResult<String> {
    value.extract().map_err(|_| invalid(value.py(), format!("{name}={} is not a str", shown(value))))
}

fn whole(name: &str, value: &Object<'_>) -> PyResult<i64> {
    if !value.is_instance_of::<PyBool>()
        && let Ok(whole) = value.extract()
    {
        return Ok(whole);
    }
    Err(invalid(value.py(), format!("{name}={} is not a whole number in range", shown(value))))
}

fn flag(name: &str, value: &Object<'_>) -> PyResult<bool> {
    value.extract().map_err(|_| invalid(value.py(), format!("{name}={} is not True or False", shown(value))))
}

/// Seconds, or a timedelta, in milliseconds.
fn milliseconds(name: &str, value: &Object<'_>) -> PyResult<f64> {
    let py = value.py();
    let seconds = match value.extract::<f64>() {
        Ok(seconds) if !value.is_instance_of::<PyBool>() => Some(seconds),
        Ok(_) => None,
        Err(_) => {
            let total = value.call_method0(pyo3::intern!(py, "total_seconds"));
            total.and_then(|seconds| seconds.extract()).ok()
        }
    };
    match seconds {
        Some(seconds) => Ok(seconds * 1_000.0),
        None => {
            Err(invalid(py, format!("{name}={} is not a number of seconds or a timedelta", shown(value))))
        }
    }
}

fn shown(value: &Object<'_>) -> String {
    value.repr().map_or_else(|_| "?".to_owned(), |text| text.to_string())
}
