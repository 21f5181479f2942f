//! Answering peers and clients: each request is checked against the topology, then handed to the replica or the
//! coordinator. What a peer sends may be wrong or hostile; the answer is then an error, and nothing changes.

use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::NodeCore;
use crate::base::env::{BoxFuture, Deadline};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::{BucketId, Epoch, NodeNumber, PartitionId, Time};
use crate::causality::{Clock, encoding};
use crate::client::{Caller, ReadRequest, ScanRequest, WriteRequest, level_of};
use crate::replica::{CopyId, CopySet, Holder, PageQuery, Refusal, Replica, ReplicaItem};
use crate::ring::{BucketSpec, Topology};
use crate::wire::{Connection, Handler, Hello, PageItem, Request, Response, Role, Route};

/// Items of a page that a peer may ask for at the most.
const PAGE_ITEMS_MAX: u32 = 4_096;
/// Bytes of a page at the most: a page and one record past it fit into a frame.
const PAGE_BYTES_MAX: u32 = 4 << 20;

/// The node as its connections see it. Weak: a connection does not keep a closed node alive.
pub(super) struct Service {
    pub(super) core: Weak<NodeCore>,
}

impl Handler for Service {
    fn handle(&self, peer: &Arc<Connection>, request: Request) -> BoxFuture<'static, Response> {
        let Some(core) = self.core.upgrade() else {
            return Box::pin(std::future::ready(Response::Failed(closed())));
        };
        let peer = Arc::clone(peer);
        Box::pin(async move {
            match core.answer(request, peer.hello()).await {
                Ok(response) => response,
                Err(error) => Response::Failed(error),
            }
        })
    }

    fn greet(&self, theirs: &Hello) -> Result<Hello> {
        let core = self.core.upgrade().ok_or_else(closed)?;
        core.check_hello(theirs)?;
        Ok(core.introduce())
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the node is closed")
}

impl NodeCore {
    async fn answer(self: &Arc<Self>, request: Request, hello: &Hello) -> Result<Response> {
        // A member that dialed before it was one is still greeted as a joiner on that connection.
        let from_member = hello.role != Role::Client;
        if self.closed() {
            return Err(closed());
        }
        // What is rare or large has its own allocation: the future of every request is as large as its largest arm.
        match request {
            Request::Control(bytes) => {
                Box::pin(self.answer_control(bytes, hello)).await.map(Response::Control)
            }
            Request::Apply { route, key, captured, record } => {
                self.catch_up(route.epoch).await;
                self.check_sender(from_member, hello.number)?;
                self.apply(route, &key, captured, &record).await
            }
            Request::Fetch { route, key, full } => {
                self.catch_up(route.epoch).await;
                self.fetch(route, &key, full)
            }
            page @ Request::Page { .. } => {
                if let Request::Page { epoch, .. } = &page {
                    self.catch_up(*epoch).await;
                }
                self.page(page)
            }
            write @ Request::Write { .. } => {
                let _admitted = self.admission.admit(&write)?;
                Box::pin(self.coordinate_write(write, from_member)).await
            }
            read @ Request::Read { .. } => {
                let _admitted = self.admission.admit(&read)?;
                let Request::Read { route, key, need, timeout_ms } = read else {
                    return Err(Error::invalid("not a read"));
                };
                let deadline = self.limit(timeout_ms);
                let read = (route, key, need);
                Box::pin(self.coordinate_read(read, deadline, from_member)).await
            }
            scan @ Request::Scan { .. } => {
                let _admitted = self.admission.admit(&scan)?;
                Box::pin(self.coordinate_scan(scan)).await
            }
        }
    }

    fn limit(&self, timeout_ms: u32) -> Deadline {
        self.env.deadline(std::time::Duration::from_millis(timeout_ms.into()))
    }

    /// The topology if a request about a partition may be served under it; the outer error is an answer.
    fn current_for(&self, route: Route) -> Result<Arc<Topology>, Response> {
        let topology = self.topology().ok_or_else(|| Response::Failed(crate::client::no_cluster()))?;
        if u32::from(route.partition.0) >= topology.partitions {
            let text = format!("partition {} of {}", route.partition, topology.partitions);
            self.refused("unknown_partition", None, &text);
            return Err(Response::Failed(Error::invalid(text)));
        }
        let changed = topology.changed.get(usize::from(route.partition.0)).copied().unwrap_or_default();
        if route.epoch < changed {
            return Err(Response::StaleEpoch { epoch: topology.epoch });
        }
        Ok(topology)
    }

