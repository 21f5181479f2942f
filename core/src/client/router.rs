//! Routing: an operation goes to an owner of its key, which coordinates it. A node that cannot be reached, or that knows
//! better who owns the key, is passed over; a write is tried again only when nothing can have been applied.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::peers::Peers;
use super::request::{ReadRequest, ScanRequest, ScannedPage, WriteRequest, Written};
use super::source::{TopologySource, current};
use crate::base::env::Deadline;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::{BucketId, Epoch, NodeNumber, PartitionId, Time};
use crate::causality::{Clock, encoding};
use crate::ring::{BucketSpec, Consistency, Level, Topology};
use crate::wire::{Need, Request, Response, Route};

/// Rounds over all owners before an operation gives up: each but the last may only have taught a newer topology.
const ROUNDS: usize = 4;
/// The pause between rounds: long enough for a restarted member to listen, short against a person's patience.
const ROUND_PAUSE: Duration = Duration::from_millis(20);

/// Sends operations to the members that can coordinate them.
#[derive(Debug)]
pub struct Router {
    env: crate::base::Env,
    peers: Arc<Peers>,
    source: Arc<dyn TopologySource>,
    data_centre: Option<String>,
    try_timeout: Duration,
}

/// Where an operation ended.
#[derive(Clone, Debug)]
pub enum Routed<T> {
    /// A member coordinated it.
    Answered(T),
    /// It is the turn of the node that asks: every member before it in the order has failed.
    Mine,
}

impl<T> Routed<T> {
    /// The answer that a client gets, which is no member itself.
    ///
    /// # Errors
    /// `Internal`, if the router took it for one.
    pub fn answered(self) -> Result<T> {
        match self {
            Self::Answered(answer) => Ok(answer),
            Self::Mine => Err(Error::new(ErrorKind::Internal, "a client was taken for a member")),
        }
    }
}

/// An operation on a key as routing sees it.
#[derive(Clone, Copy)]
struct Asked<'a> {
    bucket: BucketId,
    key: &'a [u8],
    deadline: Deadline,
    sloppy: bool,
    idempotent: bool,
    me: Option<NodeNumber>,
}

/// What one member made of a request.
enum Tried {
    Answer(Response),
    Again { error: Error, newer: Option<Epoch> },
    Failed(Error),
}

impl Tried {
    /// Whether asking further would change nothing.
    fn is_answer(&self) -> bool {
        matches!(self, Self::Answer(_) | Self::Failed(_))
    }
}

impl Router {
    /// A router that prefers members of `data_centre`; `try_timeout` limits one attempt of a read.
    #[must_use]
    pub fn new(
        env: crate::base::Env,
        peers: Arc<Peers>,
        source: Arc<dyn TopologySource>,
        data_centre: Option<String>,
        try_timeout: Duration,
    ) -> Self {
        Self { env, peers, source, data_centre, try_timeout }
    }

    /// Reads the record of a key, encoded, through one of its owners, or for a sloppy read one of its fallbacks; `me` is
    /// the member that asks, if it may coordinate the read itself.
    ///
    /// # Errors
    /// That of the last member tried.
    pub async fn read(
        &self,
        request: &ReadRequest,
        me: Option<NodeNumber>,
    ) -> Result<Routed<(Option<Bytes>, Time)>> {
        let make = |route: Route, deadline: Deadline| Request::Read {
            route,
            key: request.key.clone(),
            need: need_of(request.level),
            timeout_ms: timeout_ms(deadline),
        };
        let asked = Asked {
            bucket: request.bucket,
            key: &request.key,
            deadline: request.deadline,
            sloppy: request.sloppy,
            idempotent: true,
            me,
        };
        match self.route(&asked, &make).await? {
            None => Ok(Routed::Mine),
            Some(Response::Record { record, now }) => Ok(Routed::Answered((record, now))),
            Some(other) => Err(unexpected(&other)),
        }
    }

    /// Writes a key through one of its owners, or for a sloppy write one of its fallbacks; `me` as for `read`.
    ///
    /// # Errors
    /// That of the last member tried; `maybe_applied` if any of them may have stored it.
    pub async fn write(&self, request: &WriteRequest, me: Option<NodeNumber>) -> Result<Routed<Written>> {
        let make = |route: Route, deadline: Deadline| Request::Write {
            route,
            key: request.key.clone(),
            change: request.change.clone(),
            expires: request.expiry,
            context: request.context.as_ref().map(Clock::encode),
            need: need_of(request.level),
            floor: request.floor,
            timeout_ms: timeout_ms(deadline),
        };
        let asked = Asked {
            bucket: request.bucket,
            key: &request.key,
            deadline: request.deadline,
            sloppy: request.sloppy,
            idempotent: false,
            me,
        };
        match self.route(&asked, &make).await? {
            None => Ok(Routed::Mine),
            Some(Response::Written { dot, clock, owners, fallbacks, now }) => Ok(Routed::Answered(Written {
                dot,
                clock: Clock::decode(&clock)?,
                owners: owners.into(),
                fallbacks: fallbacks.into(),
                now,
            })),
            Some(other) => Err(unexpected(&other).maybe_applied_if(true)),
        }
    }

