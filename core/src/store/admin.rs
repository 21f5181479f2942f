//! What administration shows: members, health, buckets.

use serde::Serialize;
use serde_json::Value;

use crate::ring::{BucketSpec, Level, Replicas};

/// One member as its own cluster sees it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct MemberInfo {
    /// The stable id.
    pub id: String,
    /// The number, never used again.
    pub number: u32,
    /// Where it was last heard, or an empty text.
    pub address: String,
    /// Its location path.
    pub location: String,
    /// `joining`, `up`, `suspect`, `down` or `leaving`.
    pub state: String,
    /// The share of the default bucket's replicas that it owns, 0 to 1.
    pub owns: f64,
    /// What this node owes it: keys, whole partitions and fallback copies.
    pub hints_pending: u64,
    /// The version that it runs.
    pub version: String,
}

/// The state of the cluster as this store sees it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Status {
    /// `healthy`: every member is up; `degraded`: one is not, but every partition has its quorums; else `unavailable`.
    pub health: String,
    /// Whether every partition has the owners that the r and w of every bucket ask for.
    pub available: bool,
    /// The number of the topology record.
    pub epoch: u64,
    /// Q.
    pub partitions: u32,
    /// Partitions whose quorums can be reached, in every bucket.
    pub partitions_available: u32,
    /// Partitions that are changing owners.
    pub partitions_moving: u32,
    /// The members by number.
    pub members: Vec<MemberInfo>,
    /// What an operator should know, in sentences.
    pub notes: Vec<String>,
}

/// One bucket's rules.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct BucketInfo {
    /// The name; the default bucket's is `default`.
    pub name: String,
    /// Replicas: a number, or a map from data centre to number.
    pub n: Value,
    /// The read level: a number or a name.
    pub r: Value,
    /// The write level: a number or a name.
    pub w: Value,
    /// Whether fallbacks count.
    pub sloppy: bool,
    /// `lww` or `siblings`.
    pub resolver: String,
    /// Milliseconds that values live, if they expire.
    pub ttl_ms: Option<u64>,
}

impl BucketInfo {
    pub(crate) fn of(spec: &BucketSpec) -> Self {
        let level = |level: Level| match level {
            Level::Count(count) => Value::from(count),
            Level::Consistency(named) => Value::from(named.as_str()),
        };
        Self {
            name: spec.name.clone(),
            n: match &spec.n {
                Replicas::Count(count) => Value::from(*count),
                Replicas::PerDc(counts) => {
                    counts.iter().map(|(name, count)| (name.clone(), Value::from(*count))).collect()
                }
            },
            r: level(spec.r),
            w: level(spec.w),
            sloppy: spec.sloppy,
            resolver: spec.resolver.as_str().to_owned(),
            ttl_ms: spec.ttl_ms,
        }
    }
}
