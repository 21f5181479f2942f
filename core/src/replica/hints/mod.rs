//! Hints: keys that owners are owed because they did not confirm a write, and whole partitions where single keys are not
//! known or would be too many. A debt is struck out when its owner has the current record, or when an exchange between
//! holder and owner that began after the note has ended. Bounds never drop a debt: keys collapse into their partition.

mod ledger;
#[cfg(test)]
mod tests;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::base::Env;
use crate::base::error::Result;
use crate::base::events::{EventKind, Events};
use crate::base::ids::{BucketId, NodeNumber, PartitionId};
#[cfg(feature = "planted")]
use crate::base::planted::{self, Bug};
use crate::base::settings::Settings;
use crate::storage::key::{HINTS, after, hint_key, prefix_bounds, split_hint_key};
use crate::storage::{Batch, Engine};
pub use ledger::{Hint, HintLimits, Noted};
use ledger::{Ledger, Outcome};

/// How long storing rests after the disk refused: a full one is noticed to have space again within this time.
const REST: Duration = Duration::from_secs(1);
/// Changes that are stored together: a batch that other writers do not notice.
const CHANGES: usize = 1_024;

impl HintLimits {
    /// The limits among the settings.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self { keys_max: settings.hints_max, bytes_max: settings.hint_bytes_max }
    }
}

/// What this node owes to owners. Noting never waits for the disk: changes are stored behind, by `keep`. What a kill
/// takes with it is owed all the same, as every start compares whole copies.
#[derive(Debug)]
pub struct Hints {
    env: Env,
    engine: Arc<dyn Engine>,
    events: Arc<Events>,
    state: Mutex<State>,
    /// Held while changes are stored, so that none overtakes a later one of the same entry.
    storing: Mutex<()>,
    added: Notify,
    changed: Notify,
    delivered: AtomicU64,
    collapsed: AtomicU64,
}

#[derive(Debug)]
struct State {
    ledger: Ledger,
    /// Owners that missed something and do not have all of it yet, and whether keys of theirs collapsed since.
    series: BTreeMap<NodeNumber, bool>,
    /// Entries on disk that may not be what the ledger says.
    dirty: BTreeSet<Bytes>,
}

/// Sizes and counts.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct HintStats {
    /// Keys that are owed.
    pub keys: u64,
    /// Bytes of these keys.
    pub bytes: u64,
    /// Partitions that are owed as a whole.
    pub partitions: u64,
    /// Keys delivered since the start.
    pub delivered: u64,
    /// How often keys were given up for their partition since the start.
    pub collapsed: u64,
}

fn key_of(hint: &Hint) -> Bytes {
    hint_key(hint.owner, hint.partition, Some((hint.bucket, &hint.key)))
}

impl Hints {
    /// What an engine holds.
    ///
    /// # Errors
    /// `Corruption` for an entry that cannot have been written, and what the engine reports.
    pub fn load(engine: Arc<dyn Engine>, limits: HintLimits, env: Env, events: Arc<Events>) -> Result<Self> {
        let ledger = Ledger::new(limits);
        let state = Mutex::new(State { ledger, series: BTreeMap::new(), dirty: BTreeSet::new() });
        let hints = Self {
            env,
            engine,
            events,
            state,
            storing: Mutex::new(()),
            added: Notify::new(),
            changed: Notify::new(),
            delivered: AtomicU64::new(0),
            collapsed: AtomicU64::new(0),
        };
        let bounds = prefix_bounds(&[HINTS]);
        let mut from = bounds.from;
        loop {
            let page = hints.engine.scan(&from, &bounds.to, 1_024, 1 << 20)?;
            for (key, _) in &page.items {
                match split_hint_key(key)? {
                    (owner, partition, Some((bucket, key))) => hints.note(owner, partition, bucket, &key),
                    (owner, partition, None) => hints.note_partition(owner, partition),
                }
                hints.state.lock().read_back(key);
            }
            match page.items.last() {
                Some((last, _)) if page.more => from = after(last),
                _ => return Ok(hints),
            }
        }
    }

