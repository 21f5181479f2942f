//! How a client learns: any member that it knows tells the topology and the members' addresses.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::base::env::{BoxFuture, Deadline, Env};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::{Epoch, NodeNumber};
use crate::client::{EventsPage, EventsRequest, ExplainRequest, Explanation, Peers, TopologySource};
use crate::ring::{BucketSpec, Topology};
use crate::store::{MemberInfo, Status};
use crate::wire::control::proto::change::Change as ChangeKind;
use crate::wire::control::proto::{Change, FetchTopology, Peer, StatusReply, TopologyReply};
use crate::wire::control::{self, Kind};
use crate::wire::{Request, Response};

/// The pause between rounds over all addresses.
const ROUND_PAUSE: Duration = Duration::from_millis(50);

/// The newest topology that some member has told.
#[derive(Debug)]
pub(super) struct FetchedTopology {
    env: Env,
    peers: Arc<Peers>,
    seeds: Vec<String>,
    current: watch::Sender<Option<Arc<Topology>>>,
}

impl FetchedTopology {
    pub(super) fn new(env: Env, peers: Arc<Peers>, seeds: Vec<String>) -> Self {
        Self { env, peers, seeds, current: watch::Sender::new(None) }
    }

    /// Members first, by their last known addresses, then the seeds.
    fn addresses(&self) -> Vec<String> {
        let known = self.peers.addresses();
        let mut known: Vec<_> = known
            .into_iter()
            .map(|(node, address)| (self.peers.avoided(node), address.to_string()))
            .collect();
        known.sort_by_key(|(avoided, _)| *avoided);
        let mut addresses: Vec<String> = known.into_iter().map(|(_, address)| address).collect();
        addresses
            .extend(self.seeds.iter().filter(|seed| !addresses.contains(seed)).cloned().collect::<Vec<_>>());
        addresses
    }

    /// Asks one address after the other until one answers.
    async fn ask(&self, kind: &Kind, deadline: Deadline) -> Result<Kind> {
        self.ask_each(self.addresses(), kind, || deadline).await
    }

    async fn ask_each(
        &self,
        addresses: Vec<String>,
        kind: &Kind,
        deadline: impl Fn() -> Deadline + Send + Sync,
    ) -> Result<Kind> {
        let mut reasons = String::new();
        for address in addresses {
            let request = Request::Control(control::encode(kind.clone()));
            let reply = self.peers.pool().call(&address, request, deadline()).await;
            match reply.and_then(Response::into_result) {
                Ok(Response::Control(bytes)) => match control::accept_reply(control::decode(&bytes)?) {
                    Err(error) if error.retryable() => reasons.push_str(&format!("; {address}: {error}")),
                    reply => return reply,
                },
                Ok(other) => reasons.push_str(&format!("; {address}: answered with {:?}", other.kind())),
                Err(error) => reasons.push_str(&format!("; {address}: {}", error.message())),
            }
        }
        Err(Error::new(ErrorKind::QuorumUnavailable, format!("no member answered{reasons}")))
    }

    async fn fetch(&self, deadline: Deadline) -> Result<()> {
        let ours = self.current();
        let fetch = Kind::FetchTopology(FetchTopology {
            cluster: ours.as_ref().map(|topology| topology.cluster.0.to_vec().into()).unwrap_or_default(),
            have: ours.map(|topology| topology.epoch.into()),
        });
        match self.ask(&fetch, deadline).await? {
            Kind::TopologyReply(reply) => self.take(reply),
            _ => Err(control::unexpected_reply("a request for the topology")),
        }
    }

    fn take(&self, reply: TopologyReply) -> Result<()> {
        if let Some(topology) = reply.topology {
            let topology = Topology::try_from(topology)?;
            if let Some(ours) = self.current()
                && ours.cluster != topology.cluster
            {
                let text = format!(
                    "the client belongs to cluster {}, the member to {}",
                    ours.cluster, topology.cluster
                );
                return Err(Error::invalid(text));
            }
            self.current.send_if_modified(|current| {
                let newer = current.as_ref().is_none_or(|current| current.epoch < topology.epoch);
                if newer {
                    *current = Some(Arc::new(topology));
                }
                newer
            });
        }
        for Peer { number, address, .. } in reply.peers {
            self.peers.locate(NodeNumber(number), &address);
        }
        Ok(())
    }