    /// Reads one page of a scan through any member.
    ///
    /// # Errors
    /// That of the last member tried.
    pub async fn scan(&self, request: &ScanRequest) -> Result<ScannedPage> {
        let mut topology = current(self.source.as_ref())?;
        let mut last_error = None;
        for node in self.in_order(&topology, topology.members.keys().copied()) {
            let deadline = self.attempt(request.deadline, true);
            let scan = Request::Scan {
                bucket: request.bucket,
                epoch: topology.epoch,
                after: request.after.clone(),
                inclusive: request.inclusive,
                end: request.end.clone(),
                prefix: request.prefix.clone(),
                items_max: request.items_max,
                bytes_max: 4 << 20,
                need: need_of(request.level),
                timeout_ms: timeout_ms(deadline),
                values: true,
                sloppy: request.sloppy,
            };
            match self.peers.call(node, scan, deadline).await {
                Ok(Response::Page { items, more, now }) => return decode_page(items, more, now),
                Ok(Response::Failed(error)) if !error.retryable() => return Err(error),
                Ok(Response::Failed(error)) | Err(error) => last_error = Some(error),
                Ok(Response::StaleEpoch { epoch }) => {
                    // The next member is asked under the topology that this one knows.
                    self.source.refresh(epoch, request.deadline).await?;
                    topology = current(self.source.as_ref())?;
                    last_error = Some(behind(node, epoch));
                }
                Ok(other) => last_error = Some(unexpected(&other)),
            }
            if request.deadline.passed() {
                break;
            }
        }
        Err(last_error.unwrap_or_else(|| Error::new(ErrorKind::QuorumUnavailable, "no member is known")))
    }

    /// Tries members in order until one answers; none: it is the turn of the member that asks.
    async fn route(
        &self,
        asked: &Asked<'_>,
        make: &(dyn Fn(Route, Deadline) -> Request + Send + Sync),
    ) -> Result<Option<Response>> {
        let Asked { bucket, key, deadline, sloppy, idempotent, me } = *asked;
        let mut last_error = None;
        for round in 0..ROUNDS {
            let topology = current(self.source.as_ref())?;
            let partition = topology.partition_of(bucket, key);
            let spec = topology.buckets.get(&bucket).ok_or_else(|| gone(bucket))?;
            let route = Route { bucket, partition, epoch: topology.epoch, sloppy };
            let mut newer = None;
            let mut nodes = self.coordinators(&topology, partition, spec, asked).into_iter().peekable();
            while let Some(node) = nodes.next() {
                if Some(node) == me {
                    return Ok(None);
                }
                let attempt = self.attempt(deadline, idempotent);
                let first = self.attempt_at(node, make(route, attempt), attempt, idempotent);
                let tried = if idempotent {
                    // Its own turn comes only when the first has failed: the member that asks is not one of those asked.
                    let later = || {
                        let next = nodes.next_if(|node| Some(*node) != me);
                        next.map(|node| self.attempt_at(node, make(route, attempt), attempt, true))
                    };
                    self.hedged(node, first, later).await
                } else {
                    first.await
                };
                match tried {
                    Tried::Answer(response) => return Ok(Some(response)),
                    Tried::Failed(error) => return Err(error),
                    Tried::Again { error, newer: heard } => {
                        last_error = Some(error);
                        newer = newer.max(heard);
                    }
                }
                if deadline.passed() {
                    return Err(last_error.unwrap_or_else(passed));
                }
            }
            match newer {
                Some(epoch) => self.source.refresh(epoch, deadline).await?,
                None if round + 1 < ROUNDS => self.env.sleep(ROUND_PAUSE.min(deadline.remaining())).await,
                None => {}
            }
        }
        Err(last_error.unwrap_or_else(passed))
    }

    /// Waits for an attempt as long as its member usually takes; then another is asked too, and the first answer counts.
    async fn hedged<F: Future<Output = Tried>>(
        &self,
        node: NodeNumber,
        first: impl Future<Output = Tried>,
        later: impl FnOnce() -> Option<F>,
    ) -> Tried {
        let mut first = std::pin::pin!(first);
        tokio::select! {
            biased;
            tried = &mut first => return tried,
            () = self.env.sleep(self.peers.hedge(&[node])) => {}
        }
        let Some(second) = later() else { return first.await };
        let mut second = std::pin::pin!(second);
        tokio::select! {
            biased;
            tried = &mut first => if tried.is_answer() { tried } else { second.await },
            // One that fails leaves the rest to the next member; the first is waited for no longer.
            tried = &mut second => tried,
        }
    }

