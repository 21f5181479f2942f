//! Every setting and limit of a node, with its reason. Plain data: parsed from pairs, a TOML text or a JSON object,
//! validated once at start, all faults reported together.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{Error, Result};

/// When a write is acknowledged. It is always in the operating system before that.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// After fdatasync, shared by all waiting writers (group commit).
    Sync,
    /// At once; fdatasync follows every `sync_interval_ms`.
    #[default]
    Interval,
}

/// The settings of a node. Names are the same in a settings file, in C's option string and in every language.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The data directory; none keeps everything in memory.
    pub path: Option<PathBuf>,
    /// The address to listen on, `host:port`; port 0 takes a free one. None: no port, a cluster of one.
    pub listen: Option<String>,
    /// The address that others reach this node at, where it differs from `listen`.
    pub advertise: Option<String>,
    /// Addresses of members to join by; or, all nodes with one identical list that names themselves, to found by.
    pub seeds: Vec<String>,
    /// Found a new cluster on an empty directory.
    pub create: bool,
    /// `cloud/region/zone`; the next-to-last part names the data centre, the whole path the zone.
    pub location: String,
    /// Share of partitions relative to other members; above 0.
    pub capacity: f64,
    /// When a write is acknowledged.
    pub durability: Durability,
    /// Q, the number of partitions: a power of two from 1 to 16,384, fixed when the cluster is created.
    pub partitions: u32,
    /// Address of the admin page (not in this version).
    pub admin: Option<String>,
    /// Allows listening off loopback without TLS.
    pub insecure: bool,
    /// Replicas of the default bucket, 1 to 7. Three survive the loss of one with majorities to spare.
    pub n: u32,
    /// How long an operation may take unless the call says otherwise. Long enough for a failover, short enough for a person.
    pub timeout_ms: u64,
    /// How long `close` waits for operations under way.
    pub close_timeout_ms: u64,
    /// The longest wait for an answer of a peer, within the operation's deadline. A few slow disk reads.
    pub peer_timeout_ms: u64,
    /// How long dialing a peer may take. Loopback and data-centre links answer far sooner.
    pub connect_timeout_ms: u64,
    /// How often fdatasync follows with `durability = "interval"`.
    pub sync_interval_ms: u64,
    /// How often a node gossips with a few others. Twice a second tells of a silent member within a person's patience.
    pub gossip_interval_ms: u64,
    /// How far a handle's or peer's clock may be ahead before it is refused.
    pub clock_skew_max_ms: u64,
    /// How far ahead of use the clock's lease is persisted.
    pub clock_lease_ms: u64,
    /// How old a record on its way may be: one captured longer ago by the receiver's clock is refused. Above every
    /// deadline of a peer and the usual error of clocks; what is settled waits this long before it is removed.
    pub record_life_ms: u64,
    /// Most keys that this node owes to owners that missed them; past it whole partitions are owed. Minutes of writes:
    /// beyond that, comparing copies costs less than keeping keys.
    pub hints_max: u64,
    /// Most bytes of owed keys, which are kept in memory as well as on disk.
    pub hint_bytes_max: u64,
    /// Owed records on their way to one owner: enough to fill a round trip, too few to queue before its other work.
    pub handoff_window: u32,
    /// Bytes a second at which a node hands over what it owes, each record counted as 1 KiB at the least, which is what
    /// its handling costs beside its bytes. A fraction of what a core does, so that other requests keep their pace.
    pub handoff_bytes_per_second_max: u64,
    /// Most bytes of a key; 1 to 4,096.
    pub key_bytes_max: u32,
    /// Most bytes of a value; up to 8 MiB.
    pub value_bytes_max: u32,
    /// Most bytes of a record with all its siblings; up to 16 MiB less a frame's overhead.
    pub record_bytes_max: u32,
    /// Most live siblings of a key.
    pub siblings_max: u32,
    /// Entries above which a coordinated write truncates the oldest of a clock (forced truncation).
    pub clock_entries_max: u32,
    /// Most bytes that this node holds in the place of owners that are away; above it new sloppy writes are refused here.
    /// Hours of writes of a node that is away, on a disk that is sized for what the node owns.
    pub fallback_bytes_max: u64,
    /// Most bytes of a frame, checked before anything is allocated for it.
    pub frame_bytes_max: u32,
    /// Most bytes under way to one peer before requests are refused as `Overloaded`.
    pub peer_bytes_in_flight_max: u64,
    /// Most requests that one connection may have under way.
    pub requests_in_flight_max: u32,
    /// Most requests that a node coordinates for others at once; more are refused as `Overloaded`. Enough to keep every
    /// core busy many times over, few enough that what waits among them is answered in time.
    pub coordinating_max: u32,
    /// Most bytes of keys and values of such requests.
    pub coordinating_bytes_max: u64,
    /// Most connections that a node accepts.
    pub connections_max: u32,
    /// Bytes of the memory table (and of the log behind it) at which it is sealed and flushed.
    pub memory_table_bytes: u64,
    /// Bytes of the block cache that all tables share.
    pub block_cache_bytes: u64,
    /// Threads of the runtime; 0 takes one for each core, at most four.
    pub threads: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: None,
            listen: None,
            advertise: None,
            seeds: Vec::new(),
            create: false,
            location: String::new(),
            capacity: 1.0,
            durability: Durability::default(),
            partitions: 256,
            admin: None,
            insecure: false,
            n: 3,
            timeout_ms: 5_000,
            close_timeout_ms: 5_000,
            peer_timeout_ms: 2_000,
            connect_timeout_ms: 1_000,
            sync_interval_ms: 1_000,
            gossip_interval_ms: 500,
            clock_skew_max_ms: 60_000,
            clock_lease_ms: 10_000,
            record_life_ms: 30_000,
            hints_max: 500_000,
            hint_bytes_max: 64 << 20,
            handoff_window: 16,
            handoff_bytes_per_second_max: 2 << 20,
            key_bytes_max: 4_096,
            value_bytes_max: 8 << 20,
            record_bytes_max: (16 << 20) - (64 << 10),
            siblings_max: 100,
            clock_entries_max: 128,
            fallback_bytes_max: 1 << 30,
            frame_bytes_max: 16 << 20,
            peer_bytes_in_flight_max: 64 << 20,
            requests_in_flight_max: 65_536,
            coordinating_max: 4_096,
            coordinating_bytes_max: 256 << 20,
            connections_max: 4_096,
            memory_table_bytes: 32 << 20,
            block_cache_bytes: 64 << 20,
            threads: 0,
        }
    }
}

