//! Connection strings: `ringkeep://host:port,host:port?consistency=local_quorum&timeout=2s`.

use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::base::settings::{parse_address, parse_pairs};
use crate::store::Defaults;

const SCHEME: &str = "ringkeep://";
/// The port of an address that names none.
const PORT: u16 = 7_400;
/// Addresses in one string at the most: enough for every member of a large cluster's one data centre.
const ADDRESSES_MAX: usize = 256;

/// What a connection string says.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// Addresses of members; any one of them tells of the others.
    pub addresses: Vec<String>,
    /// What holds for calls that say nothing else.
    pub defaults: Defaults,
    /// The client's location: members of the same data centre are asked first.
    pub location: String,
}

impl ConnectOptions {
    /// Parses a connection string. Parameters: `consistency`, `sloppy` (`0`, `1`, `true` or `false`), `timeout` (`500ms`, `2s`, or seconds), `location`.
    ///
    /// # Errors
    /// `InvalidArgument` that shows the part that is wrong.
    pub fn parse(uri: &str) -> Result<Self> {
        let fault = |what: &str| Error::invalid(format!("connection string {uri:?} {what}"));
        let rest = uri.strip_prefix(SCHEME).ok_or_else(|| fault("does not begin with ringkeep://"))?;
        let (hosts, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let hosts = hosts.strip_suffix('/').unwrap_or(hosts);
        if hosts.contains('/') {
            return Err(fault("has a path; a bucket is opened by its name"));
        }
        if hosts.contains('@') {
            return Err(fault("has credentials: tokens are not in this version"));
        }
        let mut options = Self::default();
        for host in hosts.split(',') {
            if host.is_empty() {
                return Err(fault("has an empty address"));
            }
            options.addresses.push(with_port(host)?);
        }
        if options.addresses.len() > ADDRESSES_MAX {
            return Err(fault("has more than 256 addresses"));
        }
        for (name, value) in parse_pairs(parameters)? {
            match name.as_str() {
                "consistency" => options.defaults.consistency = Some(value.parse()?),
                "sloppy" => options.defaults.sloppy = Some(parse_flag(&name, &value)?),
                "timeout" => options.defaults.timeout = Some(parse_duration(&value)?),
                "location" => options.location = value,
                "token" | "tls" => return Err(Error::not_in_this_version(&name)),
                _ => return Err(fault(&format!("has the unknown parameter {name:?}"))),
            }
        }
        Ok(options)
    }
}

fn with_port(host: &str) -> Result<String> {
    let bare = host.ends_with(']') || !host.contains(':');
    let address = if bare { format!("{host}:{PORT}") } else { host.to_owned() };
    match parse_address(&address)? {
        (_, 0) => Err(Error::invalid(format!("address {address:?} has port 0; nobody answers there"))),
        _ => Ok(address),
    }
}

fn parse_flag(name: &str, text: &str) -> Result<bool> {
    match text {
        "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" => Ok(false),
        _ => Err(Error::invalid(format!("{name}={text:?} is not 0, 1, true or false"))),
    }
}

/// A duration as a text: `500ms`, `2s`, `1.5s`, `1m`, or plain seconds.
fn parse_duration(text: &str) -> Result<Duration> {
    let fault = || Error::invalid(format!("timeout {text:?} is no duration such as 500ms or 2s"));
    let (number, scale) = if let Some(number) = text.strip_suffix("ms") {
        (number, 0.001)
    } else if let Some(number) = text.strip_suffix('s') {
        (number, 1.0)
    } else if let Some(number) = text.strip_suffix('m') {
        (number, 60.0)
    } else {
        (text, 1.0)
    };
    let number: f64 = number.parse().map_err(|_| fault())?;
    let duration = Duration::try_from_secs_f64(number * scale).map_err(|_| fault())?;
    crate::store::check_timeout(duration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Consistency;

    #[test]
    fn a_string_names_addresses_and_defaults() {
        let options = ConnectOptions::parse(
            "ringkeep://a:1,[::1],b/?consistency=local_quorum&sloppy=1&timeout=1.5s&location=x/y",
        )
        .unwrap();
        assert_eq!(options.addresses, ["a:1", "[::1]:7400", "b:7400"]);
        assert_eq!(options.defaults.consistency, Some(Consistency::LocalQuorum));
        assert_eq!(options.defaults.timeout, Some(Duration::from_millis(1_500)));
        assert_eq!((options.defaults.sloppy, options.location.as_str()), (Some(true), "x/y"));
    }

    #[test]
    fn what_is_wrong_is_shown() {
        for (bad, part) in [
            ("", "ringkeep://"),
            ("redis://a:1", "ringkeep://"),
            ("ringkeep://", "empty address"),
            ("ringkeep://a:1,,b:1", "empty address"),
            ("ringkeep://a:99999", "port"),
            ("ringkeep://a:0", "port 0"),
            ("ringkeep://a:1/bucket", "path"),
            ("ringkeep://u:p@a:1", "credentials"),
            ("ringkeep://a:1?colour=red", "colour"),
            ("ringkeep://a:1?timeout=soon", "soon"),
            ("ringkeep://a:1?timeout=0", "above zero"),
            ("ringkeep://a:1?consistency=most", "most"),
            ("ringkeep://a:1?sloppy=maybe", "sloppy=\"maybe\""),
            ("ringkeep://a:1?token=x", "not in this version"),
        ] {
            let error = ConnectOptions::parse(bad).unwrap_err();
            assert!(error.message().contains(part), "{bad}: {error}");
        }
    }
}
