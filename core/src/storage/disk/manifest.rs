//! The check before the tables are opened: that the list of tables is whole, and that only tables lie there.
//! The crate below trusts that list: a flipped bit in it can pass unseen, or ask for 42 GB of memory.

use std::fs;
use std::io::ErrorKind as IoErrorKind;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use crate::base::error::{Error, Result};

/// Names the list of tables that counts: its number, its checksum, the kind of checksum.
const CURRENT: &str = "current";
const CURRENT_BYTES: usize = 8 + 16 + 1;
/// The folder of table files within the folder of the tree.
pub(super) const FILES: &str = "tables";

/// Refuses a damaged or incomplete folder, and clears away what a killed process left half done.
pub(super) fn check(folder: &Path) -> Result<()> {
    let files = folder.join(FILES);
    let tables = table_files(&files)?;
    clear_drafts(folder)?;
    let path = folder.join(CURRENT);
    let current = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == IoErrorKind::NotFound => {
            // The crate would begin anew, and remove what it does not know.
            return if tables == 0 {
                Ok(())
            } else {
                Err(Error::corrupt(format!("{} is missing, and {tables} tables are there", path.display())))
            };
        }
        Err(error) => return Err(Error::io(path.display(), error)),
    };
    let damaged = || Error::corrupt(format!("{} is damaged", path.display()));
    if current.len() != CURRENT_BYTES || current.get(24) != Some(&0) {
        return Err(damaged());
    }
    let number = current.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)).ok_or_else(damaged)?;
    let checksum = current.get(8..).and_then(|rest| rest.first_chunk()).ok_or_else(damaged)?;
    let list = folder.join(format!("v{number}"));
    let content = fs::read(&list).map_err(|error| match error.kind() {
        IoErrorKind::NotFound => Error::corrupt(format!("the list of tables {} is missing", list.display())),
        _ => Error::io(list.display(), error),
    })?;
    if xxh3_128(&content) != u128::from_le_bytes(*checksum) {
        return Err(Error::corrupt(format!("the list of tables {} is damaged", list.display())));
    }
    Ok(())
}

/// Counts the table files; anything else among them is refused, as the crate would not survive it.
fn table_files(files: &Path) -> Result<usize> {
    let fault = |error| Error::io(files.display(), error);
    let entries = match fs::read_dir(files) {
        Ok(entries) => entries,
        Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(fault(error)),
    };
    let mut count = 0;
    for entry in entries {
        let entry = entry.map_err(fault)?;
        let is_file = entry.file_type().map_err(fault)?.is_file();
        if !is_file || number_of(&entry).is_none() {
            let path = entry.path();
            return Err(Error::invalid(format!("{} is no table: move it elsewhere", path.display())));
        }
        count += 1;
    }
    Ok(count)
}

/// The number of a table file.
pub(super) fn number_of(entry: &fs::DirEntry) -> Option<u64> {
    entry.file_name().to_str().and_then(|name| name.parse().ok())
}

/// Removes drafts of `current` whose writer was killed.
fn clear_drafts(folder: &Path) -> Result<()> {
    let fault = |error| Error::io(folder.display(), error);
    for entry in fs::read_dir(folder).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(".tmp")) {
            fs::remove_file(entry.path()).map_err(fault)?;
        }
    }
    Ok(())
}