    pub(super) async fn create_bucket(&self, spec: &BucketSpec, deadline: Deadline) -> Result<()> {
        let change = Kind::Change(Change { change: Some(ChangeKind::CreateBucket(spec.into())) });
        match self.ask(&change, deadline).await? {
            Kind::ChangeReply(reply) => {
                self.take(TopologyReply { topology: reply.topology, ..TopologyReply::default() })
            }
            _ => Err(control::unexpected_reply("a change")),
        }
    }

    pub(super) async fn explain(&self, request: &ExplainRequest) -> Result<Explanation> {
        let explain = Kind::Explain(control::proto::Explain {
            bucket: request.bucket.0,
            key: request.key.clone(),
            epoch: self.current().map(|topology| topology.epoch.into()),
            timeout_ms: u32::try_from(request.deadline.remaining().as_millis()).unwrap_or(u32::MAX),
        });
        match self.ask(&explain, request.deadline).await? {
            Kind::ExplainReply(reply) => reply.try_into(),
            _ => Err(control::unexpected_reply("a request to explain")),
        }
    }

    /// Asks the member that the last page came from, then the others. `patience` is added to the wait for an event.
    pub(super) async fn events(&self, request: &EventsRequest, patience: Duration) -> Result<EventsPage> {
        let wait = Duration::from_millis(request.wait_ms.into());
        let fetch = Kind::FetchEvents(request.into());
        let mut addresses = self.addresses();
        if let Some(same) = self.address_of(&request.source) {
            addresses.retain(|address| *address != same);
            addresses.insert(0, same);
        }
        let reply = self.ask_each(addresses, &fetch, || self.env.deadline(wait + patience)).await?;
        match reply {
            Kind::EventsReply(reply) => reply.try_into(),
            _ => Err(control::unexpected_reply("a request for events")),
        }
    }

    /// Where the member is reached whose numbers a page of events carries.
    fn address_of(&self, source: &str) -> Option<String> {
        let topology = self.current()?;
        let (id, _start) = source.rsplit_once('/')?;
        let address = self.peers.address(topology.member_with_id(id)?.number)?;
        Some(address.to_string())
    }

    pub(super) async fn status(&self, deadline: Deadline) -> Result<Status> {
        match self.ask(&Kind::Status(control::proto::Status {}), deadline).await? {
            Kind::StatusReply(reply) => Ok(status_of(reply)),
            _ => Err(control::unexpected_reply("a request for status")),
        }
    }
}

fn status_of(reply: StatusReply) -> Status {
    let members = reply.members.into_iter().map(|member| MemberInfo {
        id: member.id,
        number: member.number,
        address: member.address,
        location: member.location,
        state: member.state,
        owns: member.owns,
        hints_pending: member.hints_pending,
        version: member.version,
    });
    Status {
        health: reply.health,
        available: reply.available,
        epoch: control::epoch(reply.epoch).number,
        partitions: reply.partitions,
        partitions_available: reply.partitions_available,
        partitions_moving: reply.partitions_moving,
        members: members.collect(),
        notes: reply.notes,
    }
}

impl TopologySource for FetchedTopology {
    fn current(&self) -> Option<Arc<Topology>> {
        self.current.borrow().clone()
    }

    fn refresh(&self, least: Epoch, deadline: Deadline) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            loop {
                let fetched = self.fetch(deadline).await;
                if self.current().is_some_and(|topology| topology.epoch >= least) {
                    return Ok(());
                }
                if deadline.remaining() <= ROUND_PAUSE {
                    return match fetched {
                        Err(error) => Err(error),
                        Ok(()) => Err(Error::new(
                            ErrorKind::QuorumUnavailable,
                            "no member belongs to a cluster yet",
                        )),
                    };
                }
                // Wrong addresses are known at once and do not get better by waiting; a member that starts does.
                if let Err(error) = fetched
                    && !error.retryable()
                {
                    return Err(error);
                }
                self.env.sleep(ROUND_PAUSE).await;
            }
        })
    }
}