/// The longest timeout that is taken: a day. Beyond it lies a mistake in the unit.
pub const TIMEOUT_MS_MAX: u64 = 86_400_000;

impl Settings {
    /// Settings from percent-encoded `key=value` pairs joined by `&`, the form of C's option string.
    ///
    /// # Errors
    /// `InvalidArgument` that lists every unknown name and every value of the wrong form.
    pub fn from_pairs(text: &str) -> Result<Self> {
        let pairs = parse_pairs(text)?;
        let mut known = serde_json::to_value(Self::default()).map_err(|e| Error::invalid(e.to_string()))?;
        let mut faults = Vec::new();
        if let Value::Object(fields) = &mut known {
            for (name, text) in pairs {
                match fields.get_mut(&name) {
                    None => faults.push(unknown_name(&name)),
                    Some(field) => match coerce(field, &text) {
                        Ok(value) => *field = value,
                        Err(expected) => faults.push(format!("{name}={text:?} is not {expected}")),
                    },
                }
            }
        }
        if !faults.is_empty() {
            return Err(Error::invalid(faults.join("; ")));
        }
        serde_json::from_value(known).map_err(|e| Error::invalid(e.to_string()))
    }

    /// Settings from the text of a TOML file.
    ///
    /// # Errors
    /// `InvalidArgument` with the line of the first fault.
    pub fn from_toml(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|e| Error::invalid(format!("settings: {}", e.to_string().trim_end())))
    }

    /// Settings from a JSON object, the form in which bindings pass them.
    ///
    /// # Errors
    /// `InvalidArgument` that names the first unknown name or wrong type.
    pub fn from_json(text: &str) -> Result<Self> {
        let value: Value =
            serde_json::from_str(text).map_err(|e| Error::invalid(format!("settings: {e}")))?;
        if let Value::Object(fields) = &value {
            let known = serde_json::to_value(Self::default()).map_err(|e| Error::invalid(e.to_string()))?;
            let faults: Vec<_> = fields
                .keys()
                .filter(|name| known.get(name.as_str()).is_none())
                .map(|n| unknown_name(n))
                .collect();
            if !faults.is_empty() {
                return Err(Error::invalid(faults.join("; ")));
            }
        }
        serde_json::from_value(value).map_err(|e| Error::invalid(format!("settings: {e}")))
    }

    /// Checks every value and every combination.
    ///
    /// # Errors
    /// `InvalidArgument` that lists all faults.
    pub fn validate(&self) -> Result<()> {
        let mut faults = Vec::new();
        self.check_ranges(&mut faults);
        self.check_network(&mut faults);
        if faults.is_empty() { Ok(()) } else { Err(Error::invalid(faults.join("; "))) }
    }

    fn check_ranges(&self, faults: &mut Vec<String>) {
        let mut range = |name: &str, value: u64, least: u64, most: u64| {
            if value < least || value > most {
                faults.push(format!("{name}={value} is not between {least} and {most}"));
            }
        };
        range("n", self.n.into(), 1, 7);
        range("partitions", self.partitions.into(), 1, 16_384);
        range("timeout_ms", self.timeout_ms, 1, TIMEOUT_MS_MAX);
        range("close_timeout_ms", self.close_timeout_ms, 0, TIMEOUT_MS_MAX);
        range("peer_timeout_ms", self.peer_timeout_ms, 1, TIMEOUT_MS_MAX);
        range("connect_timeout_ms", self.connect_timeout_ms, 1, TIMEOUT_MS_MAX);
        range("sync_interval_ms", self.sync_interval_ms, 1, 3_600_000);
        range("gossip_interval_ms", self.gossip_interval_ms, 10, 60_000);
        range("clock_skew_max_ms", self.clock_skew_max_ms, 1, TIMEOUT_MS_MAX);
        range("clock_lease_ms", self.clock_lease_ms, 1_000, TIMEOUT_MS_MAX);
        range("record_life_ms", self.record_life_ms, 1_000, TIMEOUT_MS_MAX);
        range("hints_max", self.hints_max, 0, 1 << 32);
        range("hint_bytes_max", self.hint_bytes_max, 0, 1 << 40);
        range("handoff_window", self.handoff_window.into(), 1, 4_096);
        range("handoff_bytes_per_second_max", self.handoff_bytes_per_second_max, 1 << 10, 1 << 40);
        range("key_bytes_max", self.key_bytes_max.into(), 1, 4_096);
        range("value_bytes_max", self.value_bytes_max.into(), 1, 8 << 20);
        range("record_bytes_max", self.record_bytes_max.into(), 1_024, (16 << 20) - (64 << 10));
        range("siblings_max", self.siblings_max.into(), 1, 10_000);
        range("clock_entries_max", self.clock_entries_max.into(), 16, 4_096);
        range("fallback_bytes_max", self.fallback_bytes_max, 0, 1 << 50);
        range("frame_bytes_max", self.frame_bytes_max.into(), 1 << 20, 16 << 20);
        range("peer_bytes_in_flight_max", self.peer_bytes_in_flight_max, 1 << 20, 1 << 40);
        range("requests_in_flight_max", self.requests_in_flight_max.into(), 1, 1 << 20);
        range("coordinating_max", self.coordinating_max.into(), 1, 1 << 20);
        range("coordinating_bytes_max", self.coordinating_bytes_max, 1 << 20, 1 << 40);
        range("connections_max", self.connections_max.into(), 1, 1 << 20);
        range("memory_table_bytes", self.memory_table_bytes, 64 << 10, 4 << 30);
        range("block_cache_bytes", self.block_cache_bytes, 0, 1 << 40);
        range("threads", self.threads.into(), 0, 1_024);
        if !self.partitions.is_power_of_two() {
            faults.push(format!("partitions={} is not a power of two", self.partitions));
        }
        if !(self.capacity > 0.0 && self.capacity <= 1_000.0) {
            faults.push(format!("capacity={} is not above 0 and at most 1000", self.capacity));
        }
    }

    fn check_network(&self, faults: &mut Vec<String>) {
        for (name, address) in
            [("listen", &self.listen), ("advertise", &self.advertise), ("admin", &self.admin)]
        {
            if let Some(address) = address
                && let Err(error) = parse_address(address)
            {
                faults.push(format!("{name}: {}", error.message()));
            }
        }
        for seed in &self.seeds {
            if let Err(error) = parse_address(seed) {
                faults.push(format!("seeds: {}", error.message()));
            }
        }
        if self.location.len() > 256 || self.location.split('/').count() > 8 {
            faults.push("location is longer than 256 bytes or 8 parts".to_owned());
        }
        if self.listen.is_none() && !self.seeds.is_empty() {
            faults.push("seeds need listen: a member must be reachable".to_owned());
        }
        if self.create && !self.seeds.is_empty() {
            faults.push("create founds a new cluster and seeds join one: give one of them".to_owned());
        }
        if self.admin.is_some() {
            faults.push("admin: not in this version".to_owned());
        }
        if let Some((host, _)) = self.listen.as_deref().and_then(|address| parse_address(address).ok())
            && !self.insecure
            && !is_loopback(&host)
        {
            faults.push(format!("listen on {host} leaves loopback without TLS; set insecure to allow it"));
        }
    }

    /// The default time limit of an operation.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

