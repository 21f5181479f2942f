//! Opening a data directory: the lock, the tables, and the log replayed over them into memory tables.

use std::path::Path;
use std::sync::Arc;

use super::DiskSettings;
use super::directory::{Directory, LOG, TABLES};
use super::dropped::Dropped;
use super::frame::{Frame, Operations};
use super::log::Log;
use super::replay::{Known, replay};
use super::shared::Shared;
use super::stack::Stack;
use super::tables::Tables;
use crate::base::error::{Error, Result};
use crate::storage::engine::Lsn;

/// Opens everything that an engine works on. Nothing is written to the log yet.
pub(super) fn recover(path: &Path, settings: DiskSettings) -> Result<Shared> {
    let mut directory = Directory::open(path)?;
    let last_run = directory.last_run()?;
    let opening = last_run.opening(&settings.boot);
    let dropped = Arc::new(Dropped::default());
    let tables = Tables::open(directory.path().join(TABLES), settings.block_cache_bytes, &dropped)?;
    remember_dropped(&tables, &dropped)?;

    let persisted = tables.persisted();
    let mut stack = Stack::new();
    let log_directory = directory.path().join(LOG);
    let known = Known { persisted, last_run, opening };
    let replayed = replay(&log_directory, &known, &mut |frame| {
        if stack.active.bytes() > settings.memory_table_bytes {
            stack.seal();
        }
        replay_frame(frame, &stack, &dropped)
    })?;
    let last = Lsn(replayed.next.0 - 1);
    if last > persisted {
        stack.active.cover(last);
    }
    directory.begin(opening, &settings.boot)?;
    let log = Log::new(log_directory, replayed.segments, replayed.next, settings.faults.clone());
    let shared = Shared::new(settings, directory, log, stack, tables, dropped, opening, replayed.torn_bytes);
    shared.flush_many_segments();
    Ok(shared)
}

/// Learns which ranges were dropped and may still have bytes in tables.
fn remember_dropped(tables: &Tables, dropped: &Dropped) -> Result<()> {
    let keys = Dropped::keys();
    let mut remembered = tables.view().range(&keys.from, &keys.to)?;
    while let Some((key, value)) = remembered.next()? {
        if value.is_none() {
            continue;
        }
        let bounds = Dropped::of_key(&key)
            .ok_or_else(|| Error::corrupt(format!("not an engine key for a dropped range: {key:02x?}")))?;
        dropped.add(bounds, tables.persisted());
    }
    Ok(())
}

fn replay_frame(frame: &Frame<'_>, stack: &Stack, dropped: &Dropped) -> Result<()> {
    for operation in Operations::new(frame.payload) {
        let (key, value) =
            operation.ok_or_else(|| Error::corrupt(format!("batch {} holds no operations", frame.lsn)))?;
        stack.active.replay(frame.lsn, key, value);
        if let Some(bounds) = Dropped::of_key(key) {
            if value.is_some() {
                stack.active.remove_range(&bounds.from, &bounds.to);
                dropped.add(bounds, frame.lsn);
            } else {
                dropped.forget(&bounds);
            }
        }
    }
    stack.active.cover(frame.lsn);
    Ok(())
}
