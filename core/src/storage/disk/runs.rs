//! Runs of tables, merged: each run is in key order with each key once, and a newer run hides what an older one has.
//! The crate has such a merge for readers of the past; readers of the present need less.

use bytes::Bytes;
use lsm_tree::InternalValue;

use super::tables::table_error;
use crate::base::error::Result;

/// What the crate gives for each entry of a table.
pub(super) type Item = lsm_tree::Result<InternalValue>;

/// One run from some key on.
struct Run {
    head: Option<InternalValue>,
    rest: Box<dyn Iterator<Item = Item> + Send>,
}

/// The merged entries of a range, deleted keys included as `None`.
pub(super) struct Runs {
    /// Newest first.
    runs: Vec<Run>,
    to: Vec<u8>,
}

impl Runs {
    /// Merges runs, newest first, that begin at their first key of the range.
    pub(super) fn new(
        runs: impl Iterator<Item = Box<dyn Iterator<Item = Item> + Send>>,
        to: &[u8],
    ) -> Result<Self> {
        let mut merged = Self { runs: Vec::new(), to: to.to_vec() };
        for rest in runs {
            let mut run = Run { head: None, rest };
            run.advance(to)?;
            if run.head.is_some() {
                merged.runs.push(run);
            }
        }
        Ok(merged)
    }

    /// The key that comes next.
    pub(super) fn peek(&self) -> Option<&[u8]> {
        self.runs.iter().filter_map(Run::key).min()
    }

    /// The next key with its newest value.
    pub(super) fn next(&mut self) -> Result<Option<(Bytes, Option<Bytes>)>> {
        let Some(mut newest) = self.runs.first().map(|_| 0) else { return Ok(None) };
        let mut shared = false;
        for number in 1..self.runs.len() {
            let least = self.runs.get(newest).and_then(Run::key);
            match self.runs.get(number).and_then(Run::key).cmp(&least) {
                std::cmp::Ordering::Less => (newest, shared) = (number, false),
                std::cmp::Ordering::Equal => shared = true,
                std::cmp::Ordering::Greater => {}
            }
        }
        let Some(run) = self.runs.get_mut(newest) else { return Ok(None) };
        let item = run.advance(&self.to)?;
        let ended = run.head.is_none();
        if shared && let Some(item) = &item {
            for run in
                self.runs.iter_mut().skip(newest + 1).filter(|run| run.key() == Some(&item.key.user_key))
            {
                run.advance(&self.to)?;
            }
        }
        if ended || shared {
            self.runs.retain(|run| run.head.is_some());
        }
        Ok(item.map(|item| {
            let value = (!item.is_tombstone()).then(|| item.value.into());
            (item.key.user_key.into(), value)
        }))
    }
}

impl Run {
    fn key(&self) -> Option<&[u8]> {
        self.head.as_ref().map(|item| &*item.key.user_key)
    }

    /// Takes the head and puts the next entry before `to` in its place.
    fn advance(&mut self, to: &[u8]) -> Result<Option<InternalValue>> {
        let next = self.rest.next().transpose().map_err(table_error)?;
        let next = next.filter(|item| &*item.key.user_key < to);
        Ok(std::mem::replace(&mut self.head, next))
    }
}
