//! The tables: sorted files on disk, kept by the crate `lsm-tree`, which is filled past its own memory tables.
//! Every flush carries the number of its last batch, so that the greatest number among the tables is where the log is
//! replayed from. Readers hold a view of their own and never wait for a flush.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io::ErrorKind as IoErrorKind;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use lsm_tree::compaction::Leveled;
use lsm_tree::table::filter::standard_bloom;
use lsm_tree::{
    AbstractTree, AnyTree, Cache, Config, DescriptorTable, InternalValue, SeqNo, Tree, UserKey, ValueType,
};
use parking_lot::{Mutex, RwLock};

use super::directory::sync_directory;
use super::dropped::Dropped;
use super::filter::DropFilter;
use super::manifest;
use super::runs::{Item, Runs};
use crate::base::error::{Error, ErrorKind, Result};
use crate::storage::engine::Lsn;
use crate::storage::key::{Bounds, ENGINE};

/// Old versions of a key are garbage at once: nobody reads the past.
const GARBAGE_BELOW: SeqNo = u64::MAX >> 1;
/// Readers see everything.
const NOW: SeqNo = u64::MAX;
/// Open files that are kept for all tables.
const DESCRIPTORS: usize = 256;
/// Table files are cut at this size: small enough that one merge, which cannot be interrupted, ends within a second.
const TABLE_BYTES: u64 = 32 << 20;
/// The engine key that a flush writes which would otherwise leave no value that carries its number.
/// Greater than every other key.
const CHECKPOINT: [u8; 2] = [ENGINE, b'z'];

type Find = Box<dyn Fn(&[u8]) -> lsm_tree::Result<Option<InternalValue>> + Send + Sync>;
type Scan = Box<dyn Fn(&[u8], &[u8]) -> Result<Runs> + Send + Sync>;

/// The tables as they were at one moment.
pub(super) struct View {
    // The crate does not name the type of a version, so it is held by closures.
    find: Find,
    scan: Scan,
    pub(super) tables: usize,
    pub(super) runs: usize,
    pub(super) bytes: u64,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("tables", &self.tables).finish_non_exhaustive()
    }
}

impl View {
    /// The value of a key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let item = (self.find)(key).map_err(table_error)?;
        Ok(item.filter(|item| !item.is_tombstone()).map(|item| item.value.into()))
    }

    /// The entries from `from` up to and without `to`, in key order, with deleted keys as far as tables know of them.
    pub(super) fn range(&self, from: &[u8], to: &[u8]) -> Result<Runs> {
        (self.scan)(from, to)
    }
}

