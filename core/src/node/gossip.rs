//! Gossip: each round this node tells a few members how far it has heard the others, and acts on what it learns: whom it
//! suspects, who counts as down, where everybody is reached, whose topology is newer, whose clock is off. Membership
//! decides; this file drives it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::NodeCore;
use crate::base::error::{Error, Result};
use crate::base::events::EventKind;
use crate::base::ids::{NodeNumber, Time};
use crate::client::{Sight, TopologySource};
use crate::membership::gossip::{Ack, Syn};
use crate::membership::messages::check_lists;
use crate::membership::{Evidence, Members, Refused, State, Turn};
use crate::ring::Topology;
use crate::wire::control::{self, Kind, proto};
use crate::wire::{Done, Hello, Request, Response};

impl NodeCore {
    pub(super) fn gossip_interval(&self) -> Duration {
        Duration::from_millis(self.settings.gossip_interval_ms)
    }

    /// Gossips for as long as this node runs.
    pub(super) async fn gossip(self: Arc<Self>) {
        let interval = self.gossip_interval();
        while !self.closed() {
            self.look_at_clocks();
            self.gossip_round();
            // What fails here is stored with a later round.
            let _stored = self.store_peers().await;
            // A tenth of jitter keeps nodes that started together from speaking at once.
            let jitter = self.env.random_below(self.settings.gossip_interval_ms / 10 + 1);
            self.wait_for_round(interval + Duration::from_millis(jitter)).await;
        }
    }

    /// Waits for the next round. A connection that ended is looked into at once, as its member may have died; once in a
    /// round, as one that turns this node away ends each connection.
    async fn wait_for_round(self: &Arc<Self>, pause: Duration) {
        let deadline = self.env.deadline(pause);
        let mut looked = BTreeSet::new();
        loop {
            let lost = tokio::select! {
                biased;
                lost = self.peers.pool().lost() => lost,
                () = self.suspecting.notified() => {
                    self.gossip_round();
                    continue;
                }
                () = self.env.sleep(deadline.remaining()) => return,
            };
            let located = self.peers.addresses();
            for (node, _) in located.iter().filter(|(_, address)| lost.contains(&**address)) {
                if looked.insert(*node) {
                    self.gossip_with(*node);
                }
            }
        }
    }

    fn gossip_round(self: &Arc<Self>) {
        let (Some(topology), Some(address)) = (self.topology.current(), self.address.get()) else { return };
        let now = self.env.now();
        let load = self.gate.under_way.load(Ordering::Relaxed).next_power_of_two().ilog2();
        let peers = self.topology.with_members(|members| {
            members.admit(topology.members.keys().copied(), now);
            members.beat(topology.epoch, address, load);
            members.judge(now);
            members.peers(|bound| self.env.random_below(bound))
        });
        self.act_on_judgement();
        for node in peers.iter().flatten() {
            self.gossip_with(*node);
        }
        // After a loss of power nobody may know anybody: the seeds bring the members together again.
        let me = self.number();
        if topology.members.keys().any(|node| Some(*node) != me && self.peers.address(*node).is_none()) {
            for seed in self.settings.seeds.iter().filter(|seed| *seed != address) {
                self.gossip_at(seed);
            }
        }
    }

    /// Judges the members anew and tells whoever needs to know. A new suspicion is told to others at once.
    fn judge(self: &Arc<Self>) {
        let now = self.env.now();
        let changed = self.topology.with_members(|members| members.judge(now)).unwrap_or(false);
        self.act_on_judgement();
        if changed {
            self.suspecting.notify_one();
        }
    }

    fn act_on_judgement(&self) {
        let judged = self.topology.with_members(|members| (members.down(), members.take_turns()));
        let Some((down, turns)) = judged else { return };
        self.peers.set_down(down);
        for (node, turn) in turns {
            let (kind, detail) = match turn {
                Turn::Up => (EventKind::MemberUp, "heard"),
                Turn::Suspected => (EventKind::MemberSuspected, "silent, or its port is closed"),
                Turn::Down => (EventKind::MemberDown, "enough members suspect it"),
                Turn::Restarted => (EventKind::MemberRestarted, "it shows a later start number"),
            };
            self.events.publish(self.env.unix_ms(), kind, Some(node), detail);
        }
    }

    fn gossip_with(self: &Arc<Self>, node: NodeNumber) {
        let Some((request, bytes)) = self.syn() else { return };
        self.gossip_bytes.fetch_add(bytes, Ordering::Relaxed);
        let deadline = self.env.deadline(self.gossip_interval() * 2);
        self.peers.submit(node, request, deadline, self.done(Some(node)));
    }

