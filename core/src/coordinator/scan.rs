//! Coordinating one page of a scan: every member lists its copies in key order, and what enough owners of each partition
//! have listed is merged. A page ends where the first of the lists ends, so that no key is skipped.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::put::refusal;
use super::quorum::Requirement;
use super::{Coordinator, Place, no_such_bucket};
use crate::base::error::{Detail, Error, ErrorKind, Result};
use crate::base::ids::{BucketId, NodeNumber};
use crate::causality::{Record, encoding};
use crate::client::{Caller, ScanRequest, ScannedPage, current};
use crate::replica::{CopySet, PageQuery};
use crate::ring::Topology;
use crate::wire::{Request, Response, position};

/// Bytes of one member's list at the most: a page of every member fits in memory many times over.
const PAGE_BYTES_MAX: u32 = 4 << 20;

/// One member's list: keys with encoded records, and whether more follow.
struct Listed {
    items: Vec<(Bytes, Bytes)>,
    more: bool,
}

type Lists = BTreeMap<NodeNumber, Listed>;
/// Why members listed nothing.
type Failures = BTreeMap<NodeNumber, String>;

impl Coordinator {
    /// Coordinates one page of a scan.
    ///
    /// # Errors
    /// `QuorumUnavailable` when some partition's level cannot be met, `Timeout`, …
    pub async fn scan(&self, request: &ScanRequest) -> Result<ScannedPage> {
        let topology = current(self.source.as_ref())?;
        let coverage = self.coverage(&topology, request)?;
        // A scan reads tables: an event loop's thread never does.
        if request.caller == Caller::EventLoop {
            Self::leave_event_loop(request.caller).await;
        }
        let mut lists = Lists::new();
        if !self.replica.recovering() {
            lists.insert(self.me(), self.list_here(request)?);
        }
        if !coverage.met(&lists, &BTreeMap::new()) {
            lists = self.ask_lists(&topology, coverage, request, lists).await?;
        }
        let mut page = merge_lists(lists, request.items_max as usize)?;
        page.now = self.replica.now();
        Ok(page)
    }

    fn list_here(&self, request: &ScanRequest) -> Result<Listed> {
        let page = self.replica.page(&query(request))?;
        let items = page.items.into_iter().map(|item| (item.key, item.record)).collect();
        Ok(Listed { items, more: page.more })
    }

    fn coverage(&self, topology: &Arc<Topology>, request: &ScanRequest) -> Result<Coverage> {
        let spec = topology.buckets.get(&request.bucket).ok_or_else(|| no_such_bucket(request.bucket))?;
        let mut distinct: Vec<Requirement> = Vec::new();
        for partition in topology.partition_ids() {
            let place = Place {
                topology: Arc::clone(topology),
                bucket: request.bucket,
                partition,
                owners: topology.owners(partition, &spec.n),
                sloppy: request.sloppy,
                copy: partition.into(),
            };
            let requirement = self.requirement("r", request.level, &place)?;
            if !distinct.contains(&requirement) {
                distinct.push(requirement);
            }
        }
        Ok(Coverage(distinct))
    }

    async fn ask_lists(
        &self,
        topology: &Arc<Topology>,
        coverage: Coverage,
        request: &ScanRequest,
        lists: Lists,
    ) -> Result<Lists> {
        let me = self.me();
        let (sender, receiver) = oneshot::channel();
        let others: Vec<_> = topology.members.keys().copied().filter(|node| *node != me).collect();
        let round = Arc::new(ListRound {
            bucket: request.bucket,
            state: Mutex::new(ListState {
                coverage,
                lists,
                open: others.len(),
                failed: BTreeMap::new(),
                finish: Some(sender),
            }),
        });
        let deadline = self.peer_deadline(request.deadline);
        for node in others {
            let page = Request::Page {
                epoch: topology.epoch,
                partition: None,
                bucket: Some(request.bucket),
                after: position(request.bucket, &request.after),
                inclusive: request.inclusive,
                end: request.end.clone(),
                prefix: request.prefix.clone(),
                items_max: request.items_max,
                bytes_max: PAGE_BYTES_MAX,
                records: true,
                sloppy: request.sloppy,
            };
            let round = Arc::clone(&round);
            self.peers.submit(node, page, deadline, Box::new(move |reply| round.take(node, reply)));
        }
        match request.deadline.limit(receiver).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => {
                let state = round.state.lock();
                Err(state.error(ErrorKind::Timeout, "the deadline passed"))
            }
        }
    }
}

/// What a scan of this node's copies lists.
fn query(request: &ScanRequest) -> PageQuery {
    PageQuery {
        copies: if request.sloppy { CopySet::All } else { CopySet::Owned },
        bucket: Some(request.bucket),
        after: Some((request.bucket, request.after.clone())),
        inclusive: request.inclusive,
        prefix: request.prefix.clone(),
        end: request.end.clone(),
        items_max: request.items_max as usize,
        bytes_max: PAGE_BYTES_MAX as usize,
    }
}

