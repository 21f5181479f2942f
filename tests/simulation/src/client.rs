//! A client of the simulation: does what its workload says at a node, and writes down what it asked and was told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ringkeep::base::{Env, Error};
use ringkeep::causality::Clock;
use ringkeep::store::Read;
use ringkeep::{Context, Entry, Receipt, Result};

use crate::clock::Stopwatch;
use crate::cluster::{Cluster, Place};
use crate::history::{Basis, Call, History, Key, Outcome, Space, Value, WriteId};
use crate::log::Log;
use crate::workload::{Action, Workload};

/// How long a client waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Bytes of a context token before its clock (docs/FORMATS.md): version and tag.
const TOKEN_HEAD: usize = 17;

/// What happened so far.
#[derive(Clone, Debug)]
pub struct Recorder {
    stopwatch: Stopwatch,
    book: Arc<Mutex<Book>>,
}

/// The history and the log of a run.
#[derive(Clone, Default, Debug)]
pub struct Book {
    /// What clients asked and were told.
    pub history: History,
    /// Everything that happened.
    pub log: Log,
}

impl Recorder {
    /// An empty book.
    #[must_use]
    pub fn new(stopwatch: Stopwatch) -> Self {
        Self { stopwatch, book: Arc::default() }
    }

    /// Logs an event.
    pub fn note(&self, event: &str) {
        self.book.lock().log.push(format!("{:>7} {event}", self.stopwatch.elapsed_ms()));
    }

    /// What has been written down.
    #[must_use]
    pub fn book(&self) -> Book {
        self.book.lock().clone()
    }

    fn begin(&self, client: u32, node: u32, key: Key, call: Call) -> usize {
        self.note(&format!("c{client} m{node} {key} {}", describe(&call)));
        self.book.lock().history.begin(client, node, key, call)
    }

    fn end(&self, client: u32, operation: usize, outcome: Outcome) {
        self.note(&format!("c{client} {}", describe_outcome(&outcome)));
        self.book.lock().history.end(operation, outcome);
    }

    fn write_id(&self) -> WriteId {
        self.book.lock().history.write_id()
    }
}

fn describe(call: &Call) -> String {
    match call {
        Call::Read => "read".to_owned(),
        Call::Write { write, value: Some(value), basis } => {
            format!("put {write} {:?} {basis:?}", value.elements)
        }
        Call::Write { write, value: None, basis } => format!("delete {write} {basis:?}"),
    }
}

fn describe_outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Pending => "pending".to_owned(),
        Outcome::Shown { siblings, clock } => {
            let ids: Vec<_> = siblings.iter().map(|value| value.write).collect();
            format!("shown {ids:?} {clock:?}")
        }
        Outcome::Written { clock } => format!("written {clock:?}"),
        Outcome::Failed(why) => format!("failed {why}"),
        Outcome::Unknown(why) => format!("unknown {why}"),
    }
}

/// A client.
#[derive(Debug)]
pub struct Client {
    /// Its number.
    pub number: u32,
    /// The cluster that it uses.
    pub cluster: Cluster,
    /// Where it writes down what it does.
    pub recorder: Recorder,
    seen: BTreeMap<Key, (BTreeSet<WriteId>, Context)>,
}

impl Client {
    /// A client that has seen nothing.
    #[must_use]
    pub fn new(number: u32, cluster: Cluster, recorder: Recorder) -> Self {
        Self { number, cluster, recorder, seen: BTreeMap::new() }
    }

    /// Works until the time is up, mostly in the process of one node, so that its handle's clock matters; or, if it is
    /// an outsider, in a process of its own.
    pub async fn work(
        mut self,
        env: Env,
        mut workload: Workload,
        stopwatch: Stopwatch,
        until_ms: u64,
        outsider: bool,
    ) {
        let nodes = u64::try_from(self.cluster.numbers().count()).unwrap_or(1);
        let mut connected = None;
        while stopwatch.elapsed_ms() < until_ms {
            env.sleep(Duration::from_millis(workload.pause_ms())).await;
            let action = workload.next_action();
            let node = match workload.below(4) {
                0 => workload.below(nodes),
                _ => u64::from(self.number) % nodes,
            };
            let place = if outsider {
                if connected.is_none() {
                    connected = self.cluster.outside(self.number).await.ok();
                }
                connected.clone()
            } else {
                self.cluster.inside(u32::try_from(node).unwrap_or(0))
            };
            if let Some(place) = place {
                // Who works in a process stands still with it.
                place.standstill.hold(self.act(action, &place)).await;
            }
        }
    }

    /// Does one thing, and writes it down.
    pub async fn act(&mut self, action: Action, place: &Place) {
        match action {
            Action::Read(key) => drop(self.read(key, place).await),
            Action::PutBlind(key) => self.put_blind(key, place).await,
            Action::Resolve(key) => {
                if let Some(elements) = self.read(key, place).await {
                    self.put_seen(key, elements, place).await;
                }
            }
            Action::PutStale(key) => self.put_seen(key, BTreeSet::new(), place).await,
            Action::DeleteSeen(key) => {
                if self.read(key, place).await.is_some() {
                    self.delete_seen(key, place).await;
                }
            }
            Action::DeleteBlind(key) => {
                let write = self.recorder.write_id();
                let call = Call::Write { write, value: None, basis: Basis::Stored };
                let operation = self.recorder.begin(self.number, place.machine, key, call);
                let told = place.store.bucket(key.space.name()).delete(name(key)).timeout(TIMEOUT).await;
                self.end_write(operation, place, told);
            }
        }
    }

