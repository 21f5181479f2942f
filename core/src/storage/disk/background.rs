//! The threads of an engine: one syncs the log, one flushes sealed memory tables, one merges tables.
//! A failure is recorded where writers and waiters see it, and tried again; a panic ends all writing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::shared::{Shared, Status};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::settings::Durability;
use crate::storage::engine::Batch;

/// How long a failed flush or merge rests. A full disk is noticed to have space again within this time.
const RETRY: Duration = Duration::from_millis(250);
/// Runs at which a flush waits for the merging thread: each is one more place to look for a missing key.
const RUNS_SLOW: usize = 16;
/// Runs at which nothing is flushed any more. At 256 the tables could not be opened.
const RUNS_MAX: usize = 64;
/// Dropped ranges that may wait for merges to come by; beyond, everything is merged.
const DROPPED_MAX: usize = 64;

type Body = fn(&Shared);

/// The threads, by name.
pub(super) const BODIES: &[(&str, Body)] =
    &[("ringkeep-sync", sync_body), ("ringkeep-flush", flush_body), ("ringkeep-merge", merge_body)];

fn sync_body(shared: &Shared) {
    let interval = match shared.settings.durability {
        Durability::Sync => None,
        Durability::Interval => Some(shared.settings.sync_interval),
    };
    while shared.log.wait_for_work(interval) {
        // The error is with the waiters, and with every later call.
        let _known = shared.sync_log();
    }
}

fn flush_body(shared: &Shared) {
    while shared.wait_for_sealed() {
        if !wait_for_merges(shared) {
            return;
        }
        let flushed = {
            let _in_order = shared.flushing.lock();
            shared.flush_oldest()
        };
        if let Err(error) = flushed {
            shared.record_failure(Some(error));
            shared.rest(RETRY);
        }
    }
}

/// Waits while too many runs are unmerged; false when the engine stops.
fn wait_for_merges(shared: &Shared) -> bool {
    loop {
        let runs = shared.tables.view().runs;
        let progress = shared.progress();
        if progress.stop {
            return false;
        }
        if runs < RUNS_SLOW || (progress.merge_failed && runs < RUNS_MAX) {
            return true;
        }
        drop(progress);
        if runs >= RUNS_MAX {
            let message = format!("{runs} runs of tables are unmerged, as merging them fails");
            shared.record_failure(Some(Error::new(ErrorKind::Io, message)));
        }
        shared.request_merge();
        shared.rest(RETRY);
    }
}

fn merge_body(shared: &Shared) {
    shared.order_replayed();
    while shared.wait_for_merge_request() {
        let merged = merge(shared);
        shared.set_merge_failed(merged.is_err());
        if merged.is_err() {
            shared.rest(RETRY);
        }
    }
}

fn merge(shared: &Shared) -> Result<()> {
    let go_on = || !shared.progress().stop;
    for dropped in shared.dropped.settled() {
        shared.tables.drop_whole(&dropped.bounds)?;
    }
    shared.tables.compact(&go_on)?;
    if shared.dropped.list().len() > DROPPED_MAX && go_on() {
        shared.tables.compact_all()?;
    }
    for dropped in shared.dropped.settled() {
        let view = shared.tables.view();
        // What was above the tables when the range was dropped has been flushed since, without it.
        let mut rest = view.range(&dropped.bounds.from, &dropped.bounds.to)?;
        let mut gone = true;
        while let Some((_, value)) = rest.next()? {
            // Deletion markers hide nothing there, and go when they are merged to the last level.
            if value.is_some() {
                gone = false;
                break;
            }
        }
        if gone {
            let mut batch = Batch::new();
            batch.delete(super::dropped::Dropped::key(&dropped.bounds));
            shared.apply(&batch)?;
            shared.dropped.forget(&dropped.bounds);
        }
    }
    Ok(())
}

impl Shared {
    /// Runs the body of a thread; a panic in it ends all writing, and every wait.
    pub(super) fn guarded(&self, body: Body) {
        if catch_unwind(AssertUnwindSafe(|| body(self))).is_err() {
            let error = Error::new(ErrorKind::Internal, "a thread of the engine panicked");
            self.set_status(Status::Failed);
            self.log.abandon(&error);
            self.record_failure(Some(error));
        }
    }
}