    /// Notes that an owner may lack the newest record of a key. Never fails and never waits.
    pub fn note(&self, owner: NodeNumber, partition: PartitionId, bucket: BucketId, key: &[u8]) {
        #[cfg(feature = "planted")]
        if planted::is(Bug::NothingOwed) {
            return;
        }
        let hint = Hint { owner, partition, bucket, key: Bytes::copy_from_slice(key) };
        let mut state = self.state.lock();
        self.begin(&mut state, owner);
        match state.ledger.note(hint.clone()) {
            Outcome::Known => {}
            Outcome::Added => drop(state.dirty.insert(key_of(&hint))),
            Outcome::Collapsed(dropped) => {
                self.collapsed.fetch_add(1, Ordering::Relaxed);
                state.dirty.extend(dropped.iter().map(key_of));
                state.dirty.insert(hint_key(owner, partition, None));
                // Told once in a series: there are as many collapses as partitions.
                if state.series.insert(owner, true) == Some(false) {
                    let keys = state.ledger.keys();
                    let text =
                        format!("{keys} keys are owed, which is the most: whole partitions are compared");
                    self.publish(EventKind::HintsCollapsed, owner, text);
                }
            }
        }
        drop(state);
        self.changed.notify_one();
        self.added.notify_one();
    }

    /// Notes that an owner may lack something of a partition.
    pub fn note_partition(&self, owner: NodeNumber, partition: PartitionId) {
        let mut state = self.state.lock();
        state.ledger.note_whole(owner, partition, true);
        state.dirty.insert(hint_key(owner, partition, None));
        self.begin(&mut state, owner);
        drop(state);
        self.changed.notify_one();
        self.added.notify_one();
    }

    /// Notes that a partition is to be compared with an owner. Kept in memory alone: whoever notes it does so at each start.
    pub fn note_comparison(&self, owner: NodeNumber, partition: PartitionId) {
        #[cfg(feature = "planted")]
        if planted::is(Bug::NothingOwed) {
            return;
        }
        self.state.lock().ledger.note_whole(owner, partition, false);
        self.added.notify_one();
    }

    /// Everybody who is owed something.
    #[must_use]
    pub fn owners(&self) -> Vec<NodeNumber> {
        self.state.lock().ledger.owners()
    }

    /// Up to `max` keys that an owner is owed, in order, after one of them; each to be given back to `delivered`.
    #[must_use]
    pub fn keys_owed(&self, owner: NodeNumber, after: Option<&Hint>, max: usize) -> Vec<(Hint, Noted)> {
        self.state.lock().ledger.keys_owed(owner, after, max)
    }

    /// The partitions that an owner is owed as a whole.
    #[must_use]
    pub fn partitions_owed(&self, owner: NodeNumber) -> Vec<PartitionId> {
        self.state.lock().ledger.wholes_owed(owner)
    }