    /// The answer to a request about one partition, or all, whose epoch is older than the last change there.
    fn stale_for(&self, epoch: Epoch, partition: Option<PartitionId>) -> Option<Response> {
        let topology = self.topology()?;
        let changed = match partition {
            Some(partition) => topology.changed.get(usize::from(partition.0)).copied(),
            None => topology.changed.iter().max().copied(),
        };
        changed
            .is_some_and(|changed| epoch < changed)
            .then_some(Response::StaleEpoch { epoch: topology.epoch })
    }

    /// As `current_for`, for a replica's request: the sender must have found this node among the owners, or for a sloppy
    /// request among the fallbacks. Gives the copy that serves it.
    fn held(&self, route: Route, key: &[u8]) -> Result<(Arc<Replica>, CopyId), Response> {
        let topology = self.current_for(route)?;
        let serving = self.serving().map_err(Response::Failed)?;
        let bucket = topology.buckets.get(&route.bucket);
        let Some(bucket) = bucket else {
            self.refused("unknown_bucket", None, &format!("bucket number {}", route.bucket));
            return Err(Response::NotOwner { epoch: topology.epoch });
        };
        let Some(holder) = self.holder(&topology, bucket, route).map_err(Response::Failed)? else {
            return Err(Response::NotOwner { epoch: topology.epoch });
        };
        if topology.partition_of(route.bucket, key) != route.partition {
            let text = format!("the key does not lie in partition {}", route.partition);
            return Err(Response::Failed(Error::invalid(text)));
        }
        Ok((Arc::clone(&serving.replica), CopyId { partition: route.partition, holder }))
    }

    /// Records come from members. One that dialed before it was a member said no number then.
    fn check_sender(&self, from_member: bool, peer: Option<NodeNumber>) -> Result<()> {
        let topology = self.topology().ok_or_else(crate::client::no_cluster)?;
        if from_member && peer.is_none_or(|number| topology.members.contains_key(&number)) {
            return Ok(());
        }
        let text = match peer {
            Some(number) => format!("a record from n{number}, which is no member"),
            None => "a record from a client".to_owned(),
        };
        self.refused("unknown_member", peer, &text);
        Err(Error::invalid(text))
    }

    async fn apply(&self, route: Route, key: &Bytes, captured: Time, record: &Bytes) -> Result<Response> {
        self.check_key(key)?;
        self.check_record(record)?;
        let (replica, copy) = match self.held(route, key) {
            Ok(held) => held,
            Err(response) => return Ok(response),
        };
        let merged = loop {
            match replica.merge(copy, route.bucket, key, record, captured) {
                Ok(merged) => break merged,
                Err(refusal @ Refusal::Stale { now, .. }) => {
                    let reason = refusal.lease().err().map(|error| error.to_string());
                    self.refused("stale_record", None, &reason.unwrap_or_default());
                    return Ok(Response::StaleRecord { now });
                }
                Err(refusal) => Box::pin(self.lease.extend(refusal.lease()?)).await?,
            }
        };
        replica.engine().acknowledged(merged.lsn).await.map_err(|error| error.maybe_applied_if(true))?;
        Ok(Response::Applied { winner: merged.winner, now: replica.now() })
    }

    fn fetch(&self, route: Route, key: &Bytes, full: bool) -> Result<Response> {
        self.check_key(key)?;
        let (replica, copy) = match self.held(route, key) {
            Ok(held) => held,
            Err(response) => return Ok(response),
        };
        if !full && !replica.counts(copy) {
            return Err(Error::new(
                ErrorKind::QuorumUnavailable,
                "its copy is recovering: it may have forgotten something and is being compared",
            ));
        }
        // The time of a capture lies before the read, however long this thread then stands still.
        let now = replica.now();
        let record = replica.read(copy, route.bucket, key)?;
        if full {
            return Ok(Response::Record { record, now });
        }
        let hash = record.map(|bytes| encoding::hash_of(&bytes)).transpose()?.map(|hash| hash.0);
        Ok(Response::Digest { hash, now })
    }

