//! The chain under random schedules: messages lost, doubled and reordered, nodes that crash, changes that compete.
//! However it goes, every epoch has one topology, and once the network is quiet everyone reaches the same one.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::chain::{Chain, Change, Decree, Refusal, admit};
use crate::base::{ClusterId, Epoch, NodeNumber};
use crate::consensus::{Ballot, Promise, Proposer, Step};
use crate::ring::{BucketSpec, Location, Member, Replicas, Topology};
use crate::wire::control::{decode_topology, encode_topology};

const NODES: usize = 7;
const FOUNDERS: usize = 3;

#[derive(Clone, Debug)]
enum Event {
    Propose(usize, usize),
    Deliver(prop::sample::Index, bool),
    Lose(prop::sample::Index),
    Crash(usize),
}

#[derive(Clone, Debug)]
enum Body {
    Prepare(Decree, Ballot),
    Promise(Decree, Ballot, Promise),
    Accept(Decree, Ballot, Bytes),
    Accepted(Decree, Ballot, Ballot),
    Fetch,
    Learn(Bytes),
}

struct Mail {
    from: usize,
    to: usize,
    body: Body,
}

/// A node: what is on its disk, and the attempt that a crash forgets.
struct Node {
    entry: Bytes,
    round: u64,
    topology: Topology,
    attempt: Option<(Decree, Proposer)>,
}

struct World {
    nodes: Vec<Node>,
    mail: Vec<Mail>,
    decided: BTreeMap<Epoch, Bytes>,
}

fn member(index: usize) -> Member {
    Member {
        number: NodeNumber(0),
        id: format!("node{index}"),
        location: Location::parse(&format!("dc/zone{}", index % 4)).unwrap(),
        capacity: 1.0,
        durable: true,
    }
}

fn change(index: usize) -> Change {
    match index {
        0..4 => Change::Join(member(FOUNDERS + index)),
        4..6 => Change::CreateBucket(BucketSpec::named(format!("bucket{index}"), Replicas::Count(3))),
        _ => Change::Seal,
    }
}

impl World {
    fn new() -> Self {
        let default = BucketSpec::named("default", Replicas::Count(3));
        let founders = (0..FOUNDERS).map(member).collect();
        let topology = Topology::found(ClusterId([1; 16]), [2; 16], 8, default, founders, false).unwrap();
        let node = || Node { entry: Bytes::new(), round: 0, topology: topology.clone(), attempt: None };
        Self { nodes: (0..NODES).map(|_| node()).collect(), mail: Vec::new(), decided: BTreeMap::new() }
    }

    fn run(&mut self, event: &Event) {
        match event {
            Event::Propose(node, kind) => self.propose(*node, &change(*kind)),
            Event::Deliver(at, keep) if !self.mail.is_empty() => {
                let mail = self.mail.remove(at.index(self.mail.len()));
                if *keep {
                    self.mail.push(Mail { body: mail.body.clone(), ..mail });
                }
                self.deliver(mail);
            }
            Event::Lose(at) if !self.mail.is_empty() => drop(self.mail.remove(at.index(self.mail.len()))),
            Event::Crash(node) => self.nodes[*node].attempt = None,
            Event::Deliver(..) | Event::Lose(_) => {}
        }
    }

    fn number(&self, node: usize) -> Option<NodeNumber> {
        self.nodes[node].topology.member_with_id(&member(node).id).map(|member| member.number)
    }

    /// Where a member runs: ids are `node` with the index.
    fn place(topology: &Topology, number: NodeNumber) -> usize {
        topology.members[&number].id["node".len()..].parse().unwrap()
    }

    fn propose(&mut self, from: usize, change: &Change) {
        let Some(me) = self.number(from) else { return };
        let node = &mut self.nodes[from];
        let Some(next) = change.apply(&node.topology).unwrap() else { return };
        let decree = Decree { cluster: next.cluster, epoch: next.epoch };
        let ballot = Ballot::above(Ballot { round: node.round, node: me }, me);
        node.round = ballot.round;
        let voters = node.topology.voters.clone();
        node.attempt = Some((decree, Proposer::new(ballot, voters.len(), encode_topology(&next))));
        for voter in voters {
            let to = Self::place(&self.nodes[from].topology, voter);
            self.send(from, to, Body::Prepare(decree, ballot));
        }
    }

    fn send(&mut self, from: usize, to: usize, body: Body) {
        self.mail.push(Mail { from, to, body });
    }

    fn deliver(&mut self, mail: Mail) {
        let Mail { from, to, body } = mail;
        match body {
            Body::Prepare(decree, ballot) => self
                .vote(from, to, decree, |chain| Body::Promise(decree, ballot, chain.prepare(decree, ballot))),
            Body::Accept(decree, ballot, value) => self.vote(from, to, decree, |chain| {
                Body::Accepted(decree, ballot, chain.accept(decree, ballot, value))
            }),
            Body::Promise(decree, ballot, promise) => {
                self.answer(from, to, decree, ballot, |attempt, voter| attempt.take_promise(voter, promise));
            }
            Body::Accepted(decree, ballot, promised) => {
                self.answer(from, to, decree, ballot, |attempt, voter| {
                    attempt.take_accepted(voter, promised)
                });
            }
            Body::Fetch => {
                let topology = encode_topology(&self.nodes[to].topology);
                self.send(to, from, Body::Learn(topology));
            }
            Body::Learn(topology) => self.learn(to, &topology),
        }
    }

