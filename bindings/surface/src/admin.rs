//! Administration: commands by name, JSON in and out, the same for every language.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringkeep::base::error::{Error, ErrorKind, Result};
use ringkeep::base::ids::BucketId;
use ringkeep::ring::bucket::BUCKET_DEFAULT;
use ringkeep::ring::{BucketSpec, Consistency, Level, Replicas, Resolver};
use ringkeep::store::{EventsRequest, Store};
use serde::{Deserialize, Serialize};

use crate::op::{Kind, Op};
use crate::scope::Scope;

/// Commands that the API names and this version does not have.
const LATER: [&str; 6] = ["alter_bucket", "drop_bucket", "leave", "remove", "repair", "backup"];

/// Events of a page unless more or fewer are asked for.
const EVENTS_DEFAULT: u32 = 64;
/// The longest wait for an event: what a member waits in one request.
const EVENTS_WAIT_MS_MAX: f64 = 10_000.0;

/// The longest text that a command takes.
const JSON_BYTES_MAX: usize = 1 << 20;

pub(crate) fn run(scope: &Arc<Scope>, store: Store, command: &str, json: &str) -> Op<String> {
    match command {
        "status" => Op::new(scope, Kind::Read, async move { text(&store.status().await?) }),
        "ring" => Op::ready(nothing_said(json).and_then(|()| text(&store.ring()?))),
        "buckets" => Op::ready(nothing_said(json).and_then(|()| text(&store.buckets()?))),
        "metrics" => Op::ready(nothing_said(json).and_then(|()| text(&store.metrics()))),
        "create_bucket" => match NewBucket::parse(json) {
            Ok(spec) => Op::new(scope, Kind::Write, async move {
                store.create_bucket(spec).await?;
                Ok("{}".to_owned())
            }),
            Err(error) => Op::ready(Err(error.during("create_bucket"))),
        },
        "explain" => match Key::parse(json) {
            Ok((bucket, key)) => {
                let explain = store.bucket(&bucket).explain(key);
                Op::new(scope, Kind::Read, async move { text(&explain.await?) })
            }
            Err(error) => Op::ready(Err(error.during("explain"))),
        },
        "events" => match Place::parse(json) {
            Ok(request) => {
                Op::new(scope, Kind::Read, async move { text(&store.events_page(request).await?) })
            }
            Err(error) => Op::ready(Err(error.during("events"))),
        },
        later if LATER.contains(&later) => Op::ready(Err(Error::not_in_this_version(later))),
        other => Op::ready(Err(Error::invalid(format!("unknown command {other:?}")))),
    }
}

pub(crate) fn text(answer: &impl Serialize) -> Result<String> {
    serde_json::to_string(answer).map_err(|error| {
        Error::new(ErrorKind::Internal, "the answer could not be written").with_source(error)
    })
}

fn nothing_said(json: &str) -> Result<()> {
    let said = json.trim();
    if said.is_empty() || said == "{}" || said == "null" {
        return Ok(());
    }
    Err(Error::invalid("this command takes no arguments"))
}

fn said<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T> {
    if json.len() > JSON_BYTES_MAX {
        return Err(Error::invalid(format!("the arguments have more than {JSON_BYTES_MAX} bytes")));
    }
    let json = if json.trim().is_empty() { "{}" } else { json };
    serde_json::from_str(json).map_err(|error| Error::invalid(error.to_string()))
}

/// The arguments of `explain`: the key as text, or in hexadecimal.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    bucket: Option<String>,
    key: Option<String>,
    key_hex: Option<String>,
}

impl Key {
    fn parse(json: &str) -> Result<(String, Vec<u8>)> {
        let said: Self = said(json)?;
        let key = match (said.key, said.key_hex) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(hex)) => bytes_of_hex(&hex)
                .ok_or_else(|| Error::invalid("key_hex is not an even number of hexadecimal digits"))?,
            _ => return Err(Error::invalid("give the key either as key, a text, or as key_hex")),
        };
        Ok((said.bucket.unwrap_or_else(|| BUCKET_DEFAULT.to_owned()), key))
    }
}