    fn page(&self, request: Request) -> Result<Response> {
        let Request::Page {
            epoch,
            partition,
            bucket,
            after,
            inclusive,
            end,
            prefix,
            items_max,
            bytes_max,
            records,
            sloppy,
        } = request
        else {
            return Err(Error::invalid("not a page"));
        };
        if let Some(stale) = self.stale_for(epoch, partition) {
            return Ok(stale);
        }
        let serving = self.serving()?;
        let replica = &serving.replica;
        if partition.is_none() && (bucket.is_none() || replica.recovering()) {
            let text = "copies of this node are recovering and cannot be listed yet";
            return Err(Error::new(ErrorKind::QuorumUnavailable, text));
        }
        let query = PageQuery {
            copies: match partition {
                Some(partition) => CopySet::One(partition.into()),
                None if sloppy => CopySet::All,
                None => CopySet::Owned,
            },
            bucket,
            after: split_position(&after)?,
            inclusive,
            prefix,
            end,
            items_max: items_max.clamp(1, PAGE_ITEMS_MAX) as usize,
            bytes_max: bytes_max.clamp(1, PAGE_BYTES_MAX) as usize,
        };
        let page = replica.page(&query)?;
        let items = page.items.into_iter().map(|item| page_item(item, records)).collect::<Result<_>>()?;
        Ok(Response::Page { items, more: page.more, now: replica.now() })
    }

    async fn coordinate_write(self: &Arc<Self>, request: Request, from_member: bool) -> Result<Response> {
        let Request::Write { route, key, change, expires, context, need, floor, timeout_ms } = request else {
            return Err(Error::invalid("not a write"));
        };
        self.check_key(&key)?;
        if let crate::wire::Change::Value(value) = &change {
            self.check_value(value)?;
        }
        let topology = match self.current_for(route) {
            Ok(topology) => topology,
            Err(response) => return Ok(response),
        };
        let Some(bucket) = topology.buckets.get(&route.bucket) else {
            return Ok(Response::NotOwner { epoch: topology.epoch });
        };
        let request = WriteRequest {
            bucket: route.bucket,
            key,
            change,
            expiry: expires,
            context: context.map(|bytes| Clock::decode(&bytes)).transpose()?,
            level: level_of(need, bucket.w)?,
            sloppy: route.sloppy,
            floor,
            deadline: self.limit(timeout_ms),
            caller: Caller::Thread,
        };
        if from_member && self.holder(&topology, bucket, route)?.is_none() {
            return Ok(Response::NotOwner { epoch: topology.epoch });
        }
        if from_member {
            // Forwarded once is enough: its sender asks another owner.
            self.check_clock()?;
        }
        let written = self.write_anywhere(&request, from_member).await?;
        Ok(Response::Written {
            dot: written.dot,
            clock: written.clock.encode(),
            owners: u8::try_from(written.owners).unwrap_or(u8::MAX),
            fallbacks: u8::try_from(written.fallbacks).unwrap_or(u8::MAX),
            now: written.now,
        })
    }

    async fn coordinate_read(
        self: &Arc<Self>,
        (route, key, need): (Route, Bytes, crate::wire::Need),
        deadline: Deadline,
        from_member: bool,
    ) -> Result<Response> {
        self.check_key(&key)?;
        let topology = match self.current_for(route) {
            Ok(topology) => topology,
            Err(response) => return Ok(response),
        };
        let Some(bucket) = topology.buckets.get(&route.bucket) else {
            return Ok(Response::NotOwner { epoch: topology.epoch });
        };
        if from_member && self.holder(&topology, bucket, route)?.is_none() {
            return Ok(Response::NotOwner { epoch: topology.epoch });
        }
        let request = ReadRequest {
            bucket: route.bucket,
            key,
            level: level_of(need, bucket.r)?,
            sloppy: route.sloppy,
            deadline,
            caller: Caller::Thread,
        };
        let (record, now) = self.read_anywhere(&request, from_member).await?;
        Ok(Response::Record { record, now })
    }