fn unknown_name(name: &str) -> String {
    format!("unknown option {name:?}")
}

/// Splits percent-encoded `key=value` pairs joined by `&`.
///
/// # Errors
/// `InvalidArgument` for a pair without `=`, a repeated name, or bytes that are not UTF-8.
pub fn parse_pairs(text: &str) -> Result<Vec<(String, String)>> {
    let decode = |part: &str| {
        percent_encoding::percent_decode_str(part)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| Error::invalid(format!("option {part:?} is not UTF-8")))
    };
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) =
            pair.split_once('=').ok_or_else(|| Error::invalid(format!("option {pair:?} has no '='")))?;
        let name = decode(name)?;
        if pairs.iter().any(|(known, _)| *known == name) {
            return Err(Error::invalid(format!("option {name:?} is given twice")));
        }
        pairs.push((name, decode(value)?));
    }
    Ok(pairs)
}

/// Parses a text as the type that a field has by default; an absent field is a text.
fn coerce(field: &Value, text: &str) -> Result<Value, &'static str> {
    match field {
        Value::Bool(_) => match text {
            "1" | "true" | "yes" => Ok(Value::Bool(true)),
            "0" | "false" | "no" => Ok(Value::Bool(false)),
            _ => Err("0, 1, true or false"),
        },
        Value::Number(number) if number.is_u64() => {
            text.parse::<u64>().map(Value::from).map_err(|_| "a whole number")
        }
        Value::Number(_) => text.parse::<f64>().map(Value::from).map_err(|_| "a number"),
        Value::Array(_) => {
            Ok(text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(Value::from).collect())
        }
        _ => Ok(Value::from(text)),
    }
}

