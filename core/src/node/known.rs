//! What this node remembers of the others across its own restarts: where each was reached, and the greatest start number
//! that each has shown, so that a clone or a disk that was rolled back is turned away.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use super::NodeCore;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::NodeNumber;
use crate::storage::Batch;
use crate::storage::key::{after, meta_bounds, meta_key};
use crate::wire::Hello;

const PREFIX: &str = "peer/";
/// Starts by which a member may be ahead of what it was last seen with. No process is started so often unseen.
const STARTS_AHEAD_MAX: u64 = 1 << 20;

/// What is remembered of a member.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Known {
    start: u64,
    /// Drawn by the member for that start; 0 after a restart of this node.
    nonce: u64,
    address: String,
}

/// The members that are remembered.
#[derive(Default, Debug)]
pub(super) struct KnownMembers {
    now: BTreeMap<NodeNumber, Known>,
    stored: BTreeMap<NodeNumber, Known>,
}

impl NodeCore {
    /// Loads what an earlier run stored.
    pub(super) fn load_peers(&self) -> Result<()> {
        let bounds = meta_bounds(PREFIX);
        let mut from = bounds.from;
        let mut known = self.known.lock();
        loop {
            let page = self.engine.scan(&from, &bounds.to, 1_024, 1 << 20)?;
            for (key, value) in &page.items {
                let (node, entry) = decode(key, value)?;
                self.peers.locate(node, &entry.address);
                known.now.insert(node, entry.clone());
                known.stored.insert(node, entry);
            }
            match page.items.last() {
                Some((last, _)) if page.more => from = after(last),
                _ => return Ok(()),
            }
        }
    }

    /// The start numbers that members have shown.
    pub(super) fn known_starts(&self) -> Vec<(NodeNumber, u64)> {
        self.known.lock().now.iter().map(|(node, known)| (*node, known.start)).collect()
    }

    /// Stores what is new.
    pub(super) async fn store_peers(&self) -> Result<()> {
        let changed: Vec<(NodeNumber, Known)> = {
            let mut known = self.known.lock();
            for (node, address) in self.peers.addresses() {
                address.as_ref().clone_into(&mut known.now.entry(node).or_default().address);
            }
            let KnownMembers { now, stored } = &*known;
            let news = now.iter().filter(|(node, known)| {
                stored.get(node).is_none_or(|old| (old.start, &old.address) != (known.start, &known.address))
            });
            news.map(|(node, known)| (*node, known.clone())).collect()
        };
        if changed.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new();
        for (node, known) in &changed {
            batch.put(meta_key(&format!("{PREFIX}{:010}", node.0)), encode(known));
        }
        let lsn = self.engine.apply(batch)?;
        self.engine.synced(lsn).await?;
        self.known.lock().stored.extend(changed);
        Ok(())
    }

    /// Turns away strangers: another cluster's members and clients, clones, and disks that were rolled back.
    ///
    /// # Errors
    /// `InvalidArgument` for another cluster, `Locked` for a member whose identity another process has.
    pub(super) fn check_hello(&self, theirs: &Hello) -> Result<()> {
        let ours = self.topology_now().map(|topology| topology.cluster);
        if let (Some(ours), Some(theirs)) = (ours, theirs.cluster)
            && ours != theirs
        {
            let reason = format!("this node belongs to cluster {ours}, the caller to cluster {theirs}");
            self.refused("hello_foreign_cluster", None, &reason);
            return Err(Error::new(ErrorKind::InvalidArgument, reason));
        }
        let Some(number) = theirs.number else { return Ok(()) };
        let (what, reason) = match self.judge_hello(number, theirs) {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        self.refused(what, Some(number), &reason);
        // A later start of this node's own number is not turned away for good: this process may be the stale one.
        let later = self.number() == Some(number) && theirs.start > self.identity.start;
        let kind = if later { ErrorKind::InvalidArgument } else { ErrorKind::Locked };
        Err(Error::new(kind, reason))
    }

    pub(super) fn judge_hello(
        &self,
        number: NodeNumber,
        theirs: &Hello,
    ) -> Result<(), (&'static str, String)> {
        if self.number() == Some(number) {
            if theirs.nonce == self.identity.nonce {
                return Ok(());
            }
            let reason = format!("another process says that it is n{number}, with start {}", theirs.start);
            return Err(("hello_own_number", reason));
        }
        if self.topology_now().is_none_or(|topology| !topology.members.contains_key(&number)) {
            // A member that this node has not heard of yet; its gossip is judged once the topology is here.
            return Ok(());
        }
        let mut members = self.known.lock();
        let known = members.now.entry(number).or_default();
        let (seen, shown) = (known.start, theirs.start);
        if shown < seen {
            return Err((
                "hello_old_start",
                format!(
                    "n{number} shows start {shown} after start {seen}: its disk is a copy or was rolled back; \
                     start it on an empty directory, as a new node"
                ),
            ));
        }
        if shown - seen > STARTS_AHEAD_MAX {
            return Err(("hello_forged_start", format!("n{number} shows start {shown} after start {seen}")));
        }
        if shown == seen && known.nonce != 0 && known.nonce != theirs.nonce {
            return Err((
                "hello_clone",
                format!("two processes show start {shown} of n{number}: one runs on a copy of its disk"),
            ));
        }
        (known.start, known.nonce) = (shown, theirs.nonce);
        Ok(())
    }

    /// This node was told by a member that another process has its identity: it must not go on.
    pub(super) fn fence(&self, error: &Error) {
        if self.gate.fence(error.clone()) {
            tracing::error!(reason = error.message(), "this node's identity is taken: it stops");
            self.refused("identity_taken", self.number(), error.message());
            self.peers.pool().close();
            // Whoever waits to become a member is told.
            self.activated.send_modify(|_| {});
        }
    }

    fn topology_now(&self) -> Option<std::sync::Arc<crate::ring::Topology>> {
        crate::client::TopologySource::current(self.topology.as_ref())
    }
}

fn encode(known: &Known) -> Bytes {
    let mut bytes = BytesMut::with_capacity(8 + known.address.len());
    bytes.put_u64(known.start);
    bytes.put_slice(known.address.as_bytes());
    bytes.freeze()
}

fn decode(key: &Bytes, value: &Bytes) -> Result<(NodeNumber, Known)> {
    let fault = || Error::corrupt(format!("the entry {key:?} about a member is damaged"));
    let digits = key.get(1 + PREFIX.len()..).and_then(|digits| std::str::from_utf8(digits).ok());
    let number = digits.and_then(|digits| digits.parse().ok()).ok_or_else(fault)?;
    let (start, address) = value.split_first_chunk::<8>().ok_or_else(fault)?;
    let address = std::str::from_utf8(address).map_err(|_| fault())?.to_owned();
    Ok((NodeNumber(number), Known { start: u64::from_be_bytes(*start), nonce: 0, address }))
}