    /// Says that an owner has what a key held after the note was taken. Noted again since, the key stays owed.
    pub fn delivered(&self, hint: &Hint, noted: Noted) {
        if self.void(hint, noted) {
            self.delivered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Strikes out a key that nobody can be owed any more. Says whether it was not noted again since.
    pub fn void(&self, hint: &Hint, noted: Noted) -> bool {
        let mut state = self.state.lock();
        let paid = state.ledger.settle(hint, noted);
        if paid {
            state.dirty.insert(key_of(hint));
            self.end(&mut state, hint.owner);
        }
        drop(state);
        self.changed.notify_one();
        paid
    }

    /// What is noted from now on is greater: to be taken before an exchange begins.
    #[must_use]
    pub fn mark(&self) -> Noted {
        self.state.lock().ledger.last()
    }

    /// Says that an exchange of a partition with an owner, which covers these buckets, began at a mark and has ended.
    pub fn exchanged(
        &self,
        owner: NodeNumber,
        partition: PartitionId,
        mark: Noted,
        covers: impl Fn(BucketId) -> bool,
    ) {
        let mut state = self.state.lock();
        let superseded = state.ledger.supersede(owner, partition, mark, covers);
        state.dirty.extend(superseded.iter().map(key_of));
        if state.ledger.is_lasting(owner, partition) {
            state.dirty.insert(hint_key(owner, partition, None));
        }
        state.ledger.settle_whole(owner, partition, mark);
        self.end(&mut state, owner);
        drop(state);
        self.changed.notify_one();
    }

    /// How many keys an owner is owed by themselves.
    #[must_use]
    pub fn keys_owed_to(&self, owner: NodeNumber) -> u64 {
        self.state.lock().ledger.keys_owed_to(owner)
    }

    /// How many keys and whole partitions an owner is owed.
    #[must_use]
    pub fn owed_to(&self, owner: NodeNumber) -> u64 {
        self.state.lock().ledger.owed_to(owner)
    }

    /// How many keys and whole partitions are owed.
    #[must_use]
    pub fn len(&self) -> u64 {
        let ledger = &self.state.lock().ledger;
        ledger.keys() + ledger.wholes()
    }

    /// Whether nothing is owed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sizes and counts.
    #[must_use]
    pub fn stats(&self) -> HintStats {
        let ledger = &self.state.lock().ledger;
        HintStats {
            keys: ledger.keys(),
            bytes: ledger.bytes(),
            partitions: ledger.wholes(),
            delivered: self.delivered.load(Ordering::Relaxed),
            collapsed: self.collapsed.load(Ordering::Relaxed),
        }
    }

    /// Waits until something is noted.
    pub async fn noted(&self) {
        self.added.notified().await;
    }

    /// Stores changes as they come, until the environment stops.
    pub async fn keep(self: Arc<Self>) {
        loop {
            self.changed.notified().await;
            while self.store().is_err() {
                self.env.sleep(REST).await;
            }
        }
    }

    /// Stores all changes so far. In the operating system when it returns; no sync is waited for.
    ///
    /// # Errors
    /// What the engine reports; the changes that are left are stored by the next call.
    pub fn store(&self) -> Result<()> {
        let _turn = self.storing.lock();
        loop {
            let (batch, taken) = self.state.lock().take_changes();
            if taken.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.engine.apply(batch) {
                self.state.lock().dirty.extend(taken);
                return Err(error);
            }
        }
    }

    fn begin(&self, state: &mut State, owner: NodeNumber) {
        if let Entry::Vacant(vacant) = state.series.entry(owner) {
            vacant.insert(false);
            self.publish(EventKind::HintsOwed, owner, "it did not confirm a write");
        }
    }

    fn end(&self, state: &mut State, owner: NodeNumber) {
        if state.ledger.owed_to(owner) == 0 && state.series.remove(&owner).is_some() {
            self.publish(EventKind::HintsDelivered, owner, "it has everything that it missed");
        }
    }

    fn publish(&self, kind: EventKind, owner: NodeNumber, detail: impl Into<String>) {
        self.events.publish(self.env.unix_ms(), kind, Some(owner), detail);
    }
}

impl State {
    /// An entry is on disk: it is to be changed only if it is owed no more.
    fn read_back(&mut self, key: &Bytes) {
        if self.owes(key) {
            self.dirty.remove(key);
        } else {
            self.dirty.insert(key.clone());
        }
    }

    /// Some of the entries that may differ on disk, with what they are to be.
    fn take_changes(&mut self) -> (Batch, Vec<Bytes>) {
        let taken: Vec<Bytes> = self.dirty.iter().take(CHANGES).cloned().collect();
        let mut batch = Batch::new();
        for key in &taken {
            self.dirty.remove(key);
            if self.owes(key) {
                batch.put(key.clone(), Bytes::new());
            } else {
                batch.delete(key.clone());
            }
        }
        (batch, taken)
    }

    fn owes(&self, key: &Bytes) -> bool {
        match split_hint_key(key) {
            Ok((owner, partition, Some((bucket, key)))) => {
                self.ledger.contains(&Hint { owner, partition, bucket, key })
            }
            Ok((owner, partition, None)) => self.ledger.is_lasting(owner, partition),
            Err(_) => false,
        }
    }
}
