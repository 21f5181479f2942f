//! What a node holds, listed in key order: one copy for an exchange, or all copies merged for a scan of a bucket.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use bytes::Bytes;

use super::copies::CopyId;
use super::store::Replica;
use crate::base::error::Result;
use crate::base::ids::{BucketId, CopyNumber, PartitionId};
use crate::storage::key::{
    Bounds, after, bucket_bounds, copy_bounds, data_key, prefix_bounds, split_data_key,
};

/// Which copies to list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CopySet {
    /// This one.
    One(CopyId),
    /// Every copy that the node holds as an owner.
    Owned,
    /// Those, and every fallback copy.
    All,
}

/// Which part of which copies to list.
#[derive(Clone, Debug)]
pub struct PageQuery {
    /// The copies.
    pub copies: CopySet,
    /// One bucket; none only with one copy: all its buckets, in order.
    pub bucket: Option<BucketId>,
    /// Where to begin: bucket and key.
    pub after: Option<(BucketId, Bytes)>,
    /// Whether the key at which to begin is part of the page.
    pub inclusive: bool,
    /// Only keys that begin so (with a bucket).
    pub prefix: Bytes,
    /// Only keys before this one; empty sets no bound (with a bucket).
    pub end: Bytes,
    /// At most so many items.
    pub items_max: usize,
    /// No more once so many bytes are reached, but at least one item.
    pub bytes_max: usize,
}

/// One record of a page.
#[derive(Clone, Debug)]
pub struct ReplicaItem {
    /// The partition.
    pub partition: PartitionId,
    /// The bucket.
    pub bucket: BucketId,
    /// The key.
    pub key: Bytes,
    /// The record, encoded.
    pub record: Bytes,
}

/// A page in order of bucket and key; `more` says that the range may hold more after the last item.
#[derive(Clone, Debug, Default)]
pub struct ReplicaPage {
    /// The records.
    pub items: Vec<ReplicaItem>,
    /// Whether more may follow.
    pub more: bool,
}

impl Replica {
    /// Lists a page.
    ///
    /// # Errors
    /// What the engine reports.
    pub fn page(&self, query: &PageQuery) -> Result<ReplicaPage> {
        let copies = match query.copies {
            CopySet::One(id) => self.state(id).map(|copy| (id.partition, copy)).into_iter().collect(),
            CopySet::Owned => self.copies.all(),
            CopySet::All => [self.copies.all(), self.fallbacks.all()].concat(),
        };
        // Each copy holds about its share of the page; half as much again saves most second looks.
        let chunk = (query.items_max / copies.len().max(1)).saturating_mul(3) / 2 + 4;
        let mut sources: Vec<Source> = copies
            .into_iter()
            .filter_map(|(partition, copy)| Source::new(query, partition, copy.generation, chunk))
            .collect();
        let mut heap = BinaryHeap::with_capacity(sources.len());
        for (index, source) in sources.iter_mut().enumerate() {
            if let Some(head) = source.head(self)? {
                heap.push(Reverse((head, index)));
            }
        }
        let mut page = ReplicaPage::default();
        let mut bytes = 0;
        while let Some(Reverse((_, index))) = heap.pop() {
            if page.items.len() >= query.items_max || (bytes >= query.bytes_max && !page.items.is_empty()) {
                page.more = true;
                break;
            }
            let Some(source) = sources.get_mut(index) else { continue };
            if let Some(item) = source.items.pop_front() {
                bytes += item.key.len() + item.record.len();
                page.items.push(item);
            }
            if let Some(head) = source.head(self)? {
                heap.push(Reverse((head, index)));
            }
        }
        Ok(page)
    }
}

/// One copy's part of a page, read from the engine in chunks.
struct Source {
    from: Bytes,
    to: Bytes,
    chunk: usize,
    items: VecDeque<ReplicaItem>,
    exhausted: bool,
}

impl Source {
    fn new(query: &PageQuery, partition: PartitionId, generation: CopyNumber, chunk: usize) -> Option<Self> {
        let Bounds { mut from, mut to } = match query.bucket {
            None => copy_bounds(partition, generation),
            Some(bucket) if query.prefix.is_empty() => bucket_bounds(partition, generation, bucket),
            Some(bucket) => prefix_bounds(&data_key(partition, generation, bucket, &query.prefix)),
        };
        if let Some((bucket, key)) = &query.after {
            let key = data_key(partition, generation, *bucket, key);
            from = from.max(if query.inclusive { key } else { after(&key) });
        }
        if let Some(bucket) = query.bucket
            && !query.end.is_empty()
        {
            to = to.min(data_key(partition, generation, bucket, &query.end));
        }
        (from < to).then(|| Self { from, to, chunk, items: VecDeque::new(), exhausted: false })
    }

    fn head(&mut self, replica: &Replica) -> Result<Option<(BucketId, Bytes)>> {
        if self.items.is_empty() && !self.exhausted {
            let page = replica.engine.scan(&self.from, &self.to, self.chunk, 1 << 20)?;
            if let Some((last, _)) = page.items.last() {
                self.from = after(last);
            }
            self.exhausted = !page.more || page.items.is_empty();
            for (key, record) in page.items {
                let parts = split_data_key(&key)?;
                self.items.push_back(ReplicaItem {
                    partition: parts.partition,
                    bucket: parts.bucket,
                    key: parts.key,
                    record,
                });
            }
        }
        Ok(self.items.front().map(|item| (item.bucket, item.key.clone())))
    }
}
