//! Driving Paxos: one decree per epoch among the voters that the epoch before names. What an acceptor promises is on disk
//! before its answer leaves, and an attempt's number is on disk before it is used.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::NodeCore;
use crate::base::env::Deadline;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::{ClusterId, NodeNumber};
use crate::client::TopologySource;
use crate::consensus::{Ballot, Promise, Proposer, Step, Vote};
use crate::membership::chain::{Chain, Change, Decree, Refusal, admit};
use crate::ring::{Member, Topology};
use crate::storage::key::meta_key;
use crate::storage::{Batch, Engine};
use crate::wire::control::{self, Kind, decode_topology, encode_topology, proto};
use crate::wire::{Request, Response};

const ACCEPTOR: &str = "paxos/acceptor";
const ROUND: &str = "paxos/round";
/// Pause after an attempt that failed, times a random number of 1 to 4: rivals seldom meet twice.
const PAUSE: Duration = Duration::from_millis(25);
/// How long a founding waits for founders beyond the majority, so that all of them are in the first epoch.
const FOUNDING_PATIENCE: Duration = Duration::from_secs(2);

/// One of those who decide, and how to reach it.
#[derive(Clone, Debug)]
pub(super) enum Voter {
    /// This node.
    Me(NodeNumber),
    /// A member.
    Member(NodeNumber),
    /// A founder, by its place in the seed list and its address.
    Address(NodeNumber, String),
}

impl Voter {
    fn number(&self) -> NodeNumber {
        match self {
            Self::Me(number) | Self::Member(number) | Self::Address(number, _) => *number,
        }
    }
}

/// How an attempt ended.
enum Attempt {
    Decided(Bytes),
    Outbid(Ballot),
    /// A voter knew a newer topology, which has been learned.
    Behind,
}

/// The acceptor of this node and the numbers of its attempts; one message at a time.
#[derive(Debug, Default)]
pub(super) struct Seat {
    chain: Chain,
    round: u64,
}

impl Seat {
    pub(super) fn load(engine: &dyn Engine) -> Result<Self> {
        let chain = engine.get(&meta_key(ACCEPTOR))?.map(|bytes| Chain::decode(&bytes)).transpose()?;
        let round = match engine.get(&meta_key(ROUND))? {
            None => 0,
            Some(bytes) => u64::from_be_bytes(
                bytes.as_ref().try_into().map_err(|_| Error::corrupt("the stored Paxos round is damaged"))?,
            ),
        };
        Ok(Self { chain: chain.unwrap_or_default(), round })
    }
}

impl NodeCore {
    /// Makes a change part of the topology, by agreement of the voters.
    ///
    /// # Errors
    /// `InvalidArgument` for a change that the topology refuses; `QuorumUnavailable` or `Timeout` when no majority of the
    /// voters can be reached: the change may be made all the same, later.
    pub(super) async fn propose(
        self: &Arc<Self>,
        change: &Change,
        deadline: Deadline,
    ) -> Result<Arc<Topology>> {
        // One attempt of this node at a time: a hundred first writes are one seal.
        let _turn = deadline.limit(self.proposing.lock()).await?;
        let mut outbid = Ballot::default();
        loop {
            let topology = self.topology.current().ok_or_else(crate::client::no_cluster)?;
            let Some(next) = change.apply(&topology)? else { return Ok(topology) };
            let decree = Decree { cluster: topology.cluster, epoch: next.epoch };
            let me = self.serving()?.replica.number();
            let voters: Vec<Voter> = topology
                .voters
                .iter()
                .map(|voter| if *voter == me { Voter::Me(me) } else { Voter::Member(*voter) })
                .collect();
            let value = move |_: Vec<Member>| Ok(encode_topology(&next));
            match self.attempt(decree, me, &voters, outbid, deadline, value).await {
                Ok(Attempt::Decided(value)) => self.decided(&value).await?,
                Ok(Attempt::Behind) => continue,
                Ok(Attempt::Outbid(ballot)) => outbid = ballot,
                Err(error) if deadline.remaining() <= PAUSE * 4 => return Err(error),
                Err(_) => {}
            }
            let pause = u32::try_from(1 + self.env.random_below(4)).unwrap_or(1);
            self.env.sleep(PAUSE * pause).await;
            if deadline.passed() {
                return Err(
                    Error::new(ErrorKind::Timeout, "the voters did not agree in time").maybe_applied_if(true)
                );
            }
        }
    }

