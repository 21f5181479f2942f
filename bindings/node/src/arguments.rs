//! Arguments as JavaScript passes them: keys and values as strings or bytes, options as JSON.
//! JavaScript has checked types and names (`node/lib/options.js`); what values mean is judged by the surface.

use bytes::Bytes;
use napi::bindgen_prelude::{BufferSlice, Either};
use ringkeep_surface::{
    CallOptions, ConnectOptions, Context, Error, ReadOptions, Result, ScanOptions, Settings, WriteOptions,
    options,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A key, value or bound.
pub(crate) type Octets<'a> = Either<String, BufferSlice<'a>>;

/// The bytes of a key or value; those of JavaScript are copied, because it may change them.
pub(crate) fn bytes(octets: Octets<'_>) -> Bytes {
    match octets {
        Either::A(text) => Bytes::from(text),
        Either::B(slice) => Bytes::copy_from_slice(&slice),
    }
}

/// A call's options.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    consistency: Option<String>,
    r: Option<i64>,
    w: Option<i64>,
    sloppy: Option<bool>,
    timeout_ms: Option<f64>,
    ttl_ms: Option<f64>,
    limit: Option<i64>,
}

impl Call {
    fn parse(json: Option<&str>) -> Result<Self> {
        json.map_or(Ok(Self::default()), parse)
    }

    fn options(&self) -> CallOptions<'_> {
        CallOptions {
            consistency: self.consistency.as_deref(),
            r: self.r,
            w: self.w,
            sloppy: self.sloppy,
            timeout_ms: self.timeout_ms,
            ttl_ms: self.ttl_ms,
            context: None,
            // Every caller is an event loop: its thread neither reads the disk nor waits for it.
            event_loop: true,
        }
    }
}

/// The options of a read.
pub(crate) fn read(json: Option<&str>) -> Result<ReadOptions> {
    Call::parse(json)?.options().read()
}

/// The options of a write, and the context beside them.
pub(crate) fn write(json: Option<&str>, context: Option<&BufferSlice<'_>>) -> Result<WriteOptions> {
    let call = Call::parse(json)?;
    let context = context.map(|token| Context::from_bytes(Bytes::copy_from_slice(token)));
    CallOptions { context, ..call.options() }.write()
}

/// The bounds of a scan, count or clear.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    pub(crate) prefix: Bytes,
    pub(crate) start: Bytes,
    pub(crate) end: Bytes,
}

impl Bounds {
    pub(crate) fn new(
        prefix: Option<Octets<'_>>,
        start: Option<Octets<'_>>,
        end: Option<Octets<'_>>,
    ) -> Self {
        let bound = |octets: Option<_>| octets.map(bytes).unwrap_or_default();
        Self { prefix: bound(prefix), start: bound(start), end: bound(end) }
    }

    /// The options of a scan.
    pub(crate) fn scan(self, json: Option<&str>) -> Result<ScanOptions> {
        let call = Call::parse(json)?;
        let limit = call.limit.map(options::limit).transpose()?;
        Ok(ScanOptions {
            prefix: self.prefix,
            start: self.start,
            end: self.end,
            limit,
            read: call.options().read()?,
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Connect {
    consistency: Option<String>,
    sloppy: Option<bool>,
    timeout_ms: Option<f64>,
    location: Option<String>,
    token: Option<String>,
    tls: Option<Value>,
}

/// The options of `connect`.
pub(crate) fn connect(json: Option<&str>) -> Result<ConnectOptions> {
    let said: Connect = json.map_or(Ok(Connect::default()), parse)?;
    if said.tls.is_some() {
        return Err(Error::not_in_this_version("tls"));
    }
    if said.token.is_some() {
        return Err(Error::not_in_this_version("token"));
    }
    Ok(ConnectOptions {
        consistency: said.consistency,
        sloppy: said.sloppy,
        timeout_ms: said.timeout_ms,
        location: said.location,
        token: None,
    })
}

/// The settings of a node: `json` over those of a settings file's text.
pub(crate) fn settings(path: Option<&str>, json: &str, toml: Option<&str>) -> Result<Settings> {
    let mut said: Value = parse(json)?;
    if let Value::Object(fields) = &mut said
        && fields.remove("tls").is_some()
    {
        return Err(Error::not_in_this_version("tls"));
    }
    let Some(toml) = toml else { return options::settings_from_json(path, &said.to_string()) };
    let file = Settings::from_toml(toml)?;
    // Judged on its own first, so that a fault names its field and not the file's.
    Settings::from_json(&said.to_string())?;
    let mut both = serde_json::to_value(&file).map_err(|error| Error::invalid(error.to_string()))?;
    if let (Value::Object(both), Value::Object(said)) = (&mut both, said) {
        both.extend(said);
    }
    options::settings_from_json(path, &both.to_string())
}

/// A time limit in milliseconds.
pub(crate) fn timeout(ms: Option<f64>) -> Result<Option<std::time::Duration>> {
    ms.map(options::timeout).transpose()
}

fn parse<T: DeserializeOwned>(json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| Error::invalid(format!("options: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_says_that_its_thread_is_an_event_loop() {
        assert!(read(None).unwrap().event_loop);
        assert!(write(None, None).unwrap().event_loop);
        assert!(Bounds::default().scan(None).unwrap().read.event_loop);
    }

    #[test]
    fn options_lie_over_the_settings_file() {
        let toml = "n = 2\nlocation = \"a/b/c\"\n";
        let settings = settings(Some("data"), r#"{"n": 1}"#, Some(toml)).unwrap();
        assert_eq!((settings.n, settings.location.as_str()), (1, "a/b/c"));
        assert_eq!(settings.path, Some("data".into()));
    }

    #[test]
    fn what_this_version_has_not_is_said() {
        for error in [
            settings(None, r#"{"tls": {}}"#, None).unwrap_err(),
            connect(Some(r#"{"token": "t"}"#)).unwrap_err(),
            connect(Some(r#"{"tls": {}}"#)).unwrap_err(),
        ] {
            assert!(error.message().contains("not in this version"), "{error}");
        }
    }

    #[test]
    fn an_unknown_setting_is_named() {
        let error = settings(None, r#"{"colour": 1}"#, Some("n = 1")).unwrap_err();
        assert!(error.message().contains("colour"), "{error}");
    }
}