/// Which members must have listed their copies: the level of each partition, equal ones once.
struct Coverage(Vec<Requirement>);

impl Coverage {
    fn met(&self, lists: &Lists, failed: &Failures) -> bool {
        let (answered, failed) = (|node| lists.contains_key(&node), |node| failed.contains_key(&node));
        self.0.iter().all(|requirement| requirement.covered_by(&answered, &failed))
    }
}

struct ListRound {
    bucket: BucketId,
    state: Mutex<ListState>,
}

struct ListState {
    coverage: Coverage,
    lists: Lists,
    open: usize,
    failed: Failures,
    finish: Option<oneshot::Sender<Result<Lists>>>,
}

impl ListRound {
    fn take(&self, node: NodeNumber, reply: Result<Response>) {
        let mut state = self.state.lock();
        state.open -= 1;
        match reply.and_then(Response::into_result) {
            Ok(Response::Page { items, more, .. }) => {
                let items = items
                    .into_iter()
                    .filter(|item| item.bucket == self.bucket)
                    .map(|item| (item.key, item.content))
                    .collect();
                state.lists.insert(node, Listed { items, more });
            }
            Ok(other) => {
                state.failed.insert(node, refusal(&other));
            }
            Err(error) => {
                state.failed.insert(node, error.message().to_owned());
            }
        }
        let result = if state.coverage.met(&state.lists, &state.failed) {
            Ok(std::mem::take(&mut state.lists))
        } else if state.open == 0 {
            Err(state.error(ErrorKind::QuorumUnavailable, "some partitions lack enough owners"))
        } else {
            return;
        };
        if let Some(finish) = state.finish.take() {
            // The caller may have gone.
            let _unsent = finish.send(result);
        }
    }
}

impl ListState {
    fn error(&self, kind: ErrorKind, what: &str) -> Error {
        let needed = self.coverage.0.iter().map(Requirement::needed).max().unwrap_or(1);
        let reasons: String =
            self.failed.iter().map(|(node, reason)| format!("; n{node}: {reason}")).collect();
        let narrow = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Error::new(kind, format!("{what}{reasons}")).with_detail(Detail::Quorum {
            needed: narrow(needed),
            received: narrow(self.lists.len()),
            replicas: self.failed.iter().map(|(node, why)| (format!("n{node}"), why.clone())).collect(),
        })
    }
}

/// Merges lists by key, up to the least last key of the lists that go on.
fn merge_lists(lists: Lists, items_max: usize) -> Result<ScannedPage> {
    let bound: Option<Bytes> = lists
        .values()
        .filter(|list| list.more)
        .map(|list| list.items.last().map(|(key, _)| key.clone()).unwrap_or_default())
        .min();
    let mut merged: BTreeMap<Bytes, Record> = BTreeMap::new();
    for (key, bytes) in lists.into_values().flat_map(|list| list.items) {
        if bound.as_ref().is_some_and(|bound| key > *bound) {
            continue;
        }
        let record = encoding::decode(&bytes)?;
        merged.entry(key).and_modify(|known| *known = known.merge(&record)).or_insert(record);
    }
    let cut = merged.len() > items_max;
    let more = cut || bound.is_some();
    let items: Vec<_> = merged.into_iter().take(items_max).collect();
    let last = match bound {
        Some(bound) if !cut => bound,
        _ => items.last().map(|(key, _)| key.clone()).unwrap_or_default(),
    };
    Ok(ScannedPage { items, more, last, ..ScannedPage::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(keys: &[&'static str], more: bool) -> Listed {
        let record = encoding::encode(&Record::default());
        Listed {
            items: keys.iter().map(|key| (Bytes::from_static(key.as_bytes()), record.clone())).collect(),
            more,
        }
    }

    fn keys(page: &ScannedPage) -> Vec<&[u8]> {
        page.items.iter().map(|(key, _)| key.as_ref()).collect()
    }

    #[test]
    fn a_page_ends_where_the_first_unfinished_list_ends() {
        let lists = Lists::from([
            (NodeNumber(1), listed(&["a", "c"], true)),
            (NodeNumber(2), listed(&["b", "d", "e"], false)),
        ]);
        let page = merge_lists(lists, 10).unwrap();
        assert_eq!(keys(&page), [b"a", b"b", b"c"]);
        assert!(page.more);
        assert_eq!(&page.last[..], b"c");
    }

    #[test]
    fn a_page_of_finished_lists_is_the_last_unless_it_is_cut() {
        let lists = || Lists::from([(NodeNumber(1), listed(&["a", "b", "c"], false))]);
        assert!(!merge_lists(lists(), 3).unwrap().more);
        let cut = merge_lists(lists(), 2).unwrap();
        assert!(cut.more);
        assert_eq!(&cut.last[..], b"b");
    }
}