/// Splits `host:port`; an IPv6 host stands in brackets.
///
/// # Errors
/// `InvalidArgument` that shows the address and what it lacks.
pub fn parse_address(address: &str) -> Result<(String, u16)> {
    let fault = |what: &str| Error::invalid(format!("address {address:?} {what}; expected host:port"));
    let (host, port) = address.rsplit_once(':').ok_or_else(|| fault("has no port"))?;
    let port = port.parse().map_err(|_| fault("has no port between 0 and 65535"))?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or_else(|| fault("has an unclosed bracket"))?,
        None if host.contains(':') => return Err(fault("needs brackets around IPv6")),
        None => host,
    };
    if host.is_empty() || host.len() > 253 || host.chars().any(|c| c.is_whitespace() || c == '/' || c == '@')
    {
        return Err(fault("has no valid host"));
    }
    Ok((host.to_owned(), port))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_take_the_type_of_their_field() {
        let settings = Settings::from_pairs(
            "create=1&listen=127.0.0.1%3A7400&seeds=a:1,b:2&capacity=2.5&durability=sync&n=2",
        )
        .unwrap();
        assert!(settings.create);
        assert_eq!(settings.listen.as_deref(), Some("127.0.0.1:7400"));
        assert_eq!(settings.seeds, ["a:1", "b:2"]);
        assert_eq!((settings.capacity, settings.n), (2.5, 2));
        assert_eq!(settings.durability, Durability::Sync);
    }

    #[test]
    fn every_fault_is_reported() {
        let error = Settings::from_pairs("n=x&colour=red&create=maybe").unwrap_err();
        for part in ["n=\"x\"", "\"colour\"", "create=\"maybe\""] {
            assert!(error.message().contains(part), "{error}");
        }
        let settings = Settings { n: 9, partitions: 100, capacity: f64::NAN, ..Settings::default() };
        let error = settings.validate().unwrap_err();
        for part in ["n=9", "partitions=100", "capacity=NaN"] {
            assert!(error.message().contains(part), "{error}");
        }
    }

    #[test]
    fn addresses_are_names_or_bracketed_ipv6() {
        assert_eq!(parse_address("[::1]:7400").unwrap(), ("::1".to_owned(), 7400));
        assert_eq!(parse_address("db-1.local:0").unwrap(), ("db-1.local".to_owned(), 0));
        for bad in ["", "host", ":1", "::1:7400", "[::1:7400", "host:70000", "a b:1"] {
            assert!(parse_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn leaving_loopback_needs_insecure() {
        let open = |insecure| Settings { listen: Some("0.0.0.0:0".into()), insecure, ..Settings::default() };
        assert!(open(false).validate().is_err());
        assert!(open(true).validate().is_ok());
    }

    #[test]
    fn the_defaults_are_valid_and_survive_json_and_toml() {
        let settings = Settings::default();
        settings.validate().unwrap();
        assert_eq!(Settings::from_json(&serde_json::to_string(&settings).unwrap()).unwrap(), settings);
        assert_eq!(Settings::from_toml("").unwrap(), settings);
    }
}
