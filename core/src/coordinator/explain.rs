//! Explaining a key: every owner and fallback is asked at once what it holds, and a pure function says what a read
//! would answer from that. Records come without their values, so that the answer is small whatever the key holds.

use bytes::Bytes;
use tokio::sync::oneshot;

use super::Coordinator;
use crate::base::env::Deadline;
use crate::base::error::{Error, Result};
use crate::base::ids::{BucketId, NodeNumber, PartitionId};
use crate::causality::{Payload, Record, encoding};
use crate::client::ExplainRequest;
use crate::ring::{Resolver, Topology};
use crate::wire::control::{self, Kind, proto};
use crate::wire::{Request, Response};

/// What a replica holds of a key.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Holding {
    /// The record, its values emptied; none: it has none.
    pub record: Option<Record>,
    /// Whether the copy may have forgotten something, and counts in no read quorum.
    pub recovering: bool,
}

/// A replica and what it said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// The node.
    pub node: NodeNumber,
    /// Whether it is an owner, else a fallback.
    pub owner: bool,
    /// What it holds, or why that is not known.
    pub held: Result<Holding, String>,
}

/// What a read would answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// One value.
    Value,
    /// Nothing, deleted or expired.
    Absent,
    /// More than one live sibling, which the bucket leaves to the reader.
    Siblings(usize),
    /// Too few owners can answer, and why.
    Unavailable(String),
}

/// Where a key lies and what its replicas said.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The topology by which they were found.
    pub topology: std::sync::Arc<Topology>,
    /// The key's partition.
    pub partition: PartitionId,
    /// The owners, then the fallbacks, in order of preference.
    pub asked: Vec<Asked>,
    /// For r = 1 up to the bucket's n.
    pub reads: Vec<Answer>,
}

impl Coordinator {
    /// What this node holds of a key: as an owner, else as a fallback.
    ///
    /// # Errors
    /// `NoSuchBucket`, and what the engine reports.
    pub fn inspect(&self, bucket: BucketId, key: &[u8]) -> Result<Holding> {
        let place = self.place(bucket, key, true)?;
        let record = self.replica.read(place.copy, bucket, key)?;
        let record = record.map(|bytes| encoding::decode(&bytes).map(without_values)).transpose()?;
        Ok(Holding { record, recovering: !self.replica.counts(place.copy) })
    }

    /// Asks every owner and fallback of a key what it holds; one that does not answer is part of the answer.
    ///
    /// # Errors
    /// `NoSuchBucket`, or `QuorumUnavailable` before there is a topology.
    pub async fn explain(&self, request: &ExplainRequest, now_ms: u64) -> Result<Explained> {
        // An explanation may read the disk, and is rare enough to always take one trip through the runtime's queue first.
        tokio::task::yield_now().await;
        let place = self.place(request.bucket, &request.key, false)?;
        let spec = place.spec();
        let fallbacks = place.topology.fallbacks(place.partition, &spec.n);
        let roles = place.owners.iter().map(|node| (*node, true));
        let roles: Vec<_> = roles.chain(fallbacks.iter().map(|node| (*node, false))).collect();
        let deadline = self.peer_deadline(request.deadline);
        let waiting: Vec<_> = roles
            .iter()
            .map(|(node, _)| (*node != self.me()).then(|| self.ask_holding(*node, request, &place, deadline)))
            .collect();
        let mut asked = Vec::with_capacity(roles.len());
        for ((node, owner), waiting) in roles.into_iter().zip(waiting) {
            let held = match waiting {
                None => self.inspect(request.bucket, &request.key),
                Some(reply) => match deadline.limit(reply).await {
                    Ok(Ok(reply)) => reply.and_then(holding_of),
                    Ok(Err(_)) | Err(_) => Err(Error::new(
                        crate::base::error::ErrorKind::Timeout,
                        "no answer before the deadline",
                    )),
                },
            };
            asked.push(Asked { node, owner, held: held.map_err(|error| error.message().to_owned()) });
        }
        let reads =
            (1..=spec.n.total()).map(|r| answer(r, self.me(), &asked, spec.resolver, now_ms)).collect();
        Ok(Explained { partition: place.partition, topology: place.topology, asked, reads })
    }

