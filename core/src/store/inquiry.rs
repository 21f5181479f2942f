//! Asking about a cluster rather than of it: where a key lives, and what happens.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::bucket::Bucket;
use super::handle::{Store, StoreInner};
use crate::base::env::BoxFuture;
use crate::base::error::Result;
use crate::client::{ClusterEvent, EventsPage, EventsRequest, ExplainRequest, Explanation};

/// Events that a stream asks for at once, and how long one request waits for the first of them.
const STREAM: (u32, u32) = (64, 10_000);

impl Bucket {
    /// Where a key lives: its partition, what each owner and fallback holds of it and whether it can be reached, and what
    /// reads would answer now. Whatever a replica does is part of the answer; only a store without a cluster fails.
    #[must_use]
    pub fn explain(&self, key: impl Into<Bytes>) -> BoxFuture<'static, Result<Explanation>> {
        let (bucket, key) = (self.clone(), key.into());
        Box::pin(async move { bucket.explain_now(key).await.map_err(|error| error.during("explain")) })
    }

    async fn explain_now(self, key: Bytes) -> Result<Explanation> {
        self.check_key(&key)?;
        let deadline = self.deadline(None)?;
        let resolved = self.resolve_or_wait(deadline).await?;
        let request = ExplainRequest { bucket: resolved.id, key, deadline };
        deadline.limit(Arc::clone(&self.store.backend).explain(request)).await?
    }
}

impl Store {
    /// What happens in the cluster from now on, as one member sees it: a node's store asks itself, a client some member,
    /// and another one when that has gone.
    #[must_use]
    pub fn events(&self) -> BoxFuture<'static, Result<ClusterEvents>> {
        let store = Arc::clone(&self.0);
        Box::pin(async move {
            let asked = EventsRequest::default();
            let page =
                Arc::clone(&store.backend).events(asked).await.map_err(|error| error.during("events"))?;
            let mut events = ClusterEvents { store, next: EventsRequest::default(), read: VecDeque::new() };
            events.take(page);
            Ok(events)
        })
    }

    /// One page of events, for callers that keep their place themselves.
    #[must_use]
    pub fn events_page(&self, request: EventsRequest) -> BoxFuture<'static, Result<EventsPage>> {
        let backend = Arc::clone(&self.0.backend);
        Box::pin(async move {
            let page = backend.events(request.clone()).await.map_err(|error| error.during("events"))?;
            Ok(page.with_notes(&request))
        })
    }
}

/// A stream of events. Dropping it ends it.
#[derive(Debug)]
pub struct ClusterEvents {
    store: Arc<StoreInner>,
    next: EventsRequest,
    read: VecDeque<ClusterEvent>,
}

impl ClusterEvents {
    /// Waits for the next event. Dropping the future loses none.
    ///
    /// # Errors
    /// `Closed` once the store is closed, `QuorumUnavailable` while a client reaches no member: asking again goes on.
    pub async fn next(&mut self) -> Result<ClusterEvent> {
        loop {
            if let Some(event) = self.read.pop_front() {
                return Ok(event);
            }
            let asked = self.next.clone();
            let page = Arc::clone(&self.store.backend).events(asked.clone()).await;
            let page = page.map_err(|error| error.during("events"))?;
            self.take(page.with_notes(&asked));
        }
    }

    fn take(&mut self, page: EventsPage) {
        self.next = EventsRequest {
            after: Some(page.last),
            max: STREAM.0,
            wait_ms: STREAM.1,
            source: page.source,
            since_ms: page.time_ms,
        };
        self.read.extend(page.events);
    }
}