    async fn attempt_at(
        &self,
        node: NodeNumber,
        request: Request,
        deadline: Deadline,
        idempotent: bool,
    ) -> Tried {
        match self.peers.call(node, request, deadline).await {
            Ok(Response::StaleEpoch { epoch } | Response::NotOwner { epoch }) => {
                Tried::Again { error: behind(node, epoch), newer: Some(epoch) }
            }
            Ok(Response::Failed(error)) => {
                // A member that is closing or full, or whose clock is wrong, leaves the work to another.
                let elsewhere = [ErrorKind::Closed, ErrorKind::ClockSkew, ErrorKind::StorageFull];
                let again = error.retryable() || elsewhere.contains(&error.kind());
                if again && (idempotent || !error.maybe_applied()) {
                    Tried::Again { error, newer: None }
                } else {
                    Tried::Failed(error)
                }
            }
            Ok(response) => Tried::Answer(response),
            Err(error) => {
                let applied = error.maybe_applied() && !idempotent;
                let error = unreachable_member(node, &error).maybe_applied_if(applied);
                if applied { Tried::Failed(error) } else { Tried::Again { error, newer: None } }
            }
        }
    }

    /// Who may coordinate a request, in the order to try them: healthy owners, healthy fallbacks if it is sloppy, and
    /// then those that will hardly answer.
    fn coordinators(
        &self,
        topology: &Topology,
        partition: PartitionId,
        bucket: &BucketSpec,
        asked: &Asked<'_>,
    ) -> Vec<NodeNumber> {
        let mut nodes = self.in_order(topology, topology.owners(partition, &bucket.n).into_iter());
        if asked.sloppy {
            nodes.extend(self.in_order(topology, topology.fallbacks(partition, &bucket.n).into_iter()));
            nodes.sort_by_key(|node| Some(*node) != asked.me && !self.peers.is_healthy(*node));
        }
        nodes
    }

    /// Members of the own data centre first, those that failed lately last.
    fn in_order(&self, topology: &Topology, nodes: impl Iterator<Item = NodeNumber>) -> Vec<NodeNumber> {
        let mut nodes: Vec<_> = nodes.collect();
        nodes.sort_by_key(|node| {
            let here = topology.members.get(node).map(|member| member.location.data_centre());
            let remote = self.data_centre.as_deref().is_some_and(|ours| here != Some(ours));
            (self.peers.avoided(*node), remote)
        });
        nodes
    }

    fn attempt(&self, deadline: Deadline, idempotent: bool) -> Deadline {
        if idempotent { deadline.min(self.env.deadline(self.try_timeout)) } else { deadline }
    }
}

fn decode_page(items: Vec<crate::wire::PageItem>, more: bool, now: Time) -> Result<ScannedPage> {
    let last = items.last().map(|item| item.key.clone()).unwrap_or_default();
    let decode = |item: crate::wire::PageItem| Ok((item.key, encoding::decode(&item.content)?));
    let items = items.into_iter().map(decode).collect::<Result<_>>()?;
    Ok(ScannedPage { items, more, last, now })
}

fn timeout_ms(deadline: Deadline) -> u32 {
    u32::try_from(deadline.remaining().as_millis()).unwrap_or(u32::MAX).max(1)
}

fn behind(node: NodeNumber, epoch: Epoch) -> Error {
    Error::new(ErrorKind::QuorumUnavailable, format!("n{node} is at epoch {epoch}"))
}

fn passed() -> Error {
    Error::new(ErrorKind::Timeout, "the deadline passed")
}

fn gone(bucket: BucketId) -> Error {
    Error::new(ErrorKind::NoSuchBucket, format!("bucket number {bucket} does not exist"))
}

fn unexpected(response: &Response) -> Error {
    Error::corrupt(format!("an answer of the wrong kind: {:?}", response.kind()))
}

fn unreachable_member(node: NodeNumber, error: &Error) -> Error {
    let kind = match error.kind() {
        ErrorKind::Timeout => ErrorKind::Timeout,
        ErrorKind::Overloaded => ErrorKind::Overloaded,
        _ => ErrorKind::QuorumUnavailable,
    };
    Error::new(kind, format!("n{node}: {}", error.message())).with_detail(error.detail().clone())
}

/// A level as it stands in a request.
#[must_use]
pub fn need_of(level: Level) -> Need {
    match level {
        Level::Count(count) => Need::Count(count),
        Level::Consistency(named) => Need::Level(named.code()),
    }
}

/// The level of a request; `bucket` is what holds when it says none.
///
/// # Errors
/// `InvalidArgument` for a code that names no level.
pub fn level_of(need: Need, bucket: Level) -> Result<Level> {
    match need {
        Need::Default => Ok(bucket),
        Need::Count(count) => Ok(Level::Count(count)),
        Need::Level(code) => Consistency::from_code(code)
            .map(Level::Consistency)
            .ok_or_else(|| Error::invalid(format!("consistency code {code} names no level"))),
    }
}
