//! Handing over hints: for each key that an owner is owed, the record that is current here is read and sent to it. So many
//! at a time and so many bytes a second, so that other requests keep their pace; at least once; to the owners of today.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::pace::Pace;
use crate::base::Env;
use crate::base::error::{ErrorKind, Result};
use crate::base::ids::{Epoch, NodeNumber, Time};
use crate::base::settings::Settings;
use crate::client::{Peers, TopologySource, current};
use crate::replica::{Hint, Hints, Noted, Replica};
use crate::wire::{Request, Response, Route};

/// Hints that are looked up together.
const PAGE: usize = 256;
/// What handling a record costs beside its bytes, in bytes.
const RECORD_BYTES_MIN: usize = 1 << 10;

/// Hands over what owners missed.
#[derive(Debug)]
pub struct Handoff {
    env: Env,
    replica: Arc<Replica>,
    peers: Arc<Peers>,
    source: Arc<dyn TopologySource>,
    hints: Arc<Hints>,
    window: u32,
    pace: Mutex<Pace>,
    peer_timeout: Duration,
}

/// How a round of deliveries to one owner ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Round {
    /// It has everything that was owed when the round began.
    Delivered,
    /// It refused some of the records; they stay owed.
    Refused,
    /// It could not be reached, or takes nothing now.
    Halted,
}

/// The deliveries that are under way to one owner.
struct Flight {
    replica: Arc<Replica>,
    hints: Arc<Hints>,
    window: Arc<Semaphore>,
    halted: AtomicBool,
    refused: AtomicBool,
    /// The owner's clock as far as it told it: what is read from now on was captured no earlier.
    heard: AtomicU64,
    /// The owner's epoch, if this node's was not the right one.
    epoch: Mutex<Option<Epoch>>,
}

impl Handoff {
    /// A deliverer of this node's hints.
    #[must_use]
    pub fn new(
        env: Env,
        replica: Arc<Replica>,
        peers: Arc<Peers>,
        source: Arc<dyn TopologySource>,
        hints: Arc<Hints>,
        settings: &Settings,
    ) -> Self {
        let pace = Mutex::new(Pace::new(settings.handoff_bytes_per_second_max, env.now()));
        let peer_timeout = Duration::from_millis(settings.peer_timeout_ms);
        Self { env, replica, peers, source, hints, window: settings.handoff_window, pace, peer_timeout }
    }

    /// Delivers every key that an owner is owed, each once; those that it found stale once more.
    pub async fn deliver(&self, owner: NodeNumber) -> Round {
        if self.hints.keys_owed_to(owner) == 0 {
            return Round::Delivered;
        }
        let flight = Arc::new(Flight {
            replica: Arc::clone(&self.replica),
            hints: Arc::clone(&self.hints),
            window: Arc::new(Semaphore::new(self.window as usize)),
            halted: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            heard: AtomicU64::new(0),
            epoch: Mutex::new(None),
        });
        self.pass(owner, &flight).await;
        if flight.heard() > Time::default() {
            // Its clock is far from this node's: by what it told, the records are read anew.
            self.pass(owner, &flight).await;
        }
        let newer = flight.epoch.lock().take();
        if let Some(epoch) = newer {
            // Nobody who has it may be reachable; the next round tries again.
            let _fetched = self.source.refresh(epoch, self.env.deadline(self.peer_timeout)).await;
        }
        match (flight.halted.load(Ordering::Acquire), flight.refused.load(Ordering::Acquire)) {
            (true, _) => Round::Halted,
            (_, true) => Round::Refused,
            _ => Round::Delivered,
        }
    }

    async fn pass(&self, owner: NodeNumber, flight: &Arc<Flight>) {
        let mut after: Option<Hint> = None;
        'pages: loop {
            let page = self.hints.keys_owed(owner, after.as_ref(), PAGE);
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (hint, noted) in page {
                let Ok(permit) = Arc::clone(&flight.window).acquire_owned().await else { break 'pages };
                if flight.halted.load(Ordering::Acquire) {
                    break 'pages;
                }
                match self.send(hint, noted, flight, permit) {
                    Ok(bytes) => self.keep_pace(bytes).await,
                    // The disk here cannot be read, or there is no topology.
                    Err(_) => flight.halted.store(true, Ordering::Release),
                }
            }
        }
        // The whole window is free once every answer is in.
        let _landed = flight.window.acquire_many(self.window).await;
    }

    /// Sends the current record of a key; gives its bytes, 0 if there is nothing to send.
    fn send(
        &self,
        hint: Hint,
        noted: Noted,
        flight: &Arc<Flight>,
        permit: OwnedSemaphorePermit,
    ) -> Result<usize> {
        let topology = current(self.source.as_ref())?;
        let Some(bucket) = topology.buckets.get(&hint.bucket) else {
            self.hints.void(&hint, noted);
            return Ok(0);
        };
        let owners = topology.owners(hint.partition, &bucket.n);
        if !owners.contains(&hint.owner) {
            for owner in owners.iter().filter(|owner| **owner != self.replica.number()) {
                self.hints.note(*owner, hint.partition, hint.bucket, &hint.key);
            }
            self.hints.void(&hint, noted);
            return Ok(0);
        }
        let captured = self.replica.now().max(flight.heard());
        let Some(record) = self.replica.read(hint.partition, hint.bucket, &hint.key)? else {
            if self.replica.counts(hint.partition) {
                self.hints.void(&hint, noted);
            } else {
                // Forgotten here perhaps; it comes back from the others.
                flight.refused.store(true, Ordering::Release);
            }
            return Ok(0);
        };
        let bytes = (hint.key.len() + record.len()).max(RECORD_BYTES_MIN);
        let route =
            Route { bucket: hint.bucket, partition: hint.partition, epoch: topology.epoch, sloppy: false };
        let apply = Request::Apply { route, key: hint.key.clone(), captured, record };
        let deadline = self.env.deadline(self.peer_timeout);
        let flight = Arc::clone(flight);
        let owner = hint.owner;
        let done = Box::new(move |reply| {
            flight.take(&hint, noted, reply);
            drop(permit);
        });
        self.peers.submit(owner, apply, deadline, done);
        Ok(bytes)
    }

    async fn keep_pace(&self, bytes: usize) {
        let wait = self.pace.lock().spend(bytes, self.env.now());
        if !wait.is_zero() {
            self.env.sleep(wait).await;
        }
    }
}

impl Flight {
    fn heard(&self) -> Time {
        Time(self.heard.load(Ordering::Acquire))
    }

    fn take(&self, hint: &Hint, noted: Noted, reply: Result<Response>) {
        match reply {
            Ok(Response::Applied { .. }) => return self.hints.delivered(hint, noted),
            Ok(Response::StaleRecord { now }) => {
                self.replica.absorb(now);
                self.heard.fetch_max(now.0, Ordering::AcqRel);
                return;
            }
            Ok(Response::StaleEpoch { epoch } | Response::NotOwner { epoch }) => {
                *self.epoch.lock() = Some(epoch);
            }
            // Refused there, or too large to be sent from here: other records are not.
            Ok(Response::Failed(error)) | Err(error)
                if matches!(error.kind(), ErrorKind::InvalidArgument | ErrorKind::Corruption) =>
            {
                return self.refused.store(true, Ordering::Release);
            }
            _ => {}
        }
        self.halted.store(true, Ordering::Release);
    }
}
