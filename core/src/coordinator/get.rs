//! Coordinating a read: the full record from here, digests from enough others. Equal digests answer at once; a difference
//! is merged, and a majority read answers only once enough owners are known to hold the merged record, so that reads
//! never go back in time. Below a majority the merge is answered as it is and the others are mended behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::put::refusal;
use super::quorum::Requirement;
use super::tally::{Progress, Tally};
use super::{Asking, Coordinator, Place};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::{NodeNumber, Time};
#[cfg(feature = "planted")]
use crate::base::planted::{self, Bug};
use crate::causality::{Record, RecordHash, encoding};
use crate::client::ReadRequest;
use crate::replica::Holder;
use crate::ring::preference::Nodes;
use crate::wire::{Request, Response};

/// What an owner said that it holds.
#[derive(Clone, Debug)]
enum Held {
    /// The hash of its record; none: it has no record.
    Hash(Option<RecordHash>),
    /// The record itself, with its hash.
    Record(Option<(Bytes, RecordHash)>),
}

impl Held {
    fn hash(&self) -> Option<RecordHash> {
        match self {
            Self::Hash(hash) => *hash,
            Self::Record(record) => record.as_ref().map(|(_, hash)| *hash),
        }
    }
}

type Replies = BTreeMap<NodeNumber, Held>;

/// The merge of what owners hold.
struct Merged {
    record: Bytes,
    /// The least of the times at which its parts were read, each on its reader's clock.
    captured: Time,
    /// When this node began to ask for it, on its own clock.
    asked: Time,
}

impl Coordinator {
    /// Coordinates a read; this node must be an owner, or in a sloppy read a fallback. Gives the merged record and this node's clock.
    ///
    /// # Errors
    /// `QuorumUnavailable`, `Timeout`, `Corruption`, …
    pub async fn get(&self, request: &ReadRequest) -> Result<(Option<Bytes>, Time)> {
        let place = self.place(request.bucket, &request.key, request.sloppy)?;
        let me = self.me();
        let requirement = self.requirement("r", request.level, &place)?;
        let captured = self.replica.now();
        // Asked before the read: a copy that recovers in between has learned what the read may have missed.
        let counts = self.replica.counts(place.copy);
        let own = self.read_here(&place, request).await?;
        if counts && requirement.met_by(&[me]) {
            return Ok((own, self.replica.now()));
        }
        let own = own.map(|bytes| encoding::hash_of(&bytes).map(|hash| (bytes, hash))).transpose()?;
        let replies =
            Box::pin(self.ask(&place, &requirement, request, counts.then(|| Held::Record(own.clone()))))
                .await?;
        let own_hash = own.as_ref().map(|(_, hash)| *hash);
        if replies.values().all(|held| held.hash() == own_hash) {
            return Ok((own.map(|(bytes, _)| bytes), self.replica.now()));
        }
        let merged =
            Box::pin(self.reconcile(&place, &requirement, request, (own, captured), replies)).await?;
        Ok((merged, self.replica.now()))
    }

    async fn read_here(&self, place: &Place, request: &ReadRequest) -> Result<Option<Bytes>> {
        match self.replica.read_cached(place.copy, request.bucket, &request.key) {
            Some(found) => Ok(found),
            None => {
                Self::leave_event_loop(request.caller).await;
                self.replica.read(place.copy, request.bucket, &request.key)
            }
        }
    }

    /// Asks replicas for digests until the level is met: first as many as are needed, then, when one fails or is slow, all.
    async fn ask(
        &self,
        place: &Place,
        requirement: &Requirement,
        request: &ReadRequest,
        own: Option<Held>,
    ) -> Result<Replies> {
        let me = self.me();
        let (sender, receiver) = oneshot::channel();
        let mut tally = Tally::new(requirement.clone());
        if place.copy.holder == Holder::Fallback {
            tally.asks(me);
        }
        if own.is_none()
            && tally.failed(me, "its copy is recovering".to_owned(), false) == Progress::Impossible
        {
            return Err(tally.error("r"));
        }
        let fallbacks = tally.next_fallbacks();
        let mut waiting: Vec<NodeNumber> =
            requirement.owners().chain(fallbacks).filter(|node| *node != me).collect();
        waiting.sort_by_key(|node| !self.peers.is_healthy(*node));
        let needed = requirement.needed() - usize::from(own.is_some() && requirement.includes(me));
        let later = waiting.split_off(needed.min(waiting.len()));
        let fetch = Request::Fetch { route: place.route(), key: request.key.clone(), full: false };
        let round = Arc::new(ReadRound {
            asking: self.ask_replicas(fetch, request.deadline),
            state: Mutex::new(ReadState { tally, replies: Replies::new(), finish: Some(sender) }),
            failed: tokio::sync::Notify::new(),
        });
        if let Some(own) = own {
            round.take_held(me, own);
        }
        round.send(waiting.iter().copied());
        let mut receiver = std::pin::pin!(receiver);
        let mut hedge = std::pin::pin!(async {
            tokio::select! {
                biased;
                () = round.failed.notified() => {}
                () = self.env.sleep(self.peers.hedge(&waiting)) => {}
            }
            round.send(later);
            std::future::pending::<()>().await;
        });
        // Pinned here and handed on by reference: each move would be room for one more copy in the future of every get.
        let answered = std::pin::pin!(async {
            tokio::select! {
                biased;
                ended = &mut receiver => ended,
                () = &mut hedge => unreachable_answer(),
            }
        });
        let ended = request.deadline.limit(answered).await;
        match ended {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(round.state.lock().tally.timeout("r")),
        }
    }

