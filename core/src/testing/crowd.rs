//! A crowd of members that gossip without a network: the shipped deciders, each message encoded and counted, with losses
//! as a rule says. For what a thousand members cost and for a thousand schedules of losses.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use tokio::time::Instant;

use crate::base::ids::{Epoch, NodeNumber, Time};
use crate::membership::gossip::{Ack, Syn};
use crate::membership::{Evidence, Members, Standing, State, Timing};
use crate::wire::control::{self, Kind, proto};

/// The default settings' interval between rounds.
pub const INTERVAL: Duration = Duration::from_millis(500);

/// How a member fares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// It runs.
    Well,
    /// Its process is gone: who dials it is refused.
    Dead,
    /// It stands still: who asks it hears nothing.
    Paused,
}

/// Decides whether a message from one member to another is lost; the number is random.
pub type Loss = Box<dyn FnMut(NodeNumber, NodeNumber, u64) -> bool>;

/// Members that gossip.
pub struct Crowd {
    members: BTreeMap<NodeNumber, Members>,
    conditions: BTreeMap<NodeNumber, Condition>,
    random: SmallRng,
    loss: Loss,
    now: Instant,
    bytes: u64,
    refused: u64,
}

impl std::fmt::Debug for Crowd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crowd").field("size", &self.members.len()).finish_non_exhaustive()
    }
}

impl Crowd {
    /// A crowd whose members know each other's names and nothing else.
    #[must_use]
    pub fn new(size: u32, seed: u64, now: Instant, loss: Loss) -> Self {
        let numbers = || (1..=size).map(NodeNumber);
        let member = |number: NodeNumber| {
            let own = State {
                number,
                address: format!("10.0.{}.{}:7400", number.0 / 256, number.0 % 256),
                start: 1,
                heartbeat: 0,
                version: 1,
                epoch: Epoch { era: 0, number: 7 },
                load: 0,
                suspects: BTreeSet::new(),
                now: Time::from_unix_ms(1_700_000_000_000),
            };
            let mut members = Members::new(own, Timing { interval: INTERVAL });
            members.admit(numbers(), now);
            members
        };
        Self {
            members: numbers().map(|number| (number, member(number))).collect(),
            conditions: numbers().map(|number| (number, Condition::Well)).collect(),
            random: SmallRng::seed_from_u64(seed),
            loss,
            now,
            bytes: 0,
            refused: 0,
        }
    }

    /// Sets how a member fares.
    pub fn set(&mut self, node: NodeNumber, condition: Condition) {
        self.conditions.insert(node, condition);
    }

    /// Sets which messages are lost.
    pub fn set_loss(&mut self, loss: Loss) {
        self.loss = loss;
    }

    /// Lets every member know every other's state, as in a cluster in which nothing has changed for long.
    pub fn acquaint(&mut self) {
        let states: Vec<State> = self.members.values().map(|members| members.own().clone()).collect();
        for members in self.members.values_mut() {
            members.take_states(states.clone(), self.now, &mut |_, _| self.refused += 1);
        }
    }

    /// Lets every member that runs do one round, spread over one interval; gives the bytes that were sent.
    pub fn round(&mut self) -> u64 {
        let before = self.bytes;
        let numbers: Vec<NodeNumber> = self.members.keys().copied().collect();
        let step = INTERVAL / u32::try_from(numbers.len().max(1)).unwrap_or(1);
        for node in numbers {
            self.now += step;
            if self.conditions.get(&node) == Some(&Condition::Well) {
                self.turn(node);
            }
        }
        self.bytes - before
    }

    /// How `of` stands in the eyes of `at`.
    #[must_use]
    pub fn standing(&self, at: NodeNumber, of: NodeNumber) -> Standing {
        self.members.get(&at).map_or(Standing::Unheard, |members| members.standing(of))
    }

