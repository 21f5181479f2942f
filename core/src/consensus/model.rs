//! The register under a model checker: three acceptors that crash, two proposers, messages lost, doubled and reordered.
//! Every reachable state is tried; planted bugs prove that the checker would see.

use std::collections::BTreeSet;

use bytes::Bytes;
use stateright::{Checker, Model, Property};

use super::register::{Acceptor, Ballot, Promise, Proposer, Step, Vote};
use crate::base::NodeNumber;

const ACCEPTORS: u32 = 3;

/// What is wrong with the world around the register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flaw {
    /// Nothing.
    None,
    /// An acceptor answers before its state is on disk, where it has not arrived when the acceptor crashes.
    AnswersBeforeDisk,
    /// A proposer puts its own value through whatever was accepted before.
    IgnoresVotes,
    /// A proposer that starts again uses a ballot that it has used.
    ReusesBallot,
}

/// The attempts that each proposer may make, the crashes that may happen, and what is wrong.
#[derive(Clone, Debug)]
struct World {
    attempts: [u32; 2],
    crashes: u32,
    flaw: Flaw,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Message {
    Prepare(Ballot),
    Promise(Ballot, u32, Ballot, Option<(Ballot, Bytes)>),
    Accept(Ballot, Bytes),
    Accepted(Ballot, u32, Ballot),
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct State {
    /// In memory, and on disk.
    acceptors: Vec<(Acceptor, Bytes)>,
    proposers: Vec<Seat>,
    /// All that was ever sent: what is delivered stays, so it may come twice, late, or never.
    sent: BTreeSet<Message>,
    decided: BTreeSet<Bytes>,
    crashes: u32,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Seat {
    attempt: Option<Proposer>,
    attempts: u32,
    accepting: bool,
}

#[derive(Clone, PartialEq, Debug)]
enum Action {
    /// A proposer gives up what it was doing (it may have crashed) and starts a new attempt.
    Attempt(usize),
    /// A message reaches an acceptor.
    Ask(usize, Message),
    /// A majority of answers reaches a proposer.
    Answer(usize, [Message; 2]),
    /// An acceptor falls back to its disk.
    Crash(usize),
}

fn own_value(proposer: usize) -> Bytes {
    Bytes::from(vec![b'a' + u8::try_from(proposer).unwrap()])
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let acceptor = (Acceptor::default(), Acceptor::default().encode());
        let seat = Seat { attempt: None, attempts: 0, accepting: false };
        vec![State {
            acceptors: vec![acceptor; usize::try_from(ACCEPTORS).unwrap()],
            proposers: vec![seat; 2],
            sent: BTreeSet::new(),
            decided: BTreeSet::new(),
            crashes: 0,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (proposer, seat) in state.proposers.iter().enumerate() {
            if seat.attempts < self.attempts[proposer] {
                actions.push(Action::Attempt(proposer));
            }
        }
        for message in &state.sent {
            if matches!(message, Message::Prepare(_) | Message::Accept(..)) {
                actions.extend((0..state.acceptors.len()).map(|to| Action::Ask(to, message.clone())));
            }
        }
        for (proposer, seat) in state.proposers.iter().enumerate() {
            let answers: Vec<(u32, &Message)> =
                state.sent.iter().filter_map(|message| Some((seat.hears(message)?, message))).collect();
            for (at, (from, first)) in answers.iter().enumerate() {
                let others = answers.iter().skip(at + 1).filter(|(other, _)| other != from);
                let pair = |second: &Message| Action::Answer(proposer, [(*first).clone(), second.clone()]);
                actions.extend(others.map(|(_, second)| pair(second)));
            }
        }
        if state.crashes < self.crashes {
            actions.extend((0..state.acceptors.len()).map(Action::Crash));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Attempt(proposer) => self.attempt(&mut state, proposer),
            Action::Ask(to, message) => self.ask(&mut state, to, message),
            Action::Answer(proposer, messages) => self.answer(&mut state, proposer, &messages),
            Action::Crash(at) => {
                let (memory, disk) = &mut state.acceptors[at];
                let restored = Acceptor::decode(disk).unwrap();
                // A crash that forgets nothing leads nowhere new.
                state.crashes += u32::from(restored != *memory);
                *memory = restored;
            }
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("at most one value is decided", |_, state: &State| state.decided.len() <= 1),
            Property::always("what is decided was proposed", |_, state: &State| {
                state.decided.iter().all(|value| (0..2).any(|proposer| own_value(proposer) == *value))
            }),
            Property::sometimes("the first proposer's value is decided", |_, state: &State| {
                state.decided.contains(&own_value(0))
            }),
            Property::sometimes("the second proposer's value is decided", |_, state: &State| {
                state.decided.contains(&own_value(1))
            }),
        ]
    }
}

impl Seat {
    /// The acceptor whose answer this is, if the proposer waits for such.
    fn hears(&self, message: &Message) -> Option<u32> {
        let ballot = self.attempt.as_ref()?.ballot();
        match message {
            Message::Promise(asked, from, ..) if *asked == ballot && !self.accepting => Some(*from),
            Message::Accepted(asked, from, _) if *asked == ballot && self.accepting => Some(*from),
            _ => None,
        }
    }
}

impl World {
    fn attempt(&self, state: &mut State, proposer: usize) {
        let seat = &mut state.proposers[proposer];
        seat.attempts += 1;
        let ballot = match self.flaw {
            Flaw::ReusesBallot => Ballot { round: 1, node: NodeNumber(1) },
            _ => {
                Ballot { round: seat.attempts.into(), node: NodeNumber(u32::try_from(proposer).unwrap() + 1) }
            }
        };
        seat.accepting = false;
        seat.attempt = Some(Proposer::new(ballot, usize::try_from(ACCEPTORS).unwrap(), own_value(proposer)));
        state.sent.insert(Message::Prepare(ballot));
    }

    fn ask(&self, state: &mut State, to: usize, message: Message) {
        let from = u32::try_from(to).unwrap();
        let (memory, disk) = &mut state.acceptors[to];
        let (asked, promised, reply) = match message {
            Message::Prepare(ballot) => {
                let Promise { promised, accepted } = memory.prepare(ballot);
                let accepted = accepted.map(|vote| (vote.ballot, vote.value));
                (ballot, promised, Message::Promise(ballot, from, promised, accepted))
            }
            Message::Accept(ballot, value) => {
                let promised = memory.accept(ballot, value);
                (ballot, promised, Message::Accepted(ballot, from, promised))
            }
            Message::Promise(..) | Message::Accepted(..) => return,
        };
        if self.flaw != Flaw::AnswersBeforeDisk {
            *disk = memory.encode();
        }
        // A refusal only makes a proposer try again, which it may do at any time.
        if promised == asked {
            state.sent.insert(reply);
        }
    }

    fn answer(&self, state: &mut State, proposer: usize, messages: &[Message; 2]) {
        let seat = &mut state.proposers[proposer];
        let Some(attempt) = &mut seat.attempt else { return };
        let mut decided = seat.accepting.then(|| attempt.clone());
        for message in messages {
            let step = match (message, &mut decided) {
                (Message::Promise(_, from, promised, accepted), None) => {
                    let accepted = accepted.clone().filter(|_| self.flaw != Flaw::IgnoresVotes);
                    let accepted = accepted.map(|(ballot, value)| Vote { ballot, value });
                    attempt.take_promise(NodeNumber(*from), Promise { promised: *promised, accepted })
                }
                // Decided upon a copy: the attempt itself need not remember, which keeps the states few.
                (Message::Accepted(_, from, promised), Some(copy)) => {
                    copy.take_accepted(NodeNumber(*from), *promised)
                }
                _ => Step::Wait,
            };
            match step {
                Step::Accept(value) => {
                    seat.accepting = true;
                    state.sent.insert(Message::Accept(attempt.ballot(), value));
                }
                Step::Decided(value) => {
                    state.decided.insert(value);
                }
                Step::Wait | Step::Outbid(_) => {}
            }
        }
    }
}

#[test]
fn one_value_is_decided_whatever_is_lost_doubled_or_crashes() {
    let world = World { attempts: [1, 1], crashes: 1, flaw: Flaw::None };
    let checker = world.checker().spawn_bfs().join();
    checker.assert_properties();
    assert!(checker.is_done() && checker.unique_state_count() > 1_000, "every state was tried");
    println!("{} states", checker.unique_state_count());
}

fn finds_two_decisions(world: World) {
    let checker = world.checker().spawn_bfs().join();
    assert!(checker.discovery("at most one value is decided").is_some(), "the planted bug was not seen");
}

#[test]
fn an_answer_before_the_disk_is_seen() {
    finds_two_decisions(World { attempts: [1, 1], crashes: 1, flaw: Flaw::AnswersBeforeDisk });
}

#[test]
fn a_proposer_that_ignores_votes_is_seen() {
    finds_two_decisions(World { attempts: [1, 1], crashes: 0, flaw: Flaw::IgnoresVotes });
}

#[test]
fn a_ballot_used_twice_is_seen() {
    finds_two_decisions(World { attempts: [1, 1], crashes: 0, flaw: Flaw::ReusesBallot });
}