    /// Merges what differs, and sees to it that enough owners hold the merge.
    async fn reconcile(
        &self,
        place: &Place,
        requirement: &Requirement,
        request: &ReadRequest,
        (own, asked): (Option<(Bytes, RecordHash)>, Time),
        replies: Replies,
    ) -> Result<Option<Bytes>> {
        // A merged record is as old as the oldest of its parts.
        let mut captured = asked;
        let own_hash = own.as_ref().map(|(_, hash)| *hash);
        let mut merged = match &own {
            Some((bytes, _)) => encoding::decode(bytes)?,
            None => Record::default(),
        };
        let me = self.me();
        let mut held = Vec::new();
        for (node, reply) in &replies {
            if *node == me || reply.hash() == own_hash {
                held.push((*node, own_hash));
                continue;
            }
            let (record, read_at) = self.fetch_full(place, request, *node).await?;
            captured = captured.min(read_at);
            let hash = match &record {
                Some(bytes) => {
                    merged = merged.merge(&encoding::decode(bytes)?);
                    Some(encoding::hash_of(bytes)?)
                }
                None => None,
            };
            held.push((*node, hash));
        }
        let hash = merged.hash();
        let merged = Merged { record: encoding::encode(&merged), captured, asked };
        let holders: Vec<NodeNumber> =
            held.into_iter().filter(|(_, theirs)| *theirs == Some(hash)).map(|(node, _)| node).collect();
        let enough = requirement.held_enough();
        #[cfg(feature = "planted")]
        if planted::is(Bug::NoWriteBack) {
            return Ok(Some(merged.record));
        }
        if !requirement.is_majority() || enough.met_by(&holders) {
            self.mend_behind(place, request, &merged, &holders);
            return Ok(Some(merged.record));
        }
        self.write_back(place, request, &enough, &merged, &holders).await?;
        Ok(Some(merged.record))
    }

    async fn fetch_full(
        &self,
        place: &Place,
        request: &ReadRequest,
        node: NodeNumber,
    ) -> Result<(Option<Bytes>, Time)> {
        let fetch = Request::Fetch { route: place.route(), key: request.key.clone(), full: true };
        let deadline = self.peer_deadline(request.deadline);
        match self.peers.call(node, fetch, deadline).await.and_then(Response::into_result) {
            Ok(Response::Record { record, now }) => Ok((record, now)),
            Ok(other) => Err(not_readable(node, &refusal(&other))),
            Err(error) => Err(not_readable(node, error.message())),
        }
    }

    /// Writes a merged record to the owners that lack it, and waits until enough are known to hold it.
    async fn write_back(
        &self,
        place: &Place,
        request: &ReadRequest,
        enough: &Requirement,
        merged: &Merged,
        holders: &[NodeNumber],
    ) -> Result<()> {
        let me = self.me();
        let (sender, receiver) = oneshot::channel();
        let mut tally = Tally::new(enough.clone());
        for holder in holders.iter() {
            tally.answered(*holder);
        }
        let round = Arc::new(MendRound { state: Mutex::new((tally, Some(sender))) });
        let deadline = self.peer_deadline(request.deadline);
        for owner in place.owners.iter().copied().filter(|o| *o != me && !holders.contains(o)) {
            let apply = Request::Apply {
                route: place.route(),
                key: request.key.clone(),
                captured: merged.captured,
                record: merged.record.clone(),
            };
            let round = Arc::clone(&round);
            self.peers.submit(owner, apply, deadline, Box::new(move |reply| round.take(owner, reply)));
        }
        if !holders.contains(&me) {
            self.merge_merged(place, request, merged).await?;
            if self.replica.counts(place.copy) {
                round.advance(me, Ok(()));
            }
        }
        match request.deadline.limit(receiver).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(round.state.lock().0.timeout("r")),
        }
    }

    async fn merge_merged(&self, place: &Place, request: &ReadRequest, merged: &Merged) -> Result<()> {
        loop {
            let Merged { record, asked, .. } = merged;
            match self.replica.merge(place.copy, request.bucket, &request.key, record, *asked) {
                Ok(merged) => return self.acknowledged(merged.lsn, request.deadline).await,
                Err(refusal) => self.lease.extend(refusal.lease()?).await?,
            }
        }
    }

    /// Sends a merged record to the owners that lack it, without waiting.
    fn mend_behind(&self, place: &Place, request: &ReadRequest, merged: &Merged, holders: &[NodeNumber]) {
        let me = self.me();
        let is_owner = place.copy.holder == Holder::Owner;
        if is_owner && !holders.contains(&me) {
            // What fails here is mended by the next read or exchange.
            let Merged { record, asked, .. } = merged;
            let _mended = self.replica.merge(place.copy, request.bucket, &request.key, record, *asked);
        }
        let deadline = self.env.deadline(self.peer_timeout);
        for owner in place.owners.iter().copied().filter(|o| *o != me && !holders.contains(o)) {
            let apply = Request::Apply {
                route: place.route(),
                key: request.key.clone(),
                captured: merged.captured,
                record: merged.record.clone(),
            };
            let (hints, route, key) = (Arc::clone(&self.hints), place.route(), request.key.clone());
            let done = Box::new(move |reply: Result<Response>| {
                // Only an owner can pay the debt: a fallback's copy is drained.
                if is_owner && !matches!(reply, Ok(Response::Applied { .. })) {
                    hints.note(owner, route.partition, route.bucket, &key);
                }
            });
            self.peers.submit(owner, apply, deadline, done);
        }
    }
}