    /// How many members that run hold `of` to be so.
    #[must_use]
    pub fn holding(&self, of: NodeNumber, standing: Standing) -> usize {
        let well = self.conditions.iter().filter(|(_, condition)| **condition == Condition::Well);
        well.filter(|(at, _)| **at != of && self.standing(**at, of) == standing).count()
    }

    /// Messages whose contents were refused; of honest members there are none.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn turn(&mut self, node: NodeNumber) {
        let (now, random) = (self.now, &mut self.random);
        let Some(members) = self.members.get_mut(&node) else { return };
        let (epoch, address) = (members.own().epoch, members.own().address.clone());
        members.beat(epoch, &address, 0);
        members.judge(now);
        let peers = members.peers(|bound| random.next_u64() % bound.max(1));
        for peer in peers {
            self.exchange(node, peer);
        }
    }

    fn lost(&mut self, from: NodeNumber, to: NodeNumber) -> bool {
        let random = self.random.next_u64();
        (self.loss)(from, to, random)
    }

    fn exchange(&mut self, node: NodeNumber, peer: NodeNumber) {
        let evidence = match self.conditions.get(&peer) {
            Some(Condition::Well) => return self.converse(node, peer),
            Some(Condition::Paused) => Evidence::Unanswered,
            Some(Condition::Dead) | None => Evidence::Refused,
        };
        self.see(node, peer, evidence);
    }

    fn see(&mut self, node: NodeNumber, peer: NodeNumber, evidence: Evidence) {
        if let Some(members) = self.members.get_mut(&node) {
            members.see(peer, evidence);
        }
    }

    fn converse(&mut self, node: NodeNumber, peer: NodeNumber) {
        let (now, mut refused) = (self.now, 0);
        let random = &mut self.random;
        let mut draw = |bound: u64| random.next_u64() % bound.max(1);
        let Some(syn) = self.members.get_mut(&node).map(|members| members.syn(&mut draw)) else { return };
        self.bytes += syn_bytes(&syn);
        if self.lost(node, peer) {
            return self.see(node, peer, Evidence::Unanswered);
        }
        let random = &mut self.random;
        let mut draw = |bound: u64| random.next_u64() % bound.max(1);
        let Some(members) = self.members.get_mut(&peer) else { return };
        let ack = members.ack(syn, now, &mut draw, &mut |_, _| refused += 1);
        self.bytes += ack_bytes(&ack);
        if self.lost(peer, node) {
            return self.see(node, peer, Evidence::Unanswered);
        }
        let Some(members) = self.members.get_mut(&node) else { return };
        let delta = members.take_ack(ack, now, &mut |_, _| refused += 1);
        if !delta.is_empty() {
            self.bytes += delta_bytes(&delta);
            if !self.lost(node, peer)
                && let Some(members) = self.members.get_mut(&peer)
            {
                members.take_states(delta, now, &mut |_, _| refused += 1);
            }
        }
        self.refused += refused;
    }
}

fn bytes_of(kind: Kind) -> u64 {
    control::encode(kind).len() as u64
}

fn cluster() -> bytes::Bytes {
    bytes::Bytes::from_static(&[7; 16])
}

fn syn_bytes(syn: &Syn) -> u64 {
    bytes_of(Kind::Gossip(proto::Gossip {
        cluster: cluster(),
        self_: Some(syn.own.clone().into()),
        digests: syn.digests.iter().map(|digest| (*digest).into()).collect(),
    }))
}

fn ack_bytes(ack: &Ack) -> u64 {
    bytes_of(Kind::GossipReply(proto::GossipReply {
        self_: Some(ack.own.clone().into()),
        states: ack.states.iter().cloned().map(proto::State::from).collect(),
        wanted: ack.wanted.iter().map(|node| node.0).collect(),
        digests: ack.digests.iter().map(|digest| (*digest).into()).collect(),
    }))
}

fn delta_bytes(states: &[State]) -> u64 {
    bytes_of(Kind::GossipDelta(proto::GossipDelta {
        cluster: cluster(),
        states: states.iter().cloned().map(proto::State::from).collect(),
    }))
}
