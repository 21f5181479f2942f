//! The compaction filter: what lies in a dropped range is not copied to the next table.

use std::sync::Arc;

use lsm_tree::compaction::filter::{CompactionFilter, Context, Factory, ItemAccessor, Verdict};

use super::dropped::{Drop, Dropped};

/// Makes a filter for each merge.
pub(super) struct DropFilter(Arc<Dropped>);

impl DropFilter {
    pub(super) fn new(dropped: Arc<Dropped>) -> Self {
        Self(dropped)
    }
}

// The crate asks for this; a lock that does not poison sees no torn state after a panic.
impl std::panic::RefUnwindSafe for DropFilter {}

impl Factory for DropFilter {
    fn name(&self) -> &'static str {
        "dropped ranges"
    }

    fn make_filter(&self, _context: &Context) -> Box<dyn CompactionFilter> {
        // A range that is dropped during the merge is left to a later one.
        Box::new(Ranges(self.0.settled()))
    }
}

struct Ranges(Vec<Drop>);

impl CompactionFilter for Ranges {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _context: &Context) -> lsm_tree::Result<Verdict> {
        let dropped = self.0.iter().any(|range| range.covers(item.key()));
        Ok(if dropped { Verdict::Destroy } else { Verdict::Keep })
    }
}