fn not_readable(node: NodeNumber, reason: &str) -> Error {
    let text =
        format!("the owners disagree and n{node}, which holds another version, cannot be read: {reason}");
    Error::new(ErrorKind::QuorumUnavailable, text)
}

/// The hedge never ends by itself.
fn unreachable_answer() -> Result<Result<Replies>, oneshot::error::RecvError> {
    Ok(Err(Error::new(ErrorKind::Internal, "a hedge ended before its read")))
}

/// The digests of one read.
struct ReadRound {
    asking: Asking,
    state: Mutex<ReadState>,
    failed: tokio::sync::Notify,
}

struct ReadState {
    tally: Tally,
    replies: Replies,
    finish: Option<oneshot::Sender<Result<Replies>>>,
}

impl ReadRound {
    fn take_held(&self, node: NodeNumber, held: Held) {
        let mut state = self.state.lock();
        state.replies.insert(node, held);
        let progress = state.tally.answered(node);
        state.advance(progress);
    }

    fn send(self: &Arc<Self>, nodes: impl IntoIterator<Item = NodeNumber>) {
        for node in nodes {
            let round = Arc::clone(self);
            self.asking.ask(node, Box::new(move |reply| round.take(node, reply)));
        }
    }

    fn take(self: &Arc<Self>, node: NodeNumber, reply: Result<Response>) {
        match reply.and_then(Response::into_result) {
            Ok(Response::Digest { hash, .. }) => self.take_held(node, Held::Hash(hash.map(RecordHash))),
            // Outside the lock: a node without an address fails before `send` returns.
            Ok(other) => self.send(self.fail(node, refusal(&other))),
            Err(error) => self.send(self.fail(node, error.message().to_owned())),
        }
    }

    /// Counts a failure, and gives the fallbacks to ask instead.
    fn fail(&self, node: NodeNumber, reason: String) -> Nodes {
        let mut state = self.state.lock();
        let progress = state.tally.failed(node, reason, false);
        state.advance(progress);
        self.failed.notify_one();
        if state.finish.is_some() { state.tally.next_fallbacks() } else { Nodes::new() }
    }
}

impl ReadState {
    fn advance(&mut self, progress: Progress) {
        let result = match progress {
            Progress::Wait => return,
            Progress::Done => Ok(std::mem::take(&mut self.replies)),
            Progress::Impossible => Err(self.tally.error("r")),
        };
        if let Some(finish) = self.finish.take() {
            // The caller may have gone.
            let _unsent = finish.send(result);
        }
    }
}

/// A merged record on its way back to the owners.
struct MendRound {
    state: Mutex<(Tally, Option<oneshot::Sender<Result<()>>>)>,
}

impl MendRound {
    fn take(&self, owner: NodeNumber, reply: Result<Response>) {
        let outcome = match reply.and_then(Response::into_result) {
            Ok(Response::Applied { .. }) => Ok(()),
            Ok(other) => Err(refusal(&other)),
            Err(error) => Err(error.message().to_owned()),
        };
        self.advance(owner, outcome);
    }

    fn advance(&self, owner: NodeNumber, outcome: Result<(), String>) {
        let mut state = self.state.lock();
        let (tally, finish) = &mut *state;
        let progress = match outcome {
            Ok(()) => tally.answered(owner),
            Err(reason) => tally.failed(owner, reason, false),
        };
        let result = match progress {
            Progress::Wait => return,
            Progress::Done => Ok(()),
            Progress::Impossible => Err(tally.error("r")),
        };
        if let Some(finish) = finish.take() {
            // The caller may have gone.
            let _unsent = finish.send(result);
        }
    }
}