    /// Reads a key from a quorum; gives the elements of all its sets.
    pub async fn read(&mut self, key: Key, place: &Place) -> Option<BTreeSet<WriteId>> {
        let read = place.store.bucket(key.space.name()).read(name(key));
        self.read_by(key, place, read).await
    }

    /// Reads a key from a quorum of owners, whatever its bucket says.
    pub async fn audit(&mut self, key: Key, place: &Place) -> Option<BTreeSet<WriteId>> {
        let read = place.store.bucket(key.space.name()).read(name(key)).sloppy(false);
        self.read_by(key, place, read).await
    }

    async fn read_by(&mut self, key: Key, place: &Place, read: Read) -> Option<BTreeSet<WriteId>> {
        let operation = self.recorder.begin(self.number, place.machine, key, Call::Read);
        let told = read.timeout(TIMEOUT).await;
        let entry = match told {
            Ok(entry) => entry,
            Err(error) => {
                self.recorder.end(self.number, operation, Outcome::Failed(error_text(&error)));
                return None;
            }
        };
        let siblings = siblings_of(key, &entry);
        let clock = clock_of(entry.context());
        let ids = siblings.iter().map(|value| value.write).collect();
        let elements = siblings.iter().flat_map(|value| value.elements.iter().copied()).collect();
        self.seen.insert(key, (ids, entry.context().clone()));
        self.recorder.end(self.number, operation, Outcome::Shown { siblings, clock });
        Some(elements)
    }

    async fn put_blind(&self, key: Key, place: &Place) {
        let write = self.recorder.write_id();
        let value = Value { write, elements: BTreeSet::from([write]) };
        let bytes = value.encode();
        let basis = if key.space == Space::Registers { Basis::Stored } else { Basis::Nothing };
        let call = Call::Write { write, value: Some(value), basis };
        let operation = self.recorder.begin(self.number, place.machine, key, call);
        let told = place.store.bucket(key.space.name()).put(name(key), bytes).timeout(TIMEOUT).await;
        self.end_write(operation, place, told);
    }

    async fn put_seen(&self, key: Key, mut elements: BTreeSet<WriteId>, place: &Place) {
        let Some((ids, context)) = self.seen.get(&key) else { return };
        let write = self.recorder.write_id();
        elements.insert(write);
        let value = Value { write, elements };
        let bytes = value.encode();
        let call = Call::Write { write, value: Some(value), basis: Basis::Seen(ids.clone()) };
        let operation = self.recorder.begin(self.number, place.machine, key, call);
        let bucket = place.store.bucket(key.space.name());
        let told = bucket.put(name(key), bytes).context(context).timeout(TIMEOUT).await;
        self.end_write(operation, place, told);
    }

    async fn delete_seen(&self, key: Key, place: &Place) {
        let Some((ids, context)) = self.seen.get(&key) else { return };
        let write = self.recorder.write_id();
        let call = Call::Write { write, value: None, basis: Basis::Seen(ids.clone()) };
        let operation = self.recorder.begin(self.number, place.machine, key, call);
        let bucket = place.store.bucket(key.space.name());
        let told = bucket.delete(name(key)).context(context).timeout(TIMEOUT).await;
        self.end_write(operation, place, told);
    }

    fn end_write(&self, operation: usize, place: &Place, told: Result<Receipt>) {
        let outcome = match told {
            Ok(receipt) => Outcome::Written { clock: clock_of(receipt.context()) },
            // Who was told that nothing was accepted may have been told so by a process that no longer exists.
            Err(error) if error.maybe_applied() || self.cluster.has_ended(place) => {
                Outcome::Unknown(error_text(&error))
            }
            Err(error) => Outcome::Failed(error_text(&error)),
        };
        self.recorder.end(self.number, operation, outcome);
    }
}

fn name(key: Key) -> String {
    format!("k{}", key.number)
}

fn error_text(error: &Error) -> String {
    format!("{} {error}", error.kind().code())
}

/// What the reader was shown: every sibling, or of a register the one that wins.
fn siblings_of(key: Key, entry: &Entry) -> Vec<Value> {
    let decode = |value: &ringkeep::store::Value| {
        // Bytes that no client wrote are a write that never began, which the checkers report.
        Value::decode(&value.bytes).unwrap_or(Value { write: 0, elements: BTreeSet::new() })
    };
    if key.space == Space::Registers {
        return entry.value().ok().flatten().map(decode).into_iter().collect();
    }
    entry.siblings().iter().map(decode).collect()
}

fn clock_of(context: &Context) -> Clock {
    let token = context.to_bytes();
    let clock = token.get(TOKEN_HEAD..).map(Clock::decode);
    clock.and_then(Result::ok).expect("a token that a node made has a clock")
}
