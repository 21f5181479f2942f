//! A scan: pages of merged records in key order, fetched as the reader goes, so that a slow reader holds one page.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::bucket::{Bucket, Resolved, caller};
use super::entry::Entry;
use super::options::ScanOptions;
use crate::base::error::Result;
use crate::client::{ScanRequest, ScannedPage};

/// Items of the first page; later pages grow to `PAGE_ITEMS_MAX`, so that a short scan stays cheap.
const PAGE_ITEMS_FIRST: u32 = 64;
/// Items of a page at the most.
const PAGE_ITEMS_MAX: u32 = 1_024;

/// One key of a scan. Whether its value is in conflict is the item's own matter and does not end the scan.
#[derive(Clone, Debug)]
pub struct ScanItem {
    /// The key.
    pub key: Bytes,
    /// What a `read` of it gives.
    pub entry: Entry,
}

/// A stream of entries in key order. Fetches a page when the last is used up; dropping it ends the scan.
#[derive(Debug)]
pub struct Scan {
    bucket: Bucket,
    options: ScanOptions,
    buffered: VecDeque<ScanItem>,
    after: Bytes,
    inclusive: bool,
    page_items: u32,
    given: u64,
    done: bool,
}

impl Scan {
    pub(super) fn new(bucket: Bucket, options: ScanOptions) -> Self {
        let after = options.start.clone().max(options.prefix.clone());
        Self {
            bucket,
            options,
            buffered: VecDeque::new(),
            after,
            inclusive: true,
            page_items: PAGE_ITEMS_FIRST,
            given: 0,
            done: false,
        }
    }

    /// An item that was fetched already, if there is one: no waiting.
    pub fn buffered(&mut self) -> Option<ScanItem> {
        let limit = self.options.limit.unwrap_or(u64::MAX);
        if self.given >= limit {
            return None;
        }
        let item = self.buffered.pop_front()?;
        self.given += 1;
        Some(item)
    }

    /// The next key with at least one live sibling, or none at the end.
    ///
    /// # Errors
    /// As for a read. The scan may be continued after a `Timeout` or `QuorumUnavailable`.
    pub async fn next(&mut self) -> Result<Option<ScanItem>> {
        loop {
            if let Some(item) = self.buffered() {
                return Ok(Some(item));
            }
            if self.done || self.given >= self.options.limit.unwrap_or(u64::MAX) {
                return Ok(None);
            }
            self.fetch().await.map_err(|error| error.during("scan"))?;
        }
    }

    async fn fetch(&mut self) -> Result<()> {
        let options = &self.options.read;
        Bucket::check_read(options)?;
        let deadline = self.bucket.deadline(options.timeout)?;
        let resolved = match self.bucket.resolve() {
            Ok(resolved) => resolved,
            Err(_) => self.bucket.resolve_or_wait(deadline).await?,
        };
        let left = self.options.limit.map_or(u64::MAX, |limit| limit - self.given);
        let level = resolved.read_level(options, self.bucket.store.defaults.consistency)?;
        let request = ScanRequest {
            bucket: resolved.id,
            after: self.after.clone(),
            inclusive: self.inclusive,
            prefix: self.options.prefix.clone(),
            end: self.options.end.clone(),
            items_max: self.page_items.min(u32::try_from(left).unwrap_or(u32::MAX)).max(1),
            level,
            sloppy: resolved.sloppy(options.sloppy, self.bucket.store.defaults.sloppy, level)?,
            deadline,
            caller: caller(options.event_loop),
        };
        let page = Arc::clone(&self.bucket.store.backend).scan(request).await?;
        self.take(&resolved, page);
        Ok(())
    }

    fn take(&mut self, resolved: &Resolved, page: ScannedPage) {
        let now = self.bucket.store.backend.env().unix_ms();
        if page.more {
            self.after = page.last;
            self.inclusive = false;
        } else {
            self.done = true;
        }
        self.page_items = (self.page_items * 2).min(PAGE_ITEMS_MAX);
        for (key, record) in page.items {
            let entry = resolved.entry(key.clone(), Some(&record), now);
            if !entry.siblings().is_empty() {
                self.buffered.push_back(ScanItem { key, entry });
            }
        }
    }
}
