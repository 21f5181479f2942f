//! Options as languages pass them, made into the core's with one set of names, rules and error texts.

use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use ringkeep::base::error::{Error, Result};
use ringkeep::base::settings::{Settings, TIMEOUT_MS_MAX};
use ringkeep::ring::Consistency;
use ringkeep::store::{Context, ReadOptions, Ttl, WriteOptions};

/// The longest time to live: some three thousand years, beyond which lies a mistake in the unit.
const TTL_MS_MAX: f64 = 1e14;

/// What a call says, unchecked. Times are milliseconds; what is none was not said.
#[derive(Clone, Debug, Default)]
pub struct CallOptions<'a> {
    /// A level's name, as in [`Consistency::as_str`].
    pub consistency: Option<&'a str>,
    /// Owners that must answer a read.
    pub r: Option<i64>,
    /// Owners that must have stored a write.
    pub w: Option<i64>,
    /// Whether fallbacks count for owners that are away.
    pub sloppy: Option<bool>,
    /// How long the call may take.
    pub timeout_ms: Option<f64>,
    /// How long the value lives; 0: for ever.
    pub ttl_ms: Option<f64>,
    /// What the writer has seen.
    pub context: Option<Context>,
    /// The caller is an event loop's thread: the first poll neither reads the disk nor waits for it.
    pub event_loop: bool,
}

impl CallOptions<'_> {
    /// The options of a read.
    ///
    /// # Errors
    /// `InvalidArgument` for a value out of range, and for what only a write takes.
    pub fn read(self) -> Result<ReadOptions> {
        for (name, given) in
            [("w", self.w.is_some()), ("ttl", self.ttl_ms.is_some()), ("context", self.context.is_some())]
        {
            if given {
                return Err(Error::invalid(format!("{name} is for writes, and this is a read")));
            }
        }
        Ok(ReadOptions {
            consistency: self.consistency.map(Consistency::from_str).transpose()?,
            r: self.r.map(|r| count("r", r)).transpose()?,
            timeout: self.timeout_ms.map(timeout).transpose()?,
            sloppy: self.sloppy,
            event_loop: self.event_loop,
        })
    }

    /// The options of a write.
    ///
    /// # Errors
    /// `InvalidArgument` for a value out of range, and for what only a read takes.
    pub fn write(self) -> Result<WriteOptions> {
        if self.r.is_some() {
            return Err(Error::invalid("r is for reads, and this is a write"));
        }
        Ok(WriteOptions {
            consistency: self.consistency.map(Consistency::from_str).transpose()?,
            w: self.w.map(|w| count("w", w)).transpose()?,
            timeout: self.timeout_ms.map(timeout).transpose()?,
            sloppy: self.sloppy,
            ttl: self.ttl_ms.map(ttl).transpose()?,
            context: self.context,
            event_loop: self.event_loop,
        })
    }
}

/// What `connect` says beside the addresses, unchecked. What is none was not said.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// A client's secret (not in this version).
    pub token: Option<String>,
    /// The client's location path, for the local levels.
    pub location: Option<String>,
    /// The level of calls that say nothing else.
    pub consistency: Option<String>,
    /// Whether calls that say nothing else are sloppy.
    pub sloppy: Option<bool>,
    /// The time limit of calls that say nothing else, in milliseconds.
    pub timeout_ms: Option<f64>,
}

/// The settings of a node from C's option string and the path beside it.
///
/// # Errors
/// `InvalidArgument` that lists every fault.
pub fn settings_from_pairs(path: Option<&str>, pairs: &str) -> Result<Settings> {
    with_path(path, Settings::from_pairs(pairs)?)
}

/// The settings of a node from a JSON object and the path beside it.
///
/// # Errors
/// `InvalidArgument` that lists every fault.
pub fn settings_from_json(path: Option<&str>, json: &str) -> Result<Settings> {
    with_path(path, Settings::from_json(json)?)
}

