//! Announcements: each node tells the others its address, epoch and clock, and what it knows of the rest.
//! A plain exchange with every member; gossip with a few takes its place when failure detection is built.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::NodeCore;
use crate::base::error::Result;
use crate::base::ids::NodeNumber;
use crate::client::TopologySource;
use crate::storage::Batch;
use crate::storage::key::{after, meta_bounds, meta_key};
use crate::wire::control::{self, Kind, proto};
use crate::wire::{Request, Response};

const ADDRESS_PREFIX: &str = "peer/";
/// Announcements that may stay away before a member counts as down: a few lost ones are no failure.
const PATIENCE_ANNOUNCEMENTS: u32 = 6;

impl NodeCore {
    /// How long a member may be silent before it counts as down.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_millis(self.settings.announce_interval_ms) * PATIENCE_ANNOUNCEMENTS
    }

    /// What this node says of itself.
    pub(super) fn own_peer(&self) -> Option<proto::Peer> {
        let number = self.serving.get()?.replica.number();
        Some(proto::Peer {
            number: number.0,
            address: self.address.get()?.clone(),
            start: self.identity.start,
            sequence: self.sequence.fetch_add(1, Ordering::AcqRel) + 1,
            epoch: self.topology.current().map(|topology| topology.epoch.into()),
            now: self.hlc.read(self.env.unix_ms()).0,
        })
    }

    /// Addresses that an earlier run knew: members may be reached there still, wherever the seeds have gone.
    pub(super) fn load_addresses(&self) -> Result<()> {
        let bounds = meta_bounds(ADDRESS_PREFIX);
        let mut from = bounds.from;
        loop {
            let page = self.engine.scan(&from, &bounds.to, 1_024, 1 << 20)?;
            for (key, value) in &page.items {
                let name =
                    key.get(1 + ADDRESS_PREFIX.len()..).and_then(|digits| std::str::from_utf8(digits).ok());
                let address = std::str::from_utf8(value).ok();
                if let (Some(Ok(number)), Some(address)) = (name.map(str::parse), address) {
                    self.peers.locate(NodeNumber(number), address);
                }
            }
            match page.items.last() {
                Some((last, _)) if page.more => from = after(last),
                _ => return Ok(()),
            }
        }
    }

    /// Announces this node for as long as it runs.
    pub(super) async fn announce(self: Arc<Self>) {
        let interval = Duration::from_millis(self.settings.announce_interval_ms);
        let mut stored: Vec<(NodeNumber, Arc<str>)> = Vec::new();
        while !self.closed() {
            self.announce_once(interval * 2);
            let addresses = self.peers.addresses();
            if addresses != stored && self.store_addresses(&addresses).await.is_ok() {
                stored = addresses;
            }
            // A tenth of jitter keeps nodes that started together from speaking at once.
            let jitter = self.env.random_below(self.settings.announce_interval_ms / 10 + 1);
            self.env.sleep(interval + Duration::from_millis(jitter)).await;
        }
    }

    fn announce_once(self: &Arc<Self>, patience: Duration) {
        let (Some(topology), Some(own)) = (self.topology.current(), self.own_peer()) else { return };
        let announce = Kind::Announce(proto::Announce {
            cluster: Bytes::copy_from_slice(&topology.cluster.0),
            self_: Some(own.clone()),
            known: self.topology.known_peers(),
        });
        let bytes = control::encode(announce);
        let deadline = self.env.deadline(patience);
        let done = || {
            let core = Arc::downgrade(self);
            Box::new(move |reply: Result<Response>| {
                let (Some(core), Ok(Response::Control(bytes))) = (core.upgrade(), reply) else { return };
                if let Ok(Kind::AnnounceReply(reply)) = control::decode(&bytes) {
                    core.take_announcement(reply.self_, reply.known);
                }
            })
        };
        let others = || topology.members.keys().filter(|number| number.0 != own.number);
        for number in others() {
            self.peers.submit(*number, Request::Control(bytes.clone()), deadline, done());
        }
        // After a loss of power nobody may know anybody: the seeds bring the members together again.
        if others().any(|number| self.peers.address(*number).is_none()) {
            for seed in self.settings.seeds.iter().filter(|seed| **seed != own.address) {
                self.peers.pool().submit(seed, Request::Control(bytes.clone()), deadline, |_| Ok(()), done());
            }
        }
    }

    async fn store_addresses(&self, addresses: &[(NodeNumber, Arc<str>)]) -> Result<()> {
        let mut batch = Batch::new();
        for (number, address) in addresses {
            batch.put(
                meta_key(&format!("{ADDRESS_PREFIX}{:010}", number.0)),
                Bytes::copy_from_slice(address.as_bytes()),
            );
        }
        let lsn = self.engine.apply(batch)?;
        self.engine.synced(lsn).await
    }
}