/// The tables of one engine.
pub(super) struct Tables {
    folder: PathBuf,
    tree: Tree,
    view: RwLock<Arc<View>>,
    /// Held while a view is made, so that an older one never replaces a newer one.
    renewing: Mutex<()>,
    /// Read-held by whoever writes tables; held alone to clear away what a failed writer left.
    writing: RwLock<()>,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Tables {
    /// Opens the tables in a folder.
    pub(super) fn open(folder: PathBuf, cache_bytes: u64, dropped: &Arc<Dropped>) -> Result<Self> {
        manifest::check(&folder)?;
        let filter = Arc::new(DropFilter::new(dropped.clone()));
        let opened = Config::new(&folder, Default::default(), Default::default())
            .use_cache(Arc::new(Cache::with_capacity_bytes(cache_bytes)))
            .use_descriptor_table(Some(Arc::new(DescriptorTable::new(DESCRIPTORS))))
            .with_compaction_filter_factory(Some(filter))
            .open()
            .map_err(|error| table_error(error).in_folder(&folder))?;
        let AnyTree::Standard(tree) = opened else {
            return Err(Error::corrupt(format!("the tables in {} are of another kind", folder.display())));
        };
        let view = RwLock::new(Arc::new(view_of(&tree)));
        Ok(Self { folder, tree, view, renewing: Mutex::new(()), writing: RwLock::new(()) })
    }

    /// The last batch that is in tables.
    pub(super) fn persisted(&self) -> Lsn {
        Lsn(self.tree.get_highest_persisted_seqno().unwrap_or(0))
    }

    /// The tables as they are now.
    pub(super) fn view(&self) -> Arc<View> {
        self.view.read().clone()
    }

    fn renew(&self) {
        let _alone = self.renewing.lock();
        let view = Arc::new(view_of(&self.tree));
        let old = std::mem::replace(&mut *self.view.write(), view);
        // Outside of the lock: the last holder of a view removes the files of dropped tables.
        drop(old);
    }

    /// Adds a run of tables with these entries, which rise by key, above all others. On disk on return.
    pub(super) fn add(
        &self,
        lsn: Lsn,
        entries: &mut dyn Iterator<Item = Result<(Bytes, Option<Bytes>)>>,
    ) -> Result<()> {
        let first_file = self.tree.next_table_id();
        let added = {
            let _writing = self.writing.read();
            self.write_run(lsn, entries)
        };
        match added {
            Ok(()) => {
                self.renew();
                Ok(())
            }
            Err(error) => {
                self.clear_after(&error, first_file);
                Err(error.in_folder(&self.folder))
            }
        }
    }

    fn write_run(
        &self,
        lsn: Lsn,
        entries: &mut dyn Iterator<Item = Result<(Bytes, Option<Bytes>)>>,
    ) -> Result<()> {
        let fault = RefCell::new(None);
        let values = Cell::new(0_u64);
        let mut last: Option<Bytes> = None;
        let mut run = entries.map_while(|entry| {
            let (key, value) = entry.map_err(|error| fault.replace(Some(error))).ok()?;
            // The crate does not check the order, and finds nothing in a run that has another.
            if last.as_ref().is_some_and(|last| *last >= key) {
                fault.replace(Some(Error::invalid(format!("items are out of order at key {key:02x?}"))));
                return None;
            }
            last = Some(key.clone());
            values.set(values.get() + u64::from(value.is_some()));
            Some(match value {
                Some(value) => InternalValue::from_components(key, value, lsn.0, ValueType::Value),
                None => InternalValue::new_tombstone(key, lsn.0),
            })
        });
        // Deletion markers vanish in a merge, and the number of this run with them; a value stays until a later one.
        let mut checkpoint = Some(InternalValue::from_components(CHECKPOINT, [], lsn.0, ValueType::Value));
        let entries = std::iter::from_fn(|| {
            run.next().or_else(|| checkpoint.take().filter(|_| values.get() == 0)).map(Ok)
        });
        let written = self.tree.flush_to_tables(entries);
        if let Some(fault) = fault.take() {
            return Err(fault);
        }
        let tables = written.map_err(table_error)?.map(|(tables, _)| tables).unwrap_or_default();
        self.tree.register_tables(&tables, None, None, &[], GARBAGE_BELOW).map_err(table_error)
    }

    /// Merges tables until they are in shape; `go_on` is asked between merges. Each may take a second.
    pub(super) fn compact(&self, go_on: &dyn Fn() -> bool) -> Result<()> {
        let strategy = Arc::new(Leveled::default().with_table_target_size(TABLE_BYTES));
        while go_on() {
            let before = self.tree.current_version().id();
            let first_file = self.tree.next_table_id();
            let merged = {
                let _writing = self.writing.read();
                self.tree.compact(strategy.clone(), GARBAGE_BELOW).map_err(table_error)
            };
            if let Err(error) = merged {
                self.clear_after(&error, first_file);
                return Err(error.in_folder(&self.folder));
            }
            if self.tree.current_version().id() == before {
                break;
            }
            self.renew();
        }
        Ok(())
    }

    /// Removes the tables that lie in a range as a whole. The rest of it goes when it is merged.
    pub(super) fn drop_whole(&self, bounds: &Bounds) -> Result<()> {
        let range: (Bound<&[u8]>, Bound<&[u8]>) =
            (Bound::Included(&bounds.from), Bound::Excluded(&bounds.to));
        self.tree
            .drop_range::<&[u8], _>(range)
            .map_err(|error| table_error(error).in_folder(&self.folder))?;
        self.release();
        Ok(())
    }

    /// Merges everything, so that nothing of a dropped range remains.
    pub(super) fn compact_all(&self) -> Result<()> {
        let merged = {
            let _writing = self.writing.read();
            self.tree.major_compact(TABLE_BYTES, GARBAGE_BELOW)
        };
        self.renew();
        merged.map_err(|error| table_error(error).in_folder(&self.folder))
    }

    /// Lets go of everything but the tables as they are now.
    pub(super) fn release(&self) {
        self.maintain();
        self.renew();
    }

    fn maintain(&self) {
        // What this fails to remove goes with the next flush.
        let _later = self.tree.get_version_history_lock().maintenance(&self.folder, GARBAGE_BELOW);
    }

    /// Clears away the files of a writer that failed for want of space, which would otherwise stay until a restart.
    fn clear_after(&self, error: &Error, first_file: u64) {
        // After another error the list on disk may name these files already.
        if !matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::InvalidArgument) {
            return;
        }
        let _alone = self.writing.write();
        let version = self.tree.current_version();
        let known: Vec<u64> = version.iter_tables().map(lsm_tree::Table::id).collect();
        let Ok(entries) = fs::read_dir(self.folder.join(manifest::FILES)) else { return };
        for entry in entries.flatten() {
            if manifest::number_of(&entry)
                .is_some_and(|number| number >= first_file && !known.contains(&number))
            {
                // What stays is removed by the next start.
                let _stays = fs::remove_file(entry.path());
            }
        }
    }