    /// Founds the cluster with the others of an identical seed list, if a majority of them answers.
    ///
    /// # Errors
    /// `QuorumUnavailable` while too few answer.
    pub(super) async fn found_together(self: &Arc<Self>, deadline: Deadline) -> Result<()> {
        let founders = self.founders.as_ref().ok_or_else(|| Error::invalid("no seed list"))?;
        let voters: Vec<Voter> = (1..)
            .map(NodeNumber)
            .zip(founders.addresses())
            .map(|(number, address)| {
                if number == founders.me() {
                    Voter::Me(number)
                } else {
                    Voter::Address(number, address.clone())
                }
            })
            .collect();
        let value =
            |members: Vec<Member>| self.first_topology(members, false).map(|first| encode_topology(&first));
        let decree = founders.decree();
        match self.attempt(decree, founders.me(), &voters, Ballot::default(), deadline, value).await? {
            Attempt::Decided(value) => self.decided(&value).await,
            Attempt::Behind | Attempt::Outbid(_) => Ok(()),
        }
    }

    /// Learns what was decided and tells every member.
    async fn decided(self: &Arc<Self>, value: &Bytes) -> Result<()> {
        let topology = decode_topology(value)?;
        self.learn(topology.clone()).await?;
        self.locate_joiners(&topology);
        let learn =
            Kind::Learn(proto::Learn { topology: Some((&topology).into()), peers: self.peers_and_self() });
        let deadline = self.env.deadline(self.settings.timeout());
        for number in topology.members.keys() {
            // Who misses it hears of the epoch by gossip.
            let request = Request::Control(control::encode(learn.clone()));
            self.peers.submit(*number, request, deadline, Box::new(drop));
        }
        Ok(())
    }

    async fn attempt(
        self: &Arc<Self>,
        decree: Decree,
        me: NodeNumber,
        voters: &[Voter],
        outbid: Ballot,
        deadline: Deadline,
        value: impl FnOnce(Vec<Member>) -> Result<Bytes>,
    ) -> Result<Attempt> {
        let ballot = self.next_ballot(outbid, me).await?;
        let prepare = Kind::Prepare(proto::Prepare {
            decree: Some(wire_decree(decree)),
            ballot: Some(wire_ballot(ballot)),
        });
        let mut replies = self.ask_voters(voters, &prepare, deadline);
        let patience = self.env.deadline(FOUNDING_PATIENCE).min(deadline);
        let founding = self.topology.current().is_none();
        let (mut promises, mut founders) = (Vec::new(), Vec::new());
        let mut reasons = String::new();
        // A founding waits a while for every founder, any other decree only for a majority.
        loop {
            let enough = promises.len() > voters.len() / 2;
            if promises.len() == voters.len() || (enough && (!founding || patience.passed())) {
                break;
            }
            let limit = if enough { patience } else { deadline };
            match limit.limit(replies.recv()).await {
                Ok(Some((from, Ok(Kind::Promise(promise))))) => {
                    if let Some(member) = promise.founder.clone() {
                        founders.push(Member::try_from(member)?);
                    }
                    promises.push((from, promise_of(promise)));
                }
                Ok(Some((_, Ok(Kind::TopologyReply(reply))))) => {
                    self.topology.take_reply(reply).await?;
                    return Ok(Attempt::Behind);
                }
                Ok(Some((from, Ok(_)))) => reasons.push_str(&format!("; n{from}: an answer of another kind")),
                Ok(Some((from, Err(error)))) => reasons.push_str(&format!("; n{from}: {}", error.message())),
                Ok(None) | Err(_) if enough => break,
                Ok(None) | Err(_) => return Err(too_few(promises.len(), voters.len(), &reasons)),
            }
        }
        let mut proposer = Proposer::new(ballot, voters.len(), value(founders)?);
        let mut step = Step::Wait;
        for (from, promise) in promises {
            match proposer.take_promise(from, promise) {
                Step::Wait => {}
                Step::Outbid(ballot) => return Ok(Attempt::Outbid(ballot)),
                next => step = next,
            }
        }
        match step {
            Step::Accept(value) => self.accept_round(proposer, decree, voters, value, deadline).await,
            _ => Err(too_few(0, voters.len(), &reasons)),
        }
    }

