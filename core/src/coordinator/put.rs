//! Coordinating a write: mint locally, send the record to the other owners at once, answer when enough have stored it.
//! An owner that does not confirm is owed the key, whether or not the caller still waits.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::quorum::Requirement;
use super::tally::{Progress, Tally};
use super::{Asking, Coordinator, Place};
use crate::base::env::Deadline;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::{BucketId, Dot, NodeNumber, Time};
#[cfg(feature = "planted")]
use crate::base::planted::{self, Bug};
use crate::base::settings::Durability;
use crate::causality::Payload;
use crate::causality::blind::remint;
use crate::client::{WriteRequest, Written};
use crate::replica::{Basis, CopyId, Hints, Holder, Mint, Minted};
use crate::ring::Resolver;
use crate::ring::preference::Nodes;
use crate::wire::{Change, Expiry, Request, Response};

/// The greatest winners that owners named, with the owner that named each.
type Winners = SmallVec<[(NodeNumber, Dot); 4]>;

/// How a round over the owners ended.
struct Stored {
    owners: usize,
    fallbacks: usize,
    winners: Winners,
}

impl Coordinator {
    /// Coordinates a write; this node must be an owner, or in a sloppy write a fallback.
    ///
    /// # Errors
    /// `QuorumUnavailable`, `Timeout`, `TooManySiblings`, `ClockSkew`, `StorageFull`, …; `maybe_applied` is false only
    /// if nothing was minted.
    pub async fn put(&self, request: &WriteRequest) -> Result<Written> {
        let place = self.place(request.bucket, &request.key, request.sloppy)?;
        let requirement = self.requirement("w", request.level, &place)?;
        self.check_floor(request.floor)?;
        let mint = self.mint_of(request, &place);
        let blind = request.context.is_none() && place.spec().resolver == Resolver::Lww;
        self.leave_event_loop_for_mint(&mint, request).await;
        let minted = self.mint(&mint, request.deadline).await?;
        let stored = self.replicate(&place, &requirement, &minted, request).await?;
        if blind && remint(minted.dot, stored.winners.iter().map(|(_, dot)| *dot)).is_some() {
            // An owner holds a later winner: readers would show that one. Merge it, and mint once more: what is stored
            // here then lies below.
            let later = stored.winners;
            return Box::pin(self.put_above(&place, &requirement, mint, &minted, &later, request)).await;
        }
        Ok(self.written(minted, &stored))
    }

    /// Mints and stores once more, above winners that the owners named. Rare, and so kept out of every put's future.
    async fn put_above(
        &self,
        place: &Place,
        requirement: &Requirement,
        mut mint: Mint,
        below: &Minted,
        winners: &Winners,
        request: &WriteRequest,
    ) -> Result<Written> {
        self.merge_winners(place, below, winners, request).await?;
        mint.basis = Basis::Stored;
        let minted = self.mint(&mint, request.deadline).await.map_err(|e| e.maybe_applied_if(true))?;
        let stored = self.replicate(place, requirement, &minted, request).await?;
        Ok(self.written(minted, &stored))
    }

    fn written(&self, minted: Minted, stored: &Stored) -> Written {
        Written {
            dot: minted.dot,
            clock: minted.clock,
            owners: u32::try_from(stored.owners).unwrap_or(u32::MAX),
            fallbacks: u32::try_from(stored.fallbacks).unwrap_or(u32::MAX),
            now: self.replica.now(),
        }
    }

    fn check_floor(&self, floor: Time) -> Result<()> {
        let now = self.env.unix_ms();
        if floor.unix_ms() > now.saturating_add(self.clock_skew_max_ms) {
            return Err(Error::new(
                ErrorKind::ClockSkew,
                format!(
                    "the caller's clock is {} ms ahead of this node's; {} ms are allowed",
                    floor.unix_ms() - now,
                    self.clock_skew_max_ms
                ),
            ));
        }
        Ok(())
    }