    /// An acceptor's part: the entry is on disk before the answer leaves.
    fn vote(&mut self, from: usize, to: usize, decree: Decree, reply: impl FnOnce(&mut Chain) -> Body) {
        let me = self.number(to);
        let node = &mut self.nodes[to];
        match admit(decree, Some(&node.topology), me, None) {
            Ok(()) => {
                let mut chain = if node.entry.is_empty() {
                    Chain::default()
                } else {
                    Chain::decode(&node.entry).unwrap()
                };
                let reply = reply(&mut chain);
                node.entry = chain.acceptor_entry();
                self.send(to, from, reply);
            }
            Err(Refusal::Behind) => {
                let topology = encode_topology(&self.nodes[to].topology);
                self.send(to, from, Body::Learn(topology));
            }
            Err(Refusal::Ahead(_)) => self.send(to, from, Body::Fetch),
            Err(Refusal::Error(_)) => {}
        }
    }

    fn answer(
        &mut self,
        from: usize,
        to: usize,
        decree: Decree,
        ballot: Ballot,
        take: impl FnOnce(&mut Proposer, NodeNumber) -> Step,
    ) {
        let id = member(from).id;
        let node = &mut self.nodes[to];
        let Some(voter) = node.topology.member_with_id(&id).map(|member| member.number) else { return };
        let Some((asked, attempt)) = &mut node.attempt else { return };
        if *asked != decree || attempt.ballot() != ballot {
            return;
        }
        match take(attempt, voter) {
            Step::Wait => {}
            Step::Outbid(greater) => {
                node.round = node.round.max(greater.round);
                node.attempt = None;
            }
            Step::Accept(value) => {
                for voter in self.nodes[to].topology.voters.clone() {
                    let place = Self::place(&self.nodes[to].topology, voter);
                    self.send(to, place, Body::Accept(decree, ballot, value.clone()));
                }
            }
            Step::Decided(value) => {
                let before = self.decided.entry(decree.epoch).or_insert_with(|| value.clone());
                assert_eq!(*before, value, "epoch {} was decided twice", decree.epoch);
                (0..NODES).for_each(|other| self.send(to, other, Body::Learn(value.clone())));
                self.learn(to, &value);
            }
        }
    }

    fn learn(&mut self, to: usize, bytes: &Bytes) {
        let topology = decode_topology(bytes).unwrap();
        let node = &mut self.nodes[to];
        if topology.epoch > node.topology.epoch {
            node.topology = topology;
            node.attempt = None;
        }
    }

    /// Delivers everything, then lets one node ask for the seal until all agree.
    fn quieten(&mut self) {
        for round in 0..100 {
            while !self.mail.is_empty() {
                let mail = self.mail.remove(0);
                self.deliver(mail);
            }
            let last = self.nodes[0].topology.epoch;
            if self.nodes.iter().all(|node| node.topology.sealed && node.topology.epoch == last) {
                return;
            }
            self.propose(round % FOUNDERS, &Change::Seal);
            (0..NODES).for_each(|other| self.send(other, round % FOUNDERS, Body::Fetch));
        }
        panic!("a quiet network agrees on nothing");
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (0..NODES, 0usize..7).prop_map(|(node, kind)| Event::Propose(node, kind)),
        12 => (any::<prop::sample::Index>(), prop::bool::weighted(0.2)).prop_map(|(at, keep)| Event::Deliver(at, keep)),
        1 => any::<prop::sample::Index>().prop_map(Event::Lose),
        1 => (0..NODES).prop_map(Event::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_epoch_has_one_topology(events in prop::collection::vec(event(), 0..400)) {
        let mut world = World::new();
        for event in &events {
            world.run(event);
            for node in &world.nodes {
                if let Some(decided) = world.decided.get(&node.topology.epoch) {
                    prop_assert_eq!(&encode_topology(&node.topology), decided);
                }
            }
        }
        world.quieten();
        let last = encode_topology(&world.nodes[0].topology);
        for node in &world.nodes {
            prop_assert_eq!(&encode_topology(&node.topology), &last, "a quiet network agrees");
        }
    }

    #[test]
    fn a_change_made_twice_is_made_once(kinds in prop::collection::vec(0usize..7, 0..20)) {
        let mut topology = World::new().nodes[0].topology.clone();
        for kind in kinds {
            if let Some(next) = change(kind).apply(&topology).unwrap() {
                prop_assert_eq!(next.epoch.number, topology.epoch.number + 1);
                prop_assert_eq!(change(kind).apply(&next).unwrap(), None);
                next.validate().unwrap();
                topology = next;
            }
        }
    }
}
