//! Keyword arguments into options. None is as good as not given; an unknown name is an InvalidArgument.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString};
use ringkeep::{Consistency, ReadOptions, ScanOptions, Ttl, WriteOptions};

use crate::buffers::bytes_of;
use crate::entry::Context;
use crate::errors::{invalid, raise};

/// The options of a read. The first poll never waits for the disk, because it runs with the interpreter's lock held.
pub(crate) fn read_options(given: Option<&Bound<'_, PyDict>>) -> PyResult<ReadOptions> {
    let mut options = ReadOptions { event_loop: true, ..ReadOptions::default() };
    for_each(given, |name, value| {
        match name {
            "consistency" => options.consistency = Some(consistency(value)?),
            "r" => options.r = Some(count(name, value)?),
            "timeout" => options.timeout = Some(duration(name, value)?),
            "sloppy" => options.sloppy = Some(flag(name, value)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(options)
}

/// The options of a write, with the first poll as for a read.
pub(crate) fn write_options(
    given: Option<&Bound<'_, PyDict>>,
    context: Option<&Bound<'_, PyAny>>,
) -> PyResult<WriteOptions> {
    let mut options = WriteOptions { event_loop: true, ..WriteOptions::default() };
    if let Some(context) = context {
        let Ok(context) = context.cast::<Context>() else {
            let kind = context.get_type().name()?;
            return Err(invalid(context.py(), format!("context is {kind}, not a Context")));
        };
        options.context = Some(context.get().0.clone());
    }
    for_each(given, |name, value| {
        match name {
            "consistency" => options.consistency = Some(consistency(value)?),
            "w" => options.w = Some(count(name, value)?),
            "timeout" => options.timeout = Some(duration(name, value)?),
            "sloppy" => options.sloppy = Some(flag(name, value)?),
            "ttl" => {
                let ttl = duration(name, value)?;
                options.ttl = Some(if ttl.is_zero() { Ttl::Never } else { Ttl::After(ttl) });
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(options)
}

/// The range of a scan, and how its pages are read.
pub(crate) fn scan_options(
    prefix: Option<&Bound<'_, PyAny>>,
    start: Option<&Bound<'_, PyAny>>,
    end: Option<&Bound<'_, PyAny>>,
    limit: Option<&Bound<'_, PyAny>>,
    given: Option<&Bound<'_, PyDict>>,
) -> PyResult<ScanOptions> {
    let bound = |name: &str, key: Option<&Bound<'_, PyAny>>| key.map_or(Ok(bytes::Bytes::new()), |k| bytes_of(k, name));
    let limit = match limit {
        None => None,
        Some(limit) => Some(limit.extract::<u64>().map_err(|_| {
            invalid(limit.py(), format!("limit={} is not a whole number of items", shown(limit)))
        })?),
    };
    Ok(ScanOptions {
        prefix: bound("prefix", prefix)?,
        start: bound("start", start)?,
        end: bound("end", end)?,
        limit,
        read: read_options(given)?,
    })
}

/// What holds for every call of a client: level and time limit.
pub(crate) fn defaults(given: Option<&Bound<'_, PyDict>>) -> PyResult<(Option<Consistency>, Option<Duration>)> {
    let (mut level, mut timeout) = (None, None);
    for_each(given, |name, value| {
        match name {
            "consistency" => level = Some(consistency(value)?),
            "timeout" => timeout = Some(duration(name, value)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok((level, timeout))
}

/// A time limit that may be left out.
pub(crate) fn timeout(given: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Duration>> {
    given.map(|value| duration("timeout", value)).transpose()
}

fn for_each(
    given: Option<&Bound<'_, PyDict>>,
    mut take: impl FnMut(&str, &Bound<'_, PyAny>) -> PyResult<bool>,
) -> PyResult<()> {
    for (name, value) in given.into_iter().flatten() {
        let name = name.cast::<PyString>()?.to_str()?;
        if !value.is_none() && !take(name, &value)? {
            return Err(invalid(value.py(), format!("unknown option {name:?}")));
        }
    }
    Ok(())
}

fn consistency(value: &Bound<'_, PyAny>) -> PyResult<Consistency> {
    match value.cast::<PyString>() {
        Ok(name) => name.to_str()?.parse().map_err(|error| raise(value.py(), &error)),
        Err(_) => Err(invalid(value.py(), format!("consistency={} is not the name of a level", shown(value)))),
    }
}

fn count(name: &str, value: &Bound<'_, PyAny>) -> PyResult<u32> {
    if !value.is_instance_of::<PyBool>()
        && let Ok(count) = value.extract()
    {
        return Ok(count);
    }
    Err(invalid(value.py(), format!("{name}={} is not a number of owners", shown(value))))
}

fn flag(name: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    value.extract().map_err(|_| invalid(value.py(), format!("{name}={} is not True or False", shown(value))))
}

/// Seconds or a timedelta.
fn duration(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Duration> {
    let fault = || invalid(value.py(), format!("{name}={} is not a number of seconds, zero or above", shown(value)));
    let seconds = match value.extract::<f64>() {
        Ok(_) if value.is_instance_of::<PyBool>() => return Err(fault()),
        Ok(seconds) => seconds,
        Err(_) => return value.extract().map_err(|_| fault()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| fault())
}

fn shown(value: &Bound<'_, PyAny>) -> String {
    value.repr().map_or_else(|_| "?".to_owned(), |text| text.to_string())
}