    fn mint_of(&self, request: &WriteRequest, place: &Place) -> Mint {
        let now = self.env.unix_ms();
        let (payload, expires) = match &request.change {
            Change::Tombstone => (Payload::Tombstone, None),
            Change::Value(value) => {
                let after = match request.expiry {
                    Expiry::Bucket => place.spec().ttl_ms,
                    Expiry::Never => None,
                    Expiry::AfterMs(after) => Some(after),
                };
                (Payload::Value(value.clone()), after.map(|after| now.saturating_add(after)))
            }
        };
        let basis = match (&request.context, place.spec().resolver, &payload) {
            (Some(clock), ..) => Basis::Seen(clock.clone()),
            (None, Resolver::Siblings, Payload::Value(_)) => Basis::Nothing,
            (None, ..) => Basis::Stored,
        };
        Mint {
            copy: place.copy,
            bucket: request.bucket,
            key: request.key.clone(),
            payload,
            expires,
            basis,
            floor: request.floor,
        }
    }

    /// An event loop's thread reads no disk: unless memory knows the record, the rest runs elsewhere.
    async fn leave_event_loop_for_mint(&self, mint: &Mint, request: &WriteRequest) {
        if self.replica.read_cached(mint.copy, mint.bucket, &mint.key).is_none() {
            Self::leave_event_loop(request.caller).await;
        }
    }

    async fn mint(&self, mint: &Mint, deadline: Deadline) -> Result<Minted> {
        loop {
            if deadline.passed() {
                return Err(Error::new(
                    ErrorKind::Timeout,
                    "the deadline passed before the write was minted",
                ));
            }
            match self.replica.mint(mint) {
                Ok(minted) => return Ok(minted),
                Err(refusal) => Box::pin(self.lease.extend(refusal.lease()?)).await?,
            }
        }
    }

    /// Sends a record to the other owners, and to fallbacks where owners are away, and waits until the level is met.
    async fn replicate(
        &self,
        place: &Place,
        requirement: &Requirement,
        minted: &Minted,
        request: &WriteRequest,
    ) -> Result<Stored> {
        let me = self.me();
        if place.owners[..] == [me] {
            // The only owner: nobody to ask, nothing to wait for but the disk.
            self.acknowledged(minted.lsn, request.deadline).await?;
            return Ok(Stored { owners: 1, fallbacks: 0, winners: Winners::new() });
        }
        let (sender, receiver) = oneshot::channel();
        let mut tally = Tally::new(requirement.clone());
        if place.copy.holder == Holder::Fallback {
            tally.asks(me);
        }
        let fallbacks = tally.next_fallbacks();
        let apply = Request::Apply {
            route: place.route(),
            key: request.key.clone(),
            captured: minted.captured,
            record: minted.record.clone(),
        };
        let round = Arc::new(Round {
            hints: Arc::clone(&self.hints),
            copy: place.copy,
            bucket: place.bucket,
            key: request.key.clone(),
            owners: place.owners.clone(),
            asking: self.ask_replicas(apply, request.deadline),
            state: Mutex::new(RoundState { tally, winners: Winners::new(), finish: Some(sender) }),
        });
        // Where nothing is waited for, this node's answer is in before a dead owner can end the round: the error then says
        // how many have it.
        let counted = self.replica.engine().durability() == Durability::Interval;
        if counted {
            round.take_own(me, minted.dot);
        }
        for node in place.owners.iter().chain(&fallbacks).copied().filter(|node| *node != me) {
            round.send(node);
        }
        self.acknowledged(minted.lsn, request.deadline).await?;
        if !counted {
            round.take_own(me, minted.dot);
        }
        let ended = request.deadline.limit(receiver).await;
        match ended {
            Ok(Ok(Ok(stored))) => Ok(stored),
            // This node has stored it, so a failure is never sure to have left nothing.
            Ok(Ok(Err(error))) => Err(error.maybe_applied_if(true)),
            Ok(Err(_)) | Err(_) => Err(round.timeout().maybe_applied_if(true)),
        }
    }

    /// Fetches the records whose winners are above this write's and merges them here.
    async fn merge_winners(
        &self,
        place: &Place,
        minted: &Minted,
        winners: &Winners,
        request: &WriteRequest,
    ) -> Result<()> {
        let route = place.route();
        for (node, _) in winners.iter().filter(|(_, dot)| *dot > minted.dot) {
            let fetch = Request::Fetch { route, key: request.key.clone(), full: true };
            let deadline = self.peer_deadline(request.deadline);
            let asked = self.replica.now();
            let reply = self.peers.call(*node, fetch, deadline).await;
            match reply.and_then(Response::into_result) {
                Ok(Response::Record { record: Some(record), .. }) => {
                    self.merge_here(place.copy, request, &record, asked).await?;
                }
                Ok(_) => {}
                Err(error) => return Err(error.maybe_applied_if(true)),
            }
        }
        Ok(())
    }