fn bytes_of_hex(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        hex.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).filter_map(|pair| Some(pair.first()? << 4 | pair.last()?)).collect())
}

/// The arguments of `events`: where the reader is, from the page before, and how much of what follows it takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    after: Option<u64>,
    max: Option<u32>,
    timeout_ms: Option<f64>,
    source: Option<String>,
    since_ms: Option<u64>,
}

impl Place {
    fn parse(json: &str) -> Result<EventsRequest> {
        let said: Self = said(json)?;
        let wait_ms = match said.timeout_ms {
            None => 0,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked by the guard"
            )]
            Some(wait) if (0.0..=EVENTS_WAIT_MS_MAX).contains(&wait) => wait as u32,
            Some(wait) => {
                let text = format!("timeout_ms={wait} is not between 0 and {EVENTS_WAIT_MS_MAX}");
                return Err(Error::invalid(text));
            }
        };
        if said.max == Some(0) {
            return Err(Error::invalid("max=0 asks for no events"));
        }
        Ok(EventsRequest {
            after: said.after,
            max: said.max.unwrap_or(EVENTS_DEFAULT),
            wait_ms,
            source: said.source.unwrap_or_default(),
            since_ms: said.since_ms.unwrap_or_default(),
        })
    }
}

/// The arguments of `create_bucket`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewBucket {
    name: String,
    n: Option<CountOrMap>,
    r: Option<CountOrName>,
    w: Option<CountOrName>,
    sloppy: Option<bool>,
    resolver: Option<String>,
    ttl_ms: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "n is neither a number nor a map from data centre to number")]
enum CountOrMap {
    Count(i64),
    Map(BTreeMap<String, i64>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "r and w are a number or the name of a level")]
enum CountOrName {
    Count(i64),
    Name(String),
}

impl CountOrName {
    fn level(self, name: &str) -> Result<Level> {
        match self {
            Self::Count(count) => Ok(Level::Count(small(name, count)?)),
            Self::Name(level) => Ok(Level::Consistency(level.parse::<Consistency>()?)),
        }
    }
}

fn small(name: &str, count: i64) -> Result<u8> {
    u8::try_from(count).map_err(|_| Error::invalid(format!("{name}={count} is not a number of owners")))
}

impl NewBucket {
    fn parse(json: &str) -> Result<BucketSpec> {
        let said: Self = said(json)?;
        said.spec()
    }

    fn spec(self) -> Result<BucketSpec> {
        let n = match self.n {
            None => Replicas::Count(3),
            Some(CountOrMap::Count(count)) => Replicas::Count(small("n", count)?),
            Some(CountOrMap::Map(map)) => Replicas::PerDc(
                map.into_iter().map(|(dc, count)| Ok((dc, small("n", count)?))).collect::<Result<_>>()?,
            ),
        };
        let ttl_ms = match self.ttl_ms.map(crate::options::ttl).transpose()? {
            Some(ringkeep::store::Ttl::After(after)) => {
                Some(u64::try_from(after.as_millis()).unwrap_or(u64::MAX).max(1))
            }
            Some(ringkeep::store::Ttl::Never) | None => None,
        };
        let quorum = Level::Consistency(Consistency::Quorum);
        let spec = BucketSpec {
            id: BucketId(0),
            name: self.name,
            n,
            r: self.r.map_or(Ok(quorum), |level| level.level("r"))?,
            w: self.w.map_or(Ok(quorum), |level| level.level("w"))?,
            sloppy: self.sloppy.unwrap_or(false),
            resolver: self.resolver.map_or(Ok(Resolver::Lww), |name| name.parse())?,
            ttl_ms,
        };
        spec.validate()?;
        Ok(spec)
    }
}