    /// Gossips with whoever listens at an address.
    fn gossip_at(self: &Arc<Self>, address: &str) {
        let Some((request, _)) = self.syn() else { return };
        let deadline = self.env.deadline(self.gossip_interval() * 2);
        self.peers.pool().submit(address, request, deadline, |_| Ok(()), self.done(None));
    }

    /// Takes the reply of a member, or of whoever answered.
    fn done(self: &Arc<Self>, from: Option<NodeNumber>) -> Done {
        let core = Arc::downgrade(self);
        Box::new(move |reply| {
            if let (Some(core), Ok(Response::Control(bytes))) = (core.upgrade(), reply) {
                core.take_gossip_reply(from, &bytes);
            }
        })
    }

    fn syn(&self) -> Option<(Request, u64)> {
        let cluster = Bytes::copy_from_slice(&self.topology.current()?.cluster.0);
        let random = |bound| self.env.random_below(bound);
        let Syn { own, digests } = self.topology.with_members(|members| members.syn(random))?;
        let gossip = Kind::Gossip(proto::Gossip {
            cluster,
            self_: Some(self.own_message(&own)),
            digests: digests.iter().map(|digest| (*digest).into()).collect(),
        });
        let bytes = control::encode(gossip);
        let length = bytes.len() as u64;
        Some((Request::Control(bytes), length))
    }

    /// Answers a member's gossip. `hello` is how it introduced itself on this connection.
    pub(super) fn answer_gossip(self: &Arc<Self>, gossip: proto::Gossip, hello: &Hello) -> Result<Kind> {
        self.check_cluster(&gossip.cluster)?;
        check_lists(&[gossip.digests.len()], gossip.self_.iter())?;
        let own = self.own_word(gossip.self_, hello)?;
        self.take_word(&own);
        let syn = Syn { own, digests: gossip.digests.iter().map(|digest| (*digest).into()).collect() };
        let (now, random) = (self.env.now(), |bound| self.env.random_below(bound));
        let ack = self
            .topology
            .with_members(|members| members.ack(syn, now, random, &mut |node, why| self.refuse(node, why)))
            .ok_or_else(crate::client::no_cluster)?;
        self.locate_members();
        self.judge();
        Ok(Kind::GossipReply(proto::GossipReply {
            self_: Some(self.own_message(&ack.own)),
            states: ack.states.into_iter().map(proto::State::from).collect(),
            wanted: ack.wanted.iter().map(|node| node.0).collect(),
            digests: ack.digests.iter().map(|digest| (*digest).into()).collect(),
        }))
    }

    /// Takes the states that this node said it lacks.
    pub(super) fn answer_gossip_delta(self: &Arc<Self>, delta: proto::GossipDelta) -> Result<Kind> {
        self.check_cluster(&delta.cluster)?;
        check_lists(&[delta.states.len()], delta.states.iter())?;
        let states = delta.states.into_iter().map(State::from).collect();
        self.take_states(states);
        Ok(Kind::GossipReply(proto::GossipReply::default()))
    }

    fn take_gossip_reply(self: &Arc<Self>, from: Option<NodeNumber>, bytes: &Bytes) {
        let Ok(Kind::GossipReply(reply)) = control::decode(bytes) else { return };
        let lists = [reply.states.len(), reply.wanted.len(), reply.digests.len()];
        let Some(own) = reply.self_.clone().map(State::from) else { return };
        if check_lists(&lists, reply.states.iter().chain(&reply.self_)).is_err()
            || from.is_some_and(|from| from != own.number)
        {
            return self.refuse(own.number, Refused::Unsound);
        }
        self.take_word(&own);
        let ack = Ack {
            own,
            states: reply.states.into_iter().map(State::from).collect(),
            wanted: reply.wanted.into_iter().map(NodeNumber).collect(),
            digests: reply.digests.iter().map(|digest| (*digest).into()).collect(),
        };
        let (now, node) = (self.env.now(), ack.own.number);
        let lacking = self
            .topology
            .with_members(|members| members.take_ack(ack, now, &mut |node, why| self.refuse(node, why)));
        self.locate_members();
        self.judge();
        if let (Some(states), Some(topology)) =
            (lacking.filter(|states| !states.is_empty()), self.topology.current())
        {
            let delta = Kind::GossipDelta(proto::GossipDelta {
                cluster: Bytes::copy_from_slice(&topology.cluster.0),
                states: states.into_iter().map(proto::State::from).collect(),
            });
            let bytes = control::encode(delta);
            self.gossip_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            // What is lost is told again in a later round.
            let deadline = self.env.deadline(self.gossip_interval() * 2);
            self.peers.submit(node, Request::Control(bytes), deadline, Box::new(drop));
        }
    }