    async fn accept_round(
        self: &Arc<Self>,
        mut proposer: Proposer,
        decree: Decree,
        voters: &[Voter],
        value: Bytes,
        deadline: Deadline,
    ) -> Result<Attempt> {
        let accept = Kind::Accept(proto::Accept {
            decree: Some(wire_decree(decree)),
            ballot: Some(wire_ballot(proposer.ballot())),
            value,
        });
        let mut replies = self.ask_voters(voters, &accept, deadline);
        let mut reasons = String::new();
        let mut count = 0;
        while let Ok(Some((from, reply))) = deadline.limit(replies.recv()).await {
            let step = match reply {
                Ok(Kind::Accepted(accepted)) => {
                    count += 1;
                    proposer.take_accepted(from, ballot_of(accepted.promised))
                }
                Ok(Kind::TopologyReply(reply)) => {
                    self.topology.take_reply(reply).await?;
                    return Ok(Attempt::Behind);
                }
                Ok(_) => Step::Wait,
                Err(error) => {
                    reasons.push_str(&format!("; n{from}: {}", error.message()));
                    Step::Wait
                }
            };
            match step {
                Step::Decided(value) => return Ok(Attempt::Decided(value)),
                Step::Outbid(ballot) => return Ok(Attempt::Outbid(ballot)),
                Step::Wait | Step::Accept(_) => {}
            }
        }
        Err(too_few(count, voters.len(), &reasons).maybe_applied_if(true))
    }