    async fn coordinate_scan(self: &Arc<Self>, request: Request) -> Result<Response> {
        let Request::Scan {
            bucket,
            epoch,
            after,
            inclusive,
            end,
            prefix,
            items_max,
            need,
            timeout_ms,
            sloppy,
            ..
        } = request
        else {
            return Err(Error::invalid("not a scan"));
        };
        self.catch_up(epoch).await;
        if let Some(stale) = self.stale_for(epoch, None) {
            return Ok(stale);
        }
        let topology = self.topology().ok_or_else(crate::client::no_cluster)?;
        let level = match topology.buckets.get(&bucket) {
            Some(spec) => level_of(need, spec.r)?,
            None => return Err(Error::new(ErrorKind::NoSuchBucket, format!("no bucket number {bucket}"))),
        };
        let scan = ScanRequest {
            bucket,
            after,
            inclusive,
            prefix,
            end,
            items_max: items_max.clamp(1, PAGE_ITEMS_MAX),
            level,
            sloppy,
            deadline: self.limit(timeout_ms),
            caller: Caller::Thread,
        };
        let page = self.serving()?.coordinator.scan(&scan).await?;
        Ok(scan_response(&topology, bucket, page))
    }

    /// As what this node may serve a request about a key.
    fn holder(&self, topology: &Topology, bucket: &BucketSpec, route: Route) -> Result<Option<Holder>> {
        let me = self.serving()?.replica.number();
        Ok(Holder::of(me, topology, route.partition, &bucket.n, route.sloppy))
    }

    pub(super) fn check_key(&self, key: &[u8]) -> Result<()> {
        let most = self.settings.key_bytes_max as usize;
        if key.is_empty() || key.len() > most {
            return Err(Error::invalid(format!("a key of {} bytes; 1 to {most} are taken", key.len())));
        }
        Ok(())
    }

    fn check_value(&self, value: &[u8]) -> Result<()> {
        let most = self.settings.value_bytes_max as usize;
        if value.len() > most {
            return Err(Error::invalid(format!(
                "a value of {} bytes; at most {most} are taken",
                value.len()
            )));
        }
        Ok(())
    }

    /// A merge never refuses siblings; the bound is what a frame could carry.
    fn check_record(&self, record: &[u8]) -> Result<()> {
        let most = self.settings.frame_bytes_max as usize;
        if record.len() > most {
            return Err(Error::invalid(format!(
                "a record of {} bytes; at most {most} are taken",
                record.len()
            )));
        }
        Ok(())
    }
}

/// As much of a merged page as fits a frame; what is cut follows on the next page.
fn scan_response(topology: &Topology, bucket: BucketId, page: crate::client::ScannedPage) -> Response {
    let (mut bytes, mut more) = (0, page.more);
    let mut items = Vec::with_capacity(page.items.len());
    for (key, record) in page.items {
        let content = encoding::encode(&record);
        if bytes + content.len() > PAGE_BYTES_MAX as usize && !items.is_empty() {
            more = true;
            break;
        }
        bytes += key.len() + content.len();
        let partition = topology.partition_of(bucket, &key);
        items.push(PageItem { bucket, partition, key, content });
    }
    Response::Page { items, more, now: page.now }
}

fn page_item(item: ReplicaItem, records: bool) -> Result<PageItem> {
    let content = if records {
        item.record
    } else {
        Bytes::copy_from_slice(&encoding::hash_of(&item.record)?.0.to_be_bytes())
    };
    Ok(PageItem { bucket: item.bucket, partition: item.partition, key: item.key, content })
}

/// A position in a copy: four bytes of bucket, then the key; empty is the beginning.
fn split_position(position: &Bytes) -> Result<Option<(BucketId, Bytes)>> {
    if position.is_empty() {
        return Ok(None);
    }
    match position.split_first_chunk::<4>() {
        Some((bucket, _)) => Ok(Some((BucketId(u32::from_be_bytes(*bucket)), position.slice(4..)))),
        None => Err(Error::invalid("a position of fewer than 4 bytes")),
    }
}