    async fn merge_here(
        &self,
        copy: CopyId,
        request: &WriteRequest,
        record: &Bytes,
        asked: Time,
    ) -> Result<()> {
        loop {
            match self.replica.merge(copy, request.bucket, &request.key, record, asked) {
                Ok(_) => return Ok(()),
                Err(refusal) => {
                    let needed = refusal.lease().map_err(|error| error.maybe_applied_if(true))?;
                    let extended = Box::pin(self.lease.extend(needed)).await;
                    extended.map_err(|error| error.maybe_applied_if(true))?;
                }
            }
        }
    }
}

/// One record on its way to the owners. Outlives the caller: late failures are still noted.
struct Round {
    hints: Arc<Hints>,
    copy: CopyId,
    bucket: BucketId,
    key: Bytes,
    owners: Nodes,
    asking: Asking,
    state: Mutex<RoundState>,
}

struct RoundState {
    tally: Tally,
    winners: Winners,
    finish: Option<oneshot::Sender<Result<Stored>>>,
}

impl Round {
    fn take_own(&self, me: NodeNumber, dot: Dot) {
        let mut state = self.state.lock();
        state.winners.push((me, dot));
        let progress = state.tally.answered(me);
        #[cfg(feature = "planted")]
        let progress = if planted::is(Bug::AckBeforeQuorum) { Progress::Done } else { progress };
        state.advance(progress);
    }

    fn send(self: &Arc<Self>, node: NodeNumber) {
        let round = Arc::clone(self);
        self.asking.ask(node, Box::new(move |reply| round.take(node, reply)));
    }

    /// Notes what an owner may lack. A fallback's copy is itself the debt: its drain brings it to every owner.
    fn owe(&self, node: NodeNumber) {
        if self.copy.holder == Holder::Owner && self.owners.contains(&node) {
            self.hints.note(node, self.copy.partition, self.bucket, &self.key);
        }
    }

    fn take(self: &Arc<Self>, node: NodeNumber, reply: Result<Response>) {
        let reply = reply.and_then(Response::into_result);
        if !matches!(reply, Ok(Response::Applied { .. })) {
            self.owe(node);
        }
        // Outside the lock: a node without an address fails before `send` returns.
        for fallback in self.count(node, reply) {
            self.send(fallback);
        }
    }

    /// Counts a reply, and gives the fallbacks to ask in the place of a replica that failed.
    fn count(&self, owner: NodeNumber, reply: Result<Response>) -> Nodes {
        let mut state = self.state.lock();
        let progress = match reply {
            Ok(Response::Applied { winner, .. }) => {
                if state.finish.is_some() {
                    state.winners.push((owner, winner));
                }
                state.tally.answered(owner)
            }
            Ok(other) => state.tally.failed(owner, refusal(&other), false),
            Err(error) => {
                if error.kind() == ErrorKind::StorageFull {
                    state.tally.refused_for_space(owner);
                }
                state.tally.failed(owner, error.message().to_owned(), error.maybe_applied())
            }
        };
        state.advance(progress);
        if state.finish.is_some() { state.tally.next_fallbacks() } else { Nodes::new() }
    }

    fn timeout(&self) -> Error {
        self.state.lock().tally.timeout("w")
    }
}

impl RoundState {
    fn advance(&mut self, progress: Progress) {
        let result = match progress {
            Progress::Wait => return,
            Progress::Done => {
                let fallbacks = self.tally.fallbacks_answered();
                let owners = self.tally.who_answered().len() - fallbacks;
                Ok(Stored { owners, fallbacks, winners: self.winners.clone() })
            }
            Progress::Impossible => Err(self.tally.error("w")),
        };
        if let Some(finish) = self.finish.take() {
            // The caller may have gone.
            let _unsent = finish.send(result);
        }
    }
}

/// Why an answer is no success.
pub(super) fn refusal(response: &Response) -> String {
    match response {
        Response::StaleEpoch { epoch } => format!("it is at epoch {epoch}, this node is behind"),
        Response::NotOwner { epoch } => format!("it is no owner at its epoch {epoch}"),
        Response::StaleRecord { .. } => "by its clock the record was captured too long ago".to_owned(),
        other => format!("it answered with {:?}", other.kind()),
    }
}
