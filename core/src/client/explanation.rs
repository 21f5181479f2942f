//! What `explain` says of one key: where it lives, what each replica holds of it, and what reads would answer now.

use bytes::Bytes;
use serde::Serialize;

use crate::base::env::Deadline;
use crate::base::error::{Error, Result};
use crate::base::ids::BucketId;
use crate::wire::control::proto;

/// Replicas and answers of one explanation at the most: no bucket has as many owners and fallbacks.
const ROWS_MAX: usize = 1_024;

/// A request to explain one key.
#[derive(Clone, Debug)]
pub struct ExplainRequest {
    /// The bucket.
    pub bucket: BucketId,
    /// The key.
    pub key: Bytes,
    /// When it must have ended.
    pub deadline: Deadline,
}

/// One key as one member sees it. Nothing in it is agreed: each replica was asked once, at about the same time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Explanation {
    /// The bucket's name.
    pub bucket: String,
    /// The partition that the key lies in.
    pub partition: u32,
    /// The epoch by which owners were found.
    pub epoch: u64,
    /// The id of the member that asked the replicas; what is owed is owed by it.
    pub answered_by: String,
    /// The owners, then the fallbacks, each in order of preference.
    pub replicas: Vec<ReplicaInfo>,
    /// What a read would answer now, for r = 1 up to the bucket's n.
    pub reads: Vec<ReadAnswer>,
}

/// One replica of a key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ReplicaInfo {
    /// The node's stable id.
    pub id: String,
    /// Its number.
    pub number: u32,
    /// `owner` or `fallback`.
    pub role: String,
    /// `up`, `suspect` or `down`, as the answering member sees it.
    pub state: String,
    /// Whether it answered.
    pub reachable: bool,
    /// Why it did not.
    pub error: Option<String>,
    /// Whether it counts in read quorums: an owner that answered and whose copy is not recovering.
    pub counts: bool,
    /// Whether its copy may have forgotten something and is being compared.
    pub recovering: bool,
    /// What it holds of the key; none: nothing, or it was not reached.
    pub record: Option<HeldRecord>,
    /// What the answering member owes it, of any key.
    pub hints_owed: u64,
}

/// What a replica holds of a key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct HeldRecord {
    /// Live siblings.
    pub values: u32,
    /// Deletes among the siblings.
    pub tombstones: u32,
    /// Siblings whose time to live is over.
    pub expired: u32,
    /// The record's hash in hexadecimal: equal hashes are equal records.
    pub hash: String,
    /// When its newest write was made, in Unix milliseconds.
    pub time_ms: u64,
    /// How long ago that is by the answering member's clock.
    pub age_ms: u64,
    /// Entries of its clock.
    pub clock_entries: u32,
}

/// What a read would answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ReadAnswer {
    /// Owners that must answer.
    pub r: u32,
    /// `value`, `absent`, `siblings` (a `get` raises a conflict) or `unavailable`.
    pub answer: String,
    /// How many live siblings it would see.
    pub siblings: u32,
    /// Why it is unavailable.
    pub reason: Option<String>,
}

/// The name of a replica's role.
#[must_use]
pub fn role(owner: bool) -> String {
    if owner { "owner" } else { "fallback" }.to_owned()
}

impl From<Explanation> for proto::ExplainReply {
    fn from(said: Explanation) -> Self {
        let replica = |replica: ReplicaInfo| proto::ReplicaReply {
            id: replica.id,
            number: replica.number,
            owner: replica.role == role(true),
            state: replica.state,
            error: replica.error,
            recovering: replica.recovering,
            record: replica.record.map(|held| proto::HeldRecord {
                values: held.values,
                tombstones: held.tombstones,
                expired: held.expired,
                hash: held.hash,
                time_ms: held.time_ms,
                age_ms: held.age_ms,
                clock_entries: held.clock_entries,
            }),
            hints_owed: replica.hints_owed,
        };
        let read = |read: ReadAnswer| proto::ReadAnswer {
            r: read.r,
            answer: read.answer,
            siblings: read.siblings,
            reason: read.reason,
        };
        Self {
            bucket: said.bucket,
            partition: said.partition,
            epoch: said.epoch,
            answered_by: said.answered_by,
            replicas: said.replicas.into_iter().map(replica).collect(),
            reads: said.reads.into_iter().map(read).collect(),
        }
    }
}

impl TryFrom<proto::ExplainReply> for Explanation {
    type Error = Error;

    fn try_from(reply: proto::ExplainReply) -> Result<Self> {
        if reply.replicas.len().max(reply.reads.len()) > ROWS_MAX {
            return Err(Error::invalid(format!("an explanation with more than {ROWS_MAX} rows")));
        }
        let replica = |replica: proto::ReplicaReply| ReplicaInfo {
            id: replica.id,
            number: replica.number,
            role: role(replica.owner),
            state: replica.state,
            reachable: replica.error.is_none(),
            counts: replica.owner && replica.error.is_none() && !replica.recovering,
            error: replica.error,
            recovering: replica.recovering,
            record: replica.record.map(|held| HeldRecord {
                values: held.values,
                tombstones: held.tombstones,
                expired: held.expired,
                hash: held.hash,
                time_ms: held.time_ms,
                age_ms: held.age_ms,
                clock_entries: held.clock_entries,
            }),
            hints_owed: replica.hints_owed,
        };
        let read = |read: proto::ReadAnswer| ReadAnswer {
            r: read.r,
            answer: read.answer,
            siblings: read.siblings,
            reason: read.reason,
        };
        Ok(Self {
            bucket: reply.bucket,
            partition: reply.partition,
            epoch: reply.epoch,
            answered_by: reply.answered_by,
            replicas: reply.replicas.into_iter().map(replica).collect(),
            reads: reply.reads.into_iter().map(read).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Explanation {
        let record = HeldRecord {
            values: 2,
            tombstones: 1,
            expired: 1,
            hash: "00ff".to_owned(),
            time_ms: 9,
            age_ms: 3,
            clock_entries: 4,
        };
        let replica = |number, role: &str, error: Option<&str>| ReplicaInfo {
            id: format!("id{number}"),
            number,
            role: role.to_owned(),
            state: "up".to_owned(),
            reachable: error.is_none(),
            error: error.map(str::to_owned),
            counts: role == "owner" && error.is_none(),
            recovering: false,
            record: error.is_none().then(|| record.clone()),
            hints_owed: 7,
        };
        let read = |r, reason: Option<&str>| ReadAnswer {
            r,
            answer: "siblings".to_owned(),
            siblings: 2,
            reason: reason.map(str::to_owned),
        };
        Explanation {
            bucket: "carts".to_owned(),
            partition: 12,
            epoch: 5,
            answered_by: "id1".to_owned(),
            replicas: vec![
                replica(1, "owner", None),
                replica(2, "owner", Some("refused")),
                replica(3, "fallback", None),
            ],
            reads: vec![read(1, None), read(2, Some("why"))],
        }
    }

    #[test]
    fn an_explanation_travels_whole() {
        let reply = proto::ExplainReply::from(sample());
        assert_eq!(Explanation::try_from(reply).unwrap(), sample());
    }

    #[test]
    fn an_explanation_without_bound_is_refused() {
        let mut reply = proto::ExplainReply::from(sample());
        reply.reads = vec![proto::ReadAnswer::default(); ROWS_MAX + 1];
        assert!(Explanation::try_from(reply).is_err());
    }
}
