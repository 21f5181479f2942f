//! What a node answers about a key's replicas and about what has happened: for its own store and over connections.

use std::time::Duration;

use bytes::Bytes;

use super::NodeCore;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::events::Event;
use crate::base::ids::{BucketId, NodeNumber};
use crate::causality::Record;
use crate::client::{
    ClusterEvent, EVENTS_PAGE_MAX, EventsPage, EventsRequest, ExplainRequest, Explanation, HeldRecord,
    ReadAnswer, ReplicaInfo, role,
};
use crate::coordinator::explain::{Answer, Asked, inspect_reply};
use crate::wire::control::{self, Kind};

/// The longest wait for an event that is answered in one request: a reader asks again, and who has gone is forgotten.
const EVENTS_WAIT_MAX: Duration = Duration::from_secs(10);

impl NodeCore {
    /// Asks all replicas of a key.
    pub(super) async fn explain_now(&self, request: &ExplainRequest) -> Result<Explanation> {
        let serving = self.serving()?;
        let now_ms = self.env.unix_ms();
        let explained = serving.coordinator.explain(request, now_ms).await?;
        let topology = &explained.topology;
        let bucket = topology.buckets.get(&request.bucket).map(|spec| spec.name.clone());
        let replica = |asked: Asked| {
            let me = asked.node == serving.replica.number();
            let (holding, error) = match asked.held {
                Ok(holding) => (holding, None),
                Err(reason) => (crate::coordinator::explain::Holding::default(), Some(reason)),
            };
            ReplicaInfo {
                id: topology.members.get(&asked.node).map(|member| member.id.clone()).unwrap_or_default(),
                number: asked.node.0,
                role: role(asked.owner),
                state: self.state_of(asked.node, me).to_owned(),
                reachable: error.is_none(),
                counts: asked.owner && error.is_none() && !holding.recovering,
                recovering: holding.recovering,
                record: holding.record.map(|record| held_record(&record, now_ms)),
                error,
                hints_owed: self.owed_to(asked.node),
            }
        };
        Ok(Explanation {
            bucket: bucket.unwrap_or_default(),
            partition: explained.partition.0.into(),
            epoch: topology.epoch.number,
            answered_by: self.identity.id.clone(),
            replicas: explained.asked.into_iter().map(replica).collect(),
            reads: (1..).zip(explained.reads).map(|(r, answer)| read_answer(r, answer)).collect(),
        })
    }

    /// Answers a client's or a member's question about one key.
    pub(super) async fn answer_inquiry(&self, kind: Kind) -> Result<Kind> {
        match kind {
            Kind::Inspect(inspect) => {
                self.check_key(&inspect.key)?;
                self.catch_up(control::epoch(inspect.epoch)).await;
                let bucket = BucketId(inspect.bucket);
                let holding = self.serving()?.coordinator.inspect(bucket, &inspect.key)?;
                Ok(Kind::InspectReply(inspect_reply(holding)))
            }
            Kind::Explain(explain) => {
                self.check_key(&explain.key)?;
                self.catch_up(control::epoch(explain.epoch)).await;
                let within = Duration::from_millis(explain.timeout_ms.into());
                let request = ExplainRequest {
                    bucket: BucketId(explain.bucket),
                    key: Bytes::copy_from_slice(&explain.key),
                    deadline: self.env.deadline(within),
                };
                Ok(Kind::ExplainReply(self.explain_now(&request).await?.into()))
            }
            Kind::FetchEvents(fetch) => {
                let page = self.events_page(&fetch.into()).await?;
                Ok(Kind::EventsReply(page.into()))
            }
            _ => Err(Error::invalid("not an inquiry")),
        }
    }

    /// The events after a number, waited for; ends early when the node closes.
    pub(super) async fn events_page(&self, request: &EventsRequest) -> Result<EventsPage> {
        let source = format!("{}/{}", self.identity.id, self.identity.start);
        let foreign = !request.source.is_empty() && request.source != source;
        // A number that has not been given yet is another ring's, too: of this node before it was started again.
        let known = request.after.filter(|after| !foreign && *after <= self.events.last());
        let Some(asked_after) = request.after else {
            return Ok(self.page_of(source, Vec::new(), self.events.last(), 0));
        };
        let after = known.unwrap_or(if foreign { 0 } else { self.events.last().min(asked_after) });
        let wait = Duration::from_millis(request.wait_ms.into()).min(EVENTS_WAIT_MAX);
        let deadline = self.env.deadline(wait);
        let mut number = after;
        loop {
            let page = self.events.after(number, request.max.clamp(1, EVENTS_PAGE_MAX) as usize);
            let last = page.events.last().map_or(number, |event| event.number);
            let mut events = page.events;
            if foreign {
                events.retain(|event| event.unix_ms >= request.since_ms);
            }
            if !events.is_empty() || last == number && deadline.passed() {
                let missed = if foreign { 0 } else { page.missed };
                return Ok(self.page_of(source, events, last, missed));
            }
            if last > number {
                number = last;
                continue;
            }
            tokio::select! {
                biased;
                () = self.env.stopping() => {
                    return Err(Error::new(ErrorKind::Closed, "the store was closed"));
                }
                _elapsed = deadline.limit(self.events.wait(number)) => {}
            }
        }
    }

    fn page_of(&self, source: String, events: Vec<Event>, last: u64, missed: u64) -> EventsPage {
        let topology = self.topology();
        let id = |number: NodeNumber| {
            topology
                .as_ref()
                .and_then(|topology| topology.members.get(&number))
                .map(|member| member.id.clone())
        };
        let event = |event: Event| ClusterEvent {
            number: event.number,
            time_ms: event.unix_ms,
            kind: event.kind.name().to_owned(),
            node: event.node.and_then(id),
            node_number: event.node.map(|number| number.0),
            detail: event.detail,
        };
        let events = events.into_iter().map(event).collect();
        EventsPage { events, last, missed, source, time_ms: self.env.unix_ms() }
    }
}

fn held_record(record: &Record, now_ms: u64) -> HeldRecord {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let live = record.live(now_ms).count();
    let is_tombstone = |sibling: &&crate::causality::Sibling| {
        matches!(sibling.payload, crate::causality::Payload::Tombstone)
    };
    let tombstones = record.siblings.iter().filter(is_tombstone).count();
    let time_ms = record.clock.greatest().unix_ms();
    HeldRecord {
        values: count(live),
        tombstones: count(tombstones),
        expired: count(record.siblings.len() - live - tombstones),
        hash: format!("{:?}", record.hash()),
        time_ms,
        age_ms: now_ms.saturating_sub(time_ms),
        clock_entries: count(record.clock.len()),
    }
}

fn read_answer(r: u32, answer: Answer) -> ReadAnswer {
    let (answer, siblings, reason) = match answer {
        Answer::Value => ("value", 1, None),
        Answer::Absent => ("absent", 0, None),
        Answer::Siblings(count) => ("siblings", u32::try_from(count).unwrap_or(u32::MAX), None),
        Answer::Unavailable(reason) => ("unavailable", 0, Some(reason)),
    };
    ReadAnswer { r, answer: answer.to_owned(), siblings, reason }
}