    /// Asks every voter; the answers come as they arrive, and the channel ends after the last.
    fn ask_voters(
        self: &Arc<Self>,
        voters: &[Voter],
        kind: &Kind,
        deadline: Deadline,
    ) -> mpsc::UnboundedReceiver<(NodeNumber, Result<Kind>)> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let deadline = deadline.min(self.env.deadline(Duration::from_millis(self.settings.peer_timeout_ms)));
        for voter in voters {
            let number = voter.number();
            let sender = sender.clone();
            let done = Box::new(move |reply: Result<Response>| {
                let kind = reply.and_then(Response::into_result).and_then(|response| match response {
                    Response::Control(bytes) => control::accept_reply(control::decode(&bytes)?),
                    _ => Err(control::unexpected_reply("a decree")),
                });
                // The attempt may have ended.
                let _unsent = sender.send((number, kind));
            });
            let request = Request::Control(control::encode(kind.clone()));
            match voter {
                Voter::Member(member) => self.peers.submit(*member, request, deadline, done),
                Voter::Address(_, address) => {
                    self.peers.pool().submit(address, request, deadline, |_| Ok(()), done);
                }
                Voter::Me(_) => {
                    let core = Arc::clone(self);
                    let kind = kind.clone();
                    self.env.spawn(async move {
                        let reply = core
                            .answer_paxos(kind)
                            .await
                            .map(|kind| Response::Control(control::encode(kind)));
                        done(reply);
                    });
                }
            }
        }
        receiver
    }

    async fn next_ballot(&self, outbid: Ballot, me: NodeNumber) -> Result<Ballot> {
        let mut seat = self.seat.lock().await;
        let ballot = Ballot::above(outbid.max(Ballot { round: seat.round, node: me }), me);
        self.persist(ROUND, Bytes::copy_from_slice(&ballot.round.to_be_bytes())).await?;
        seat.round = ballot.round;
        Ok(ballot)
    }

    /// Answers a prepare or an accept.
    pub(super) async fn answer_paxos(self: &Arc<Self>, kind: Kind) -> Result<Kind> {
        let (decree, ballot, value) = match kind {
            Kind::Prepare(prepare) => (decree_of(prepare.decree)?, ballot_of(prepare.ballot), None),
            Kind::Accept(accept) => (decree_of(accept.decree)?, ballot_of(accept.ballot), Some(accept.value)),
            _ => return Err(Error::invalid("not a message of a decree")),
        };
        let mut seat = self.seat.lock().await;
        let topology = self.topology.current();
        let me = self.serving.get().map(|serving| serving.replica.number());
        let founding = self.founders.as_ref().map(super::super::membership::chain::Founders::decree);
        match admit(decree, topology.as_deref(), me, founding) {
            Ok(()) => {}
            Err(Refusal::Behind) => return Ok(self.topology_reply(crate::base::Epoch::default())),
            Err(Refusal::Ahead(epoch)) => {
                self.hear(epoch, None);
                let text = format!("this voter is behind epoch {epoch} and is fetching it");
                return Err(Error::new(ErrorKind::QuorumUnavailable, text));
            }
            Err(Refusal::Error(error)) => return Err(error),
        }
        let wire = (Some(wire_decree(decree)), Some(wire_ballot(ballot)));
        let mut chain = seat.chain.clone();
        let reply = match value {
            None => {
                let promise = chain.prepare(decree, ballot);
                let founder = if topology.is_none() { Some((&self.member()?).into()) } else { None };
                Kind::Promise(proto::Promise {
                    decree: wire.0,
                    ballot: wire.1,
                    promised: Some(wire_ballot(promise.promised)),
                    accepted: promise.accepted.map(|vote| proto::Vote {
                        ballot: Some(wire_ballot(vote.ballot)),
                        value: vote.value,
                    }),
                    founder,
                })
            }
            Some(value) => {
                decode_topology(&value)?;
                let promised = chain.accept(decree, ballot, value);
                Kind::Accepted(proto::Accepted {
                    decree: wire.0,
                    ballot: wire.1,
                    promised: Some(wire_ballot(promised)),
                })
            }
        };
        self.persist(ACCEPTOR, chain.acceptor_entry()).await?;
        seat.chain = chain;
        Ok(reply)
    }

    async fn persist(&self, name: &str, value: Bytes) -> Result<()> {
        let mut batch = Batch::new();
        batch.put(meta_key(name), value);
        let lsn = self.engine.apply(batch)?;
        self.engine.synced(lsn).await
    }
}

fn too_few(answered: usize, voters: usize, reasons: &str) -> Error {
    let text = format!("{answered} of {voters} voters agreed, a majority is needed{reasons}");
    Error::new(ErrorKind::QuorumUnavailable, text)
}

fn wire_decree(decree: Decree) -> proto::Decree {
    proto::Decree { cluster: Bytes::copy_from_slice(&decree.cluster.0), epoch: Some(decree.epoch.into()) }
}

fn decree_of(decree: Option<proto::Decree>) -> Result<Decree> {
    let decree = decree.ok_or_else(|| Error::invalid("a message without its decree"))?;
    let cluster: [u8; 16] = decree
        .cluster
        .as_ref()
        .try_into()
        .map_err(|_| Error::invalid("a cluster id that is not 16 bytes"))?;
    Ok(Decree { cluster: ClusterId(cluster), epoch: control::epoch(decree.epoch) })
}

fn wire_ballot(ballot: Ballot) -> proto::Ballot {
    proto::Ballot { round: ballot.round, node: ballot.node.0 }
}

fn ballot_of(ballot: Option<proto::Ballot>) -> Ballot {
    ballot.map(|b| Ballot { round: b.round, node: NodeNumber(b.node) }).unwrap_or_default()
}

fn promise_of(promise: proto::Promise) -> Promise {
    Promise {
        promised: ballot_of(promise.promised),
        accepted: promise.accepted.map(|vote| Vote { ballot: ballot_of(vote.ballot), value: vote.value }),
    }
}
