//! Events of the cluster as applications read them: one member's ring of numbered events, a page at a time. Numbers are
//! that member's own since its start; a reader that goes on at another one says when it last heard, and is told.

use serde::Serialize;

use crate::base::error::{Error, Result};
use crate::wire::control::proto;

/// Events of one page at the most.
pub(crate) const PAGE_MAX: u32 = 256;
/// Bytes of an event's detail at the most, so that a page fits into a frame.
const DETAIL_BYTES_MAX: usize = 1_024;

/// One thing that happened, as one member saw it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ClusterEvent {
    /// Its number at the member that saw it; 0 for what the reader's own side adds.
    pub number: u64,
    /// The member's wall clock when it happened, in Unix milliseconds.
    pub time_ms: u64,
    /// What happened: the names of `EventKind`, and `source_changed` and `events_missed`, which the reader's side adds.
    pub kind: String,
    /// The id of the member that it is about, if it is about one that is known.
    pub node: Option<String>,
    /// That member's number.
    pub node_number: Option<u32>,
    /// For people: why, or how much.
    pub detail: String,
}

/// A request for events.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EventsRequest {
    /// The number of the last event that the reader has; none asks for nothing but the number of the last one.
    pub after: Option<u64>,
    /// At most so many; more than 256 are never given.
    pub max: u32,
    /// How long to wait for the first one, in milliseconds.
    pub wait_ms: u32,
    /// Whose numbers they are, from the last page; empty: of whoever answers.
    pub source: String,
    /// When the last page was made, by its source's clock: another source goes on there.
    pub since_ms: u64,
}

/// Some events in order.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct EventsPage {
    /// The events.
    pub events: Vec<ClusterEvent>,
    /// The number to go on after.
    pub last: u64,
    /// How many were lost to the reader because it was slow.
    pub missed: u64,
    /// Whose numbers they are: a member's id and how often it has been started.
    pub source: String,
    /// When the page was made, by its source's clock, in Unix milliseconds.
    pub time_ms: u64,
}

impl EventsPage {
    /// Adds what a reader should know of the page itself: that its numbers begin anew, and that events are missing.
    #[must_use]
    pub fn with_notes(mut self, request: &EventsRequest) -> Self {
        let time_ms = self.time_ms;
        let note = |kind: &str, detail: String| ClusterEvent {
            number: 0,
            time_ms,
            kind: kind.to_owned(),
            node: None,
            node_number: None,
            detail,
        };
        if self.missed > 0 {
            let detail = format!("{} events were dropped before they were read", self.missed);
            self.events.insert(0, note("events_missed", detail));
        }
        if !request.source.is_empty() && request.source != self.source {
            let detail = format!("numbers begin anew: events now come from {}", self.source);
            self.events.insert(0, note("source_changed", detail));
        }
        self
    }
}

impl From<&EventsRequest> for proto::FetchEvents {
    fn from(request: &EventsRequest) -> Self {
        Self {
            after: request.after,
            max: request.max,
            wait_ms: request.wait_ms,
            source: request.source.clone(),
            since_ms: request.since_ms,
        }
    }
}

impl From<proto::FetchEvents> for EventsRequest {
    fn from(fetch: proto::FetchEvents) -> Self {
        let proto::FetchEvents { after, max, wait_ms, source, since_ms } = fetch;
        Self { after, max, wait_ms, source, since_ms }
    }
}

impl From<EventsPage> for proto::EventsReply {
    fn from(page: EventsPage) -> Self {
        let event = |event: ClusterEvent| proto::ClusterEvent {
            number: event.number,
            time_ms: event.time_ms,
            kind: event.kind,
            node: event.node,
            node_number: event.node_number,
            detail: clipped(event.detail),
        };
        Self {
            events: page.events.into_iter().map(event).collect(),
            last: page.last,
            missed: page.missed,
            source: page.source,
            now_ms: page.time_ms,
        }
    }
}

impl TryFrom<proto::EventsReply> for EventsPage {
    type Error = Error;

    fn try_from(reply: proto::EventsReply) -> Result<Self> {
        if reply.events.len() > PAGE_MAX as usize {
            return Err(Error::invalid(format!("a page of more than {PAGE_MAX} events")));
        }
        let event = |event: proto::ClusterEvent| ClusterEvent {
            number: event.number,
            time_ms: event.time_ms,
            kind: event.kind,
            node: event.node,
            node_number: event.node_number,
            detail: clipped(event.detail),
        };
        Ok(Self {
            events: reply.events.into_iter().map(event).collect(),
            last: reply.last,
            missed: reply.missed,
            source: reply.source,
            time_ms: reply.now_ms,
        })
    }
}

fn clipped(mut text: String) -> String {
    let end = (0..=DETAIL_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or_default());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> EventsPage {
        let event = ClusterEvent {
            number: 4,
            time_ms: 8,
            kind: "member_up".to_owned(),
            node: Some("a".to_owned()),
            node_number: Some(1),
            detail: "d".to_owned(),
        };
        EventsPage { events: vec![event], last: 4, missed: 2, source: "a/1".to_owned(), time_ms: 9 }
    }

    #[test]
    fn a_page_travels_whole_and_long_details_are_cut_at_a_character() {
        assert_eq!(EventsPage::try_from(proto::EventsReply::from(page())).unwrap(), page());
        let mut long = page();
        long.events[0].detail = "é".repeat(DETAIL_BYTES_MAX);
        let cut = EventsPage::try_from(proto::EventsReply::from(long)).unwrap();
        assert_eq!(cut.events[0].detail, "é".repeat(DETAIL_BYTES_MAX / 2));
        let many = proto::EventsReply {
            events: vec![proto::ClusterEvent::default(); PAGE_MAX as usize + 1],
            ..proto::EventsReply::default()
        };
        assert!(EventsPage::try_from(many).is_err());
    }

    #[test]
    fn a_reader_is_told_of_a_new_source_and_of_what_it_missed() {
        let kinds = |source: &str, page: EventsPage| -> Vec<String> {
            let request = EventsRequest { source: source.to_owned(), ..EventsRequest::default() };
            page.with_notes(&request).events.into_iter().map(|event| event.kind).collect()
        };
        assert_eq!(kinds("b/1", page()), ["source_changed", "events_missed", "member_up"]);
        assert_eq!(kinds("a/1", EventsPage { missed: 0, ..page() }), ["member_up"]);
        assert_eq!(kinds("", EventsPage { missed: 0, ..page() }), ["member_up"]);
    }
}
