//! The entries of a sealed memory table, as a flush writes them: in key order, taken in chunks, without what was dropped.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::dropped::Dropped;
use super::table::{Entry, MemoryTable};
use crate::base::error::Result;

/// Entries that are taken from the memory table at a time.
const CHUNK: usize = 1_024;

/// The entries of a memory table in key order, without those that were dropped.
pub(super) struct Entries<'a> {
    table: &'a MemoryTable,
    dropped: &'a Dropped,
    chunk: std::vec::IntoIter<Entry>,
    after: Option<Arc<[u8]>>,
}

impl<'a> Entries<'a> {
    pub(super) fn of(table: &'a MemoryTable, dropped: &'a Dropped) -> Self {
        Self { table, dropped, chunk: Vec::new().into_iter(), after: None }
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<(Bytes, Option<Bytes>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.chunk.next() {
                if self.dropped.covers(&key) {
                    continue;
                }
                return Some(Ok((Bytes::from_owner(key), value)));
            }
            let from = self.after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let chunk = self.table.page(from, Bound::Unbounded, CHUNK);
            self.after = Some(chunk.last()?.0.clone());
            self.chunk = chunk.into_iter();
        }
    }
}