    fn ask_holding(
        &self,
        node: NodeNumber,
        request: &ExplainRequest,
        place: &super::Place,
        deadline: Deadline,
    ) -> oneshot::Receiver<Result<Response>> {
        let inspect = Kind::Inspect(proto::Inspect {
            bucket: request.bucket.0,
            key: request.key.clone(),
            epoch: Some(place.topology.epoch.into()),
        });
        let (sender, receiver) = oneshot::channel();
        // Who explains may have gone.
        let done = Box::new(move |reply| drop(sender.send(reply)));
        self.peers.submit(node, Request::Control(control::encode(inspect)), deadline, done);
        receiver
    }
}

/// What a node holds, as it is sent.
#[must_use]
pub fn inspect_reply(holding: Holding) -> proto::InspectReply {
    let record = holding.record.map(|record| encoding::encode(&record)).unwrap_or_default();
    proto::InspectReply { record, recovering: holding.recovering }
}

fn holding_of(response: Response) -> Result<Holding> {
    let Response::Control(bytes) = response.into_result()? else {
        return Err(control::unexpected_reply("an inspection"));
    };
    match control::accept_reply(control::decode(&bytes)?)? {
        Kind::InspectReply(reply) => {
            let record = (!reply.record.is_empty()).then(|| encoding::decode(&reply.record)).transpose()?;
            Ok(Holding { record, recovering: reply.recovering })
        }
        _ => Err(control::unexpected_reply("an inspection")),
    }
}

/// The hash covers no values, so that it stays the record's own.
fn without_values(mut record: Record) -> Record {
    for sibling in &mut record.siblings {
        if let Payload::Value(bytes) = &mut sibling.payload {
            *bytes = Bytes::new();
        }
    }
    record
}