/// The settings of a node from a TOML file and the path beside it.
///
/// # Errors
/// `InvalidArgument` with the line of the first fault; `Io` when the file cannot be read.
pub fn settings_from_file(path: Option<&str>, file: &str) -> Result<Settings> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Error::io(format!("settings file {file:?} cannot be read"), error))?;
    with_path(path, Settings::from_toml(&text)?)
}

fn with_path(path: Option<&str>, mut settings: Settings) -> Result<Settings> {
    match (path, &settings.path) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid("path is given twice: as itself and among the options"));
        }
        (Some(""), None) => {
            return Err(Error::invalid("the path is empty: leave it out to keep data in memory"));
        }
        (Some(path), None) => settings.path = Some(path.into()),
        (None, _) => {}
    }
    Ok(settings)
}

/// A time limit in milliseconds.
///
/// # Errors
/// `InvalidArgument` for what is not above zero and at most a day.
pub fn timeout(ms: f64) -> Result<Duration> {
    #[expect(clippy::cast_precision_loss, reason = "a day of milliseconds is exact")]
    let most = TIMEOUT_MS_MAX as f64;
    if ms.is_nan() || ms <= 0.0 || ms > most {
        return Err(Error::invalid(format!("timeout={ms} ms is not above 0 and at most a day")));
    }
    duration("timeout", ms)
}

/// A time to live in milliseconds; 0 means never.
///
/// # Errors
/// `InvalidArgument` for a negative or absurd one.
pub fn ttl(ms: f64) -> Result<Ttl> {
    if ms.is_nan() || !(0.0..=TTL_MS_MAX).contains(&ms) {
        return Err(Error::invalid(format!("ttl={ms} ms is not 0 (never) or a time ahead")));
    }
    if ms == 0.0 { Ok(Ttl::Never) } else { Ok(Ttl::After(duration("ttl", ms)?)) }
}

/// The most items of a scan.
///
/// # Errors
/// `InvalidArgument` for a negative one.
pub fn limit(limit: i64) -> Result<u64> {
    u64::try_from(limit).map_err(|_| Error::invalid(format!("limit={limit} is negative")))
}

/// The context of a token's bytes; an empty one is none.
#[must_use]
pub fn context(token: Bytes) -> Option<Context> {
    (!token.is_empty()).then(|| Context::from_bytes(token))
}

fn count(name: &str, count: i64) -> Result<u32> {
    u32::try_from(count).map_err(|_| Error::invalid(format!("{name}={count} is not a number of owners")))
}

fn duration(name: &str, ms: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(ms / 1_000.0)
        .map_err(|_| Error::invalid(format!("{name}={ms} ms is no time")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_names_its_value() {
        let read = |options: CallOptions<'_>| options.read().unwrap_err().message().to_owned();
        assert!(read(CallOptions { r: Some(-1), ..CallOptions::default() }).contains("r=-1"));
        assert!(read(CallOptions { w: Some(1), ..CallOptions::default() }).contains("for writes"));
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e12] {
            assert!(
                read(CallOptions { timeout_ms: Some(bad), ..CallOptions::default() }).contains("timeout=")
            );
        }
        assert!(read(CallOptions { consistency: Some("most"), ..CallOptions::default() }).contains("most"));
        let write = CallOptions { ttl_ms: Some(-0.5), ..CallOptions::default() }.write();
        assert!(write.unwrap_err().message().contains("ttl=-0.5"));
        let never = CallOptions { ttl_ms: Some(0.0), ..CallOptions::default() }.write().unwrap();
        assert_eq!(never.ttl, Some(Ttl::Never));
    }

    #[test]
    fn a_path_is_given_once() {
        assert!(settings_from_pairs(Some("a"), "path=b").is_err());
        assert!(settings_from_pairs(Some(""), "").is_err());
        assert_eq!(settings_from_pairs(Some("a"), "n=1").unwrap().path, Some("a".into()));
    }
}