    fn take_states(self: &Arc<Self>, states: Vec<State>) {
        let now = self.env.now();
        self.topology.with_members(|members| {
            members.take_states(states, now, &mut |node, why| self.refuse(node, why));
        });
        self.locate_members();
        self.judge();
    }

    /// What a request to a member showed.
    pub(super) fn sight(self: &Arc<Self>, node: NodeNumber, sight: Sight) {
        let evidence = match sight {
            Sight::Answered => Evidence::Answered,
            Sight::Refused => Evidence::Refused,
            Sight::Unanswered => Evidence::Unanswered,
        };
        self.topology.with_members(|members| members.see(node, evidence));
        if evidence != Evidence::Unanswered {
            self.judge();
        }
    }

    /// What a member says of itself must fit how it introduced itself.
    fn own_word(&self, own: Option<proto::State>, hello: &Hello) -> Result<State> {
        let own = own.map(State::from).ok_or_else(|| Error::invalid("gossip without its sender"))?;
        // A member that dialed before it was one has no number on that connection; its id is in the topology by now.
        let named = || {
            let topology = self.topology.current()?;
            let member = topology.member_with_id(&hello.id)?;
            self.judge_hello(member.number, hello).is_ok().then_some(member.number)
        };
        let speaker = hello.number.or_else(named);
        let fits = speaker == Some(own.number) && hello.start == own.start;
        if !fits {
            let reason = format!(
                "n{} with start {} speaks on a connection of start {}",
                own.number, own.start, hello.start
            );
            self.refused("gossip_impostor", Some(own.number), &reason);
            return Err(Error::invalid(reason));
        }
        Ok(own)
    }

    /// Takes a member's epoch and clock, as far as they are believed.
    fn take_word(self: &Arc<Self>, own: &State) {
        // A node that the topology does not name has no say, nor this one about itself, met under a seed's name.
        if self.number() == Some(own.number) {
            return;
        }
        if self.topology.current().is_none_or(|topology| !topology.members.contains_key(&own.number)) {
            return;
        }
        self.hear(own.epoch, Some(own.number));
        self.hear_clock(own.number, own.now);
    }

    pub(super) fn check_cluster(&self, cluster: &[u8]) -> Result<Arc<Topology>> {
        let topology = self.topology.current().ok_or_else(crate::client::no_cluster)?;
        if cluster != topology.cluster.0 {
            let reason = format!("this node belongs to cluster {}", topology.cluster);
            self.refused("gossip_foreign_cluster", None, &reason);
            return Err(Error::invalid(reason));
        }
        Ok(topology)
    }

    fn refuse(&self, node: NodeNumber, why: Refused) {
        let reason = match why {
            Refused::Stranger => format!("n{node} is no member"),
            Refused::OldStart => {
                format!("n{node} shows an earlier start than before: a clone, or a disk rolled back")
            }
            Refused::ForgedStart => {
                format!("others claim a start of n{node} far beyond what it showed itself")
            }
            Refused::Unsound => format!("what was said of n{node} breaks a limit"),
        };
        self.refused(why.name(), Some(node), &reason);
    }

    /// Counts a refusal, and tells of it now and then.
    pub(super) fn refused(&self, what: &'static str, node: Option<NodeNumber>, reason: &str) {
        if self.refusals.note(what, reason) {
            let detail = format!("{what}: {reason}");
            self.events.publish(self.env.unix_ms(), EventKind::Refused, node, detail);
        }
    }

    fn locate_members(&self) {
        self.topology.with_members(|members| {
            for state in members.states() {
                self.peers.locate(state.number, &state.address);
            }
        });
    }

    /// What this node says of itself, with its clock at this moment.
    fn own_message(&self, own: &State) -> proto::State {
        let mut own = own.clone();
        // What the wall clock says, even if this node does not believe it: where all clocks jump together, as those of one
        // machine that slept, the median does, and one alone moves nobody.
        own.now = self.hlc.read(self.clock.unbelieved_ms());
        own.into()
    }
}

/// The members of a node, made when it serves.
pub(super) fn members_of(core: &NodeCore, number: NodeNumber) -> Members {
    let own = State {
        number,
        address: core.address.get().cloned().unwrap_or_default(),
        start: core.identity.start,
        heartbeat: 0,
        version: 1,
        epoch: core.topology.current().map(|topology| topology.epoch).unwrap_or_default(),
        load: 0,
        suspects: BTreeSet::new(),
        now: Time(0),
    };
    Members::new(own, crate::membership::Timing { interval: core.gossip_interval() })
}
