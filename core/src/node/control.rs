//! Answering control messages: agreement, topology, joining, gossip, status.

use std::sync::Arc;

use bytes::Bytes;

use super::NodeCore;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::Epoch;
use crate::client::TopologySource;
use crate::membership::chain::Change;
use crate::membership::state::ADDRESS_BYTES_MAX;
use crate::ring::{BucketSpec, Member, Topology};
use crate::wire::control::proto::change::Change as Wanted;
use crate::wire::control::{self, Kind, proto};
use crate::wire::{Hello, Role};

/// Joins under way at once; more wait for the next round of gossip to be located.
const JOINERS_MAX: usize = 256;

impl NodeCore {
    /// Answers one control message; failures travel as messages, so that they keep their kind.
    pub(super) async fn answer_control(self: &Arc<Self>, bytes: Bytes, hello: &Hello) -> Result<Bytes> {
        let from_member = hello.role != Role::Client;
        let kind = control::decode(&bytes)?;
        let reply = match kind {
            // Founders are no members yet, and speak of their decree all the same: its name is their seed list.
            Kind::Prepare(_) | Kind::Accept(_) => self.answer_paxos(kind).await,
            Kind::Learn(learn) => self.answer_learn(learn, from_member).await,
            Kind::FetchTopology(fetch) => self.answer_fetch(&fetch),
            Kind::Join(join) => self.answer_join(join).await,
            Kind::Change(change) => self.answer_change(change).await,
            Kind::Gossip(gossip) => self.answer_gossip(gossip, hello),
            Kind::GossipDelta(delta) => self.answer_gossip_delta(delta),
            Kind::Status(_) => Ok(Kind::StatusReply(self.status_reply())),
            Kind::Inspect(_) | Kind::Explain(_) | Kind::FetchEvents(_) => self.answer_inquiry(kind).await,
            _ => Err(Error::invalid("a reply where a request was expected")),
        };
        Ok(control::encode(reply.unwrap_or_else(|error| Kind::Error((&error).into()))))
    }

    async fn answer_learn(self: &Arc<Self>, learn: proto::Learn, from_member: bool) -> Result<Kind> {
        if !from_member && self.topology.current().is_some() {
            return Err(Error::new(ErrorKind::Unauthorized, "only members tell of a new topology"));
        }
        // A joiner learns from its own request; a topology pushed at it by a stranger decides nothing.
        if self.topology.current().is_some()
            && let Some(topology) = learn.topology
        {
            self.learn(Topology::try_from(topology)?).await?;
            for peer in &learn.peers {
                self.topology.take_peer(peer);
            }
        }
        Ok(self.topology_reply(Epoch { era: u32::MAX, number: u64::MAX }))
    }

    fn answer_fetch(&self, fetch: &proto::FetchTopology) -> Result<Kind> {
        let topology = self.topology.current().ok_or_else(crate::client::no_cluster)?;
        if !fetch.cluster.is_empty() && fetch.cluster.as_ref() != topology.cluster.0 {
            return Err(Error::invalid(format!("this node belongs to cluster {}", topology.cluster)));
        }
        Ok(self.topology_reply(control::epoch(fetch.have)))
    }

    /// This node's epoch, its topology if that is newer than what the asker has, and the addresses.
    pub(super) fn topology_reply(&self, have: Epoch) -> Kind {
        let topology = self.topology.current();
        let epoch = topology.as_ref().map(|topology| topology.epoch).unwrap_or_default();
        let newer = topology.filter(|topology| topology.epoch > have);
        Kind::TopologyReply(proto::TopologyReply {
            epoch: Some(epoch.into()),
            topology: newer.map(|topology| topology.as_ref().into()),
            peers: self.peers_and_self(),
        })
    }

    async fn answer_join(self: &Arc<Self>, join: proto::Join) -> Result<Kind> {
        let member = join.member.ok_or_else(|| Error::invalid("a join without a member"))?;
        let member = Member::try_from(member)?;
        let id = member.id.clone();
        if join.address.len() > ADDRESS_BYTES_MAX {
            return Err(Error::invalid(format!("an address of {} bytes", join.address.len())));
        }
        let deadline = self.env.deadline(self.settings.timeout());
        if self.joiners.lock().len() < JOINERS_MAX {
            self.joiners.lock().insert(id.clone(), join.address);
        }
        let decided = self.propose(&Change::Join(member), deadline).await;
        self.joiners.lock().remove(&id);
        let topology = decided?;
        let joined = topology
            .member_with_id(&id)
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a member that joined is not in the topology"))?;
        Ok(Kind::JoinReply(proto::JoinReply {
            number: joined.number.0,
            topology: Some(topology.as_ref().into()),
            peers: self.peers_and_self(),
        }))
    }

    async fn answer_change(self: &Arc<Self>, change: proto::Change) -> Result<Kind> {
        let change = match change.change {
            Some(Wanted::CreateBucket(spec)) => Change::CreateBucket(BucketSpec::try_from(spec)?),
            Some(Wanted::Seal(_)) => Change::Seal,
            Some(Wanted::Join(_)) => return Err(Error::invalid("a node joins by a join")),
            None => return Err(Error::invalid("a change of an unknown kind")),
        };
        let deadline = self.env.deadline(self.settings.timeout());
        let topology = self.propose(&change, deadline).await?;
        Ok(Kind::ChangeReply(proto::ChangeReply { topology: Some(topology.as_ref().into()) }))
    }

    /// Where the members are reached, as far as this node knows, and this node itself.
    pub(super) fn peers_and_self(&self) -> Vec<proto::Peer> {
        let mut peers = self.topology.known_peers();
        let own = self.number().zip(self.address.get().cloned());
        peers.extend(own.map(|(number, address)| proto::Peer {
            number: number.0,
            address,
            start: self.identity.start,
        }));
        peers
    }

    /// Members that have just joined by this node are reached where they said.
    pub(super) fn locate_joiners(&self, topology: &Topology) {
        let joiners = std::mem::take(&mut *self.joiners.lock());
        for (id, address) in joiners {
            match topology.member_with_id(&id) {
                Some(member) => {
                    self.topology.take_peer(&proto::Peer { number: member.number.0, address, start: 0 });
                }
                None => drop(self.joiners.lock().insert(id, address)),
            }
        }
    }

    fn status_reply(&self) -> proto::StatusReply {
        let status = self.status_now();
        let topology = self.topology.current();
        let members = status.members.into_iter().map(|member| proto::NodeStatus {
            number: member.number,
            id: member.id,
            address: member.address,
            location: member.location,
            state: member.state,
            owns: member.owns,
            hints_pending: member.hints_pending,
            version: member.version,
        });
        proto::StatusReply {
            health: status.health,
            available: status.available,
            epoch: topology.as_ref().map(|topology| topology.epoch.into()),
            partitions: status.partitions,
            partitions_available: status.partitions_available,
            partitions_moving: status.partitions_moving,
            members: members.collect(),
            cluster: topology.as_ref().map(|t| Bytes::copy_from_slice(&t.cluster.0)).unwrap_or_default(),
            sealed: topology.is_some_and(|topology| topology.sealed),
            unsettled: u32::try_from(self.unsettled()).unwrap_or(u32::MAX),
            notes: status.notes,
        }
    }
}
