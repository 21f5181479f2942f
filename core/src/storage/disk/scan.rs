//! A scan: the memory tables and the tables on disk, merged in key order, the newest version of each key winning.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::dropped::Dropped;
use super::runs::Runs;
use super::table::{Entry, MemoryTable};
use super::tables::View;
use crate::base::error::Result;
use crate::storage::engine::ScanPage;

/// Entries that are taken from a memory table at a time.
const CHUNK: usize = 256;

/// One memory table, read in chunks, so that its index is locked briefly.
struct Source {
    table: Arc<MemoryTable>,
    chunk: VecDeque<Entry>,
    from: Bound<Arc<[u8]>>,
    done: bool,
}

impl Source {
    fn peek(&mut self, to: &[u8], wanted: usize) -> Option<&Entry> {
        if self.chunk.is_empty() && !self.done {
            let from = match &self.from {
                Bound::Included(key) => Bound::Included(&**key),
                Bound::Excluded(key) => Bound::Excluded(&**key),
                Bound::Unbounded => Bound::Unbounded,
            };
            let chunk = self.table.page(from, Bound::Excluded(to), wanted);
            self.done = chunk.len() < wanted;
            if let Some((key, _)) = chunk.last() {
                self.from = Bound::Excluded(key.clone());
            }
            self.chunk = chunk.into();
        }
        self.chunk.front()
    }
}

/// The merged entries of a range, deleted keys included as `None`.
struct Merge<'a> {
    to: &'a [u8],
    wanted: usize,
    /// Newest first.
    memory: Vec<Source>,
    /// Below all memory tables.
    tables: Runs,
}

impl Merge<'_> {
    fn next(&mut self) -> Result<Option<(Bytes, Option<Bytes>)>> {
        let mut least: Option<&Arc<[u8]>> = None;
        for source in &mut self.memory {
            if let Some((key, _)) = source.peek(self.to, self.wanted)
                && least.is_none_or(|least| key < least)
            {
                least = Some(key);
            }
        }
        let Some(least) = least.cloned() else { return self.tables.next() };
        let mut shared = None;
        match self.tables.peek().map(|key| key.cmp(&least)) {
            Some(std::cmp::Ordering::Less) => return self.tables.next(),
            // The tables' own key is taken where they have it, as it needs no copy.
            Some(std::cmp::Ordering::Equal) => shared = self.tables.next()?.map(|(key, _)| key),
            _ => {}
        }
        let mut newest = None;
        for source in &mut self.memory {
            if source.chunk.front().is_some_and(|(key, _)| *key == least)
                && let Some((_, value)) = source.chunk.pop_front()
            {
                newest.get_or_insert(value);
            }
        }
        let key = shared.unwrap_or_else(|| Bytes::copy_from_slice(&least));
        Ok(Some((key, newest.flatten())))
    }
}

/// A page of a scan over memory tables, newest first, and the tables below them, which must have been captured later.
pub(super) fn page(
    memory: Vec<Arc<MemoryTable>>,
    view: &View,
    dropped: &Dropped,
    (from, to): (&[u8], &[u8]),
    (items_max, bytes_max): (usize, usize),
) -> Result<ScanPage> {
    let source =
        |table| Source { table, chunk: VecDeque::new(), from: Bound::Included(Arc::from(from)), done: false };
    let wanted = CHUNK.min(items_max.saturating_add(1));
    let mut memory: Vec<Source> = memory.into_iter().map(source).collect();
    memory.retain_mut(|source| source.peek(to, wanted).is_some());
    let mut merge = Merge { to, wanted, memory, tables: view.range(from, to)? };
    let dropped = dropped.list();
    let mut page = ScanPage::default();
    let mut bytes = 0;
    while let Some((key, value)) = merge.next()? {
        let Some(value) = value else { continue };
        if dropped.iter().any(|range| range.covers(&key)) {
            continue;
        }
        if page.items.len() >= items_max || (bytes >= bytes_max && !page.items.is_empty()) {
            page.more = true;
            break;
        }
        bytes += key.len() + value.len();
        page.items.push((key, value));
    }
    Ok(page)
}
