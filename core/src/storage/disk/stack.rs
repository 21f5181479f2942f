//! The memory tables of an engine, newest first: the active one, and sealed ones that wait to be flushed.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::table::{MemoryTable, hash};

/// The tables above those on disk.
#[derive(Debug)]
pub(super) struct Stack {
    pub(super) active: Arc<MemoryTable>,
    /// Oldest first.
    pub(super) sealed: VecDeque<Arc<MemoryTable>>,
}

impl Stack {
    pub(super) fn new() -> Self {
        Self { active: Arc::new(MemoryTable::new()), sealed: VecDeque::new() }
    }

    /// The newest value or deletion marker of a key, if any of the tables has one.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<Bytes>> {
        let hash = hash(key);
        self.active.get(hash, key).or_else(|| self.sealed.iter().rev().find_map(|table| table.get(hash, key)))
    }

    /// All tables, newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Arc<MemoryTable>> {
        std::iter::once(&self.active).chain(self.sealed.iter().rev())
    }

    /// Begins a new active table.
    pub(super) fn seal(&mut self) {
        let sealed = std::mem::replace(&mut self.active, Arc::new(MemoryTable::new()));
        self.sealed.push_back(sealed);
    }

    /// Bytes of all tables.
    pub(super) fn bytes(&self) -> u64 {
        self.newest_first().map(|table| table.bytes()).sum()
    }
}