/// What a read of `r` owners would answer if the coordinator asked the owners in order of preference and each answered
/// now as it just did. The coordinator is `me` where that is an owner, else the first owner that answered. A real read
/// takes whichever owners answer first and then mends them; below a majority its answer may therefore be another.
#[must_use]
pub fn answer(r: usize, me: NodeNumber, asked: &[Asked], resolver: Resolver, now_ms: u64) -> Answer {
    let mut owners: Vec<&Asked> = asked.iter().filter(|asked| asked.owner).collect();
    if owners.len() < r {
        let there = owners.len();
        return Answer::Unavailable(format!(
            "r={r} needs {r} owners and the cluster has {there} for this key"
        ));
    }
    let own = owners.iter().position(|owner| owner.node == me);
    if let Some(first) = own.or_else(|| owners.iter().position(|owner| owner.held.is_ok())) {
        let coordinator = owners.remove(first);
        owners.insert(0, coordinator);
    }
    let (mut merged, mut counted, mut reasons) = (Record::default(), 0, String::new());
    for (position, owner) in owners.iter().enumerate() {
        if counted == r {
            break;
        }
        match &owner.held {
            Err(reason) => reasons.push_str(&format!("; n{}: {reason}", owner.node)),
            Ok(holding) => {
                // The coordinator shows what it has even while its own copy does not count.
                if let Some(record) = holding.record.as_ref().filter(|_| position == 0 || !holding.recovering)
                {
                    merged = merged.merge(record);
                }
                if holding.recovering {
                    reasons.push_str(&format!("; n{}: its copy is recovering", owner.node));
                } else {
                    counted += 1;
                }
            }
        }
    }
    if counted < r {
        let there = owners.len();
        return Answer::Unavailable(format!(
            "r={r} needs {r} of {there} owners, {counted} can answer{reasons}"
        ));
    }
    match (resolver, merged.live(now_ms).count()) {
        (Resolver::Lww, _) if merged.shown(now_ms).is_some() => Answer::Value,
        (Resolver::Lww, _) | (Resolver::Siblings, 0) => Answer::Absent,
        (Resolver::Siblings, 1) => Answer::Value,
        (Resolver::Siblings, more) => Answer::Siblings(more),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Actor, CopyNumber, Dot, Time};
    use crate::causality::Sibling;

    fn sibling(node: u32, time: u64, payload: Payload) -> Sibling {
        let actor = Actor { node: NodeNumber(node), copy: CopyNumber(1) };
        Sibling { dot: Dot { time: Time(time), actor }, payload, expires: None }
    }

    fn written(node: u32, time: u64) -> Option<Record> {
        Some(Record::first(sibling(node, time, Payload::Value(Bytes::new()))))
    }

    fn replica(node: u32, held: Result<Option<Record>, &str>) -> Asked {
        let held = held.map(|record| Holding { record, recovering: false }).map_err(str::to_owned);
        Asked { node: NodeNumber(node), owner: true, held }
    }

    fn answers(me: u32, asked: &[Asked], resolver: Resolver) -> Vec<Answer> {
        (1..=3).map(|r| answer(r, NodeNumber(me), asked, resolver, 0)).collect()
    }

    fn reason(answer: &Answer) -> &str {
        match answer {
            Answer::Unavailable(reason) => reason,
            other => panic!("{other:?} is available"),
        }
    }

    #[test]
    fn r_of_one_answers_what_the_coordinator_holds() {
        let asked = [replica(1, Ok(written(1, 5))), replica(2, Ok(None)), replica(3, Ok(None))];
        assert_eq!(answers(1, &asked, Resolver::Lww), [Answer::Value, Answer::Value, Answer::Value]);
        assert_eq!(answers(2, &asked, Resolver::Lww), [Answer::Absent, Answer::Value, Answer::Value]);
        // One that is no owner leaves it to the first that answers.
        assert_eq!(answers(9, &asked, Resolver::Lww), [Answer::Value, Answer::Value, Answer::Value]);
    }

    #[test]
    fn versions_of_different_owners_meet_as_siblings() {
        let asked =
            [replica(1, Ok(written(1, 5))), replica(2, Ok(written(2, 6))), replica(3, Ok(written(3, 7)))];
        let expected = [Answer::Value, Answer::Siblings(2), Answer::Siblings(3)];
        assert_eq!(answers(1, &asked, Resolver::Siblings), expected);
        assert_eq!(answers(1, &asked, Resolver::Lww), [Answer::Value, Answer::Value, Answer::Value]);
    }

    #[test]
    fn a_delete_that_wins_is_absent() {
        let deleted = Some(Record::first(sibling(2, 9, Payload::Tombstone)));
        let asked = [replica(1, Ok(written(1, 5))), replica(2, Ok(deleted)), replica(3, Ok(None))];
        assert_eq!(answers(1, &asked, Resolver::Lww), [Answer::Value, Answer::Absent, Answer::Absent]);
    }

    #[test]
    fn what_cannot_be_met_says_why() {
        let mut asked = vec![replica(1, Ok(written(1, 5))), replica(2, Err("refused")), replica(3, Ok(None))];
        if let Ok(holding) = &mut asked[2].held {
            holding.recovering = true;
        }
        let found = answers(1, &asked, Resolver::Lww);
        assert_eq!(found[0], Answer::Value);
        assert_eq!(
            reason(&found[1]),
            "r=2 needs 2 of 3 owners, 1 can answer; n2: refused; n3: its copy is recovering"
        );
        let alone = answers(1, &asked[..1], Resolver::Lww);
        assert_eq!(reason(&alone[2]), "r=3 needs 3 owners and the cluster has 1 for this key");
    }

    #[test]
    fn a_recovering_coordinator_shows_what_it_has_and_does_not_count() {
        let mut asked = vec![replica(1, Ok(written(1, 5))), replica(2, Ok(written(2, 6)))];
        if let Ok(holding) = &mut asked[0].held {
            holding.recovering = true;
        }
        assert_eq!(answer(1, NodeNumber(1), &asked, Resolver::Siblings, 0), Answer::Siblings(2));
        assert!(reason(&answer(2, NodeNumber(1), &asked, Resolver::Siblings, 0)).contains("n1"));
    }

    #[test]
    fn a_fallback_never_counts() {
        let mut asked = vec![replica(1, Ok(None)), replica(2, Ok(written(2, 6)))];
        asked[1].owner = false;
        assert_eq!(answer(1, NodeNumber(1), &asked, Resolver::Lww, 0), Answer::Absent);
        assert!(matches!(answer(2, NodeNumber(1), &asked, Resolver::Lww, 0), Answer::Unavailable(_)));
    }

    #[test]
    fn a_record_keeps_its_hash_without_its_values() {
        let full = Record::first(sibling(1, 5, Payload::Value(Bytes::from_static(b"a long value"))));
        let bare = without_values(full.clone());
        assert_eq!(bare.hash(), full.hash());
        assert!(bare.byte_len() < full.byte_len());
    }
}