    /// Makes a second folder with the same tables, by links where the file system can.
    pub(super) fn checkpoint(&self, to: &Path) -> Result<()> {
        let fault = |error| Error::io(format_args!("checkpoint {}", to.display()), error);
        let from_files = self.folder.join(manifest::FILES);
        let to_files = to.join(manifest::FILES);
        fs::create_dir_all(&to_files).map_err(fault)?;
        {
            // While this is held no version is written and none removed.
            let _still = self.tree.get_version_history_lock();
            for entry in fs::read_dir(&from_files).map_err(fault)? {
                let entry = entry.map_err(fault)?;
                let target = to_files.join(entry.file_name());
                match fs::hard_link(entry.path(), &target) {
                    Ok(()) => {}
                    // A table that was dropped already, of which a reader has just let go.
                    Err(_) if !entry.path().exists() => {}
                    Err(_) => drop(fs::copy(entry.path(), &target).map_err(fault)?),
                }
            }
            for entry in fs::read_dir(&self.folder).map_err(fault)? {
                let entry = entry.map_err(fault)?;
                let name = entry.file_name();
                if name.to_str().is_some_and(|name| name == "current" || name.starts_with('v')) {
                    let copied = to.join(&name);
                    fs::copy(entry.path(), &copied).map_err(fault)?;
                    fs::File::open(&copied).and_then(|file| file.sync_all()).map_err(fault)?;
                }
            }
        }
        sync_directory(&to_files)?;
        sync_directory(to)
    }
}

fn view_of(tree: &Tree) -> View {
    let version = tree.current_version();
    let scanned = version.clone();
    let (tables, runs) = (version.table_count(), version.level(0).map_or(0, |level| level.run_count()));
    let mut bytes = 0;
    for level in version.iter_levels() {
        bytes += level.size();
    }
    let find: Find = Box::new(move |key| {
        let hash = standard_bloom::Builder::get_hash(key);
        for level in version.iter_levels() {
            for table in level.iter().filter_map(|run| run.get_for_key(key)) {
                if let Some(item) = table.get(key, NOW, hash)? {
                    return Ok(Some(item));
                }
            }
        }
        Ok(None)
    });
    let scan: Scan = Box::new(move |from, to| {
        let from = UserKey::from(from);
        // Newest first: level 0 has its newest run first, and every level hides those below it.
        let runs = scanned.iter_levels().flat_map(|level| level.iter()).filter_map(|run| {
            let bounds = (Bound::Included(from.clone()), Bound::<UserKey>::Unbounded);
            let (first, _) = run.range_overlap_indexes(&bounds)?;
            if &**run.get(first)?.metadata.key_range.min() >= to {
                return None;
            }
            let (run, from) = (run.clone(), from.clone());
            let tables = (first..run.len()).filter_map(move |at| run.get(at).cloned());
            // The end is judged entry by entry: seeking it in the index would cost as much as a short scan.
            let entries = tables.enumerate().flat_map(move |(at, table)| {
                let from = if at == 0 { Bound::Included(from.clone()) } else { Bound::Unbounded };
                table.range((from, Bound::Unbounded))
            });
            Some(Box::new(entries) as Box<dyn Iterator<Item = Item> + Send>)
        });
        Runs::new(runs, to)
    });
    View { find, scan, tables, runs, bytes }
}

/// An error of the crate as one of ours.
pub(super) fn table_error(error: lsm_tree::Error) -> Error {
    match error {
        lsm_tree::Error::Io(error) => match error.kind() {
            // A damaged length or offset leads past the end, or nowhere.
            IoErrorKind::UnexpectedEof | IoErrorKind::InvalidInput | IoErrorKind::InvalidData => {
                Error::corrupt(format!("a table is damaged: {error}")).with_source(error)
            }
            _ => Error::io("tables", error),
        },
        error => Error::corrupt(format!("a table is damaged: {error}")).with_source(error),
    }
}

/// Adds where the tables lie.
trait InFolder {
    fn in_folder(self, folder: &Path) -> Self;
}

impl InFolder for Error {
    fn in_folder(self, folder: &Path) -> Self {
        if self.kind() == ErrorKind::InvalidArgument {
            return self;
        }
        let message = format!("{} (in {})", self.message(), folder.display());
        Self::new(self.kind(), message).with_source(self)
    }
}
