//! Administration: commands by name, JSON in and out, the same for every language.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringkeep::base::error::{Error, ErrorKind, Result};
use ringkeep::base::ids::BucketId;
use ringkeep::ring::{BucketSpec, Consistency, Level, Replicas, Resolver};
use ringkeep::store::Store;
use serde::{Deserialize, Serialize};

use crate::op::{Kind, Op};
use crate::scope::Scope;

/// Commands that the API names and this version does not have.
const LATER: [&str; 8] =
    ["alter_bucket", "drop_bucket", "leave", "remove", "repair", "backup", "explain", "events"];

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
        later if LATER.contains(&later) => Op::ready(Err(Error::not_in_this_version(later))),
        other => Op::ready(Err(Error::invalid(format!("unknown command {other:?}")))),
    }
}

fn text(answer: &impl Serialize) -> Result<String> {
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
        if json.len() > JSON_BYTES_MAX {
            return Err(Error::invalid(format!("the arguments have more than {JSON_BYTES_MAX} bytes")));
        }
        let said: Self = serde_json::from_str(json).map_err(|error| Error::invalid(error.to_string()))?;
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
