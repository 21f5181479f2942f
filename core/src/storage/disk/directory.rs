//! The data directory: who may use it, that it is ours, and how the last run ended.
//! One engine at a time, in any process. A run is clean only if the marker says so, and the marker is withdrawn before
//! the first write of the next.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind as IoErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::base::error::{Detail, Error, ErrorKind, Result};
use crate::storage::engine::{Lsn, Opening};

/// Holds the lock and, as text, the process that has it.
const LOCK: &str = "LOCK";
/// Says that the directory is ours, and in which version.
const FORMAT: &str = "FORMAT";
/// How the last run ended.
const STATE: &str = "STATE";
const FORMAT_TEXT: &str = "ringkeep data 1\n";
/// Where the log lies.
pub(super) const LOG: &str = "log";
/// Where the tables lie.
pub(super) const TABLES: &str = "tables";

/// What the marker of the last run says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum LastRun {
    /// There was none.
    New,
    /// It closed in order; the last batch was this.
    Clean(Lsn),
    /// It did not close. The boot it ran in; empty if unknown.
    Open(String),
}

/// A locked data directory. Dropping it gives the lock back.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    lock: File,
    /// The run began after one that may have been forgotten in part, and nothing has been done about that yet.
    in_doubt: bool,
}

impl Directory {
    /// Creates or checks the directory, and locks it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let context = || path.display();
        match fs::metadata(path) {
            Ok(metadata) if !metadata.is_dir() => {
                return Err(Error::invalid(format!("data directory {} is a file", context())));
            }
            Ok(_) => check_contents(path)?,
            Err(error) if error.kind() == IoErrorKind::NotFound => {
                let mut builder = fs::DirBuilder::new();
                builder.recursive(true).mode(0o700);
                builder.create(path).map_err(|error| {
                    Error::io(format_args!("data directory {} cannot be created", context()), error)
                })?;
            }
            Err(error) => return Err(Error::io(format_args!("data directory {}", context()), error)),
        }
        // Absolute, so that the program may change its working directory.
        let path = fs::canonicalize(path)
            .map_err(|error| Error::io(format_args!("data directory {}", context()), error))?;
        let lock = lock(&path)?;
        let directory = Self { path, lock, in_doubt: false };
        directory.check_format()?;
        for folder in [LOG, TABLES] {
            let folder = directory.path.join(folder);
            match fs::DirBuilder::new().mode(0o700).create(&folder) {
                Err(error) if error.kind() != IoErrorKind::AlreadyExists => {
                    return Err(Error::io(format_args!("folder {}", folder.display()), error));
                }
                _ => {}
            }
        }
        sync_directory(&directory.path)?;
        Ok(directory)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads how the last run ended.
    pub(super) fn last_run(&self) -> Result<LastRun> {
        let path = self.path.join(STATE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == IoErrorKind::NotFound => {
                let new = is_empty(&self.path.join(LOG))? && is_empty(&self.path.join(TABLES))?;
                return Ok(if new { LastRun::New } else { LastRun::Open(String::new()) });
            }
            Err(error) if error.kind() == IoErrorKind::InvalidData => String::new(),
            Err(error) => return Err(Error::io(path.display(), error)),
        };
        // Whatever cannot be read counts as the worst: a run that may have lost its unsynced writes.
        Ok(match text.trim_end().split_once(' ') {
            Some(("clean", lsn)) => {
                lsn.parse().map_or_else(|_| LastRun::Open(String::new()), |lsn| LastRun::Clean(Lsn(lsn)))
            }
            Some(("open", boot)) => LastRun::Open(boot.to_owned()),
            _ => LastRun::Open(String::new()),
        })
    }

    /// Marks a run as begun, unless it may have forgotten something: that stays in doubt until it is accepted.
    pub(super) fn begin(&mut self, opening: Opening, boot: &str) -> Result<()> {
        self.in_doubt = opening.may_have_forgotten();
        if self.in_doubt { Ok(()) } else { self.mark_open(boot) }
    }

    /// Ends the doubt: later starts build on this run.
    pub(super) fn accept(&mut self, boot: &str) -> Result<()> {
        if self.in_doubt {
            self.mark_open(boot)?;
            self.in_doubt = false;
        }
        Ok(())
    }

    fn mark_open(&self, boot: &str) -> Result<()> {
        let text = format!("open {}\n", boot.replace(char::is_whitespace, ""));
        match write_whole(&self.path, STATE, text.as_bytes()) {
            // On a full disk reads still have to work. Without a marker the run counts as one that may forget.
            Err(error) if error.kind() == ErrorKind::StorageFull => self.mark_unknown(),
            result => result,
        }
    }

    /// Marks a run as ended in order, unless it leaves the doubt that it began with.
    pub(super) fn mark_clean(&self, last: Lsn) -> Result<()> {
        if self.in_doubt {
            return Ok(());
        }
        write_whole(&self.path, STATE, format!("clean {last}\n").as_bytes())
    }

    /// Withdraws what the marker says, which takes no space: after a failed fsync, even this boot may have forgotten.
    pub(super) fn mark_unknown(&self) -> Result<()> {
        let path = self.path.join(STATE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != IoErrorKind::NotFound => Err(Error::io(path.display(), error)),
            _ => sync_directory(&self.path),
        }
    }

    fn check_format(&self) -> Result<()> {
        let path = self.path.join(FORMAT);
        match fs::read_to_string(&path) {
            Ok(text) if text == FORMAT_TEXT => Ok(()),
            Ok(text) => Err(Error::new(
                ErrorKind::VersionMismatch,
                format!(
                    "data directory {} has the format {:?}, not {FORMAT_TEXT:?}",
                    self.path.display(),
                    text
                ),
            )),
            Err(error) if error.kind() == IoErrorKind::NotFound => {
                write_whole(&self.path, FORMAT, FORMAT_TEXT.as_bytes())
            }
            Err(error) => Err(Error::io(path.display(), error)),
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Unlocked by name, not only by closing: a child that was forked meanwhile shares the open file.
        let _released = flock(&self.lock, FlockOperation::Unlock);
    }
}

/// Makes the folders of a data directory that must not exist yet.
pub(super) fn prepare(path: &Path) -> Result<()> {
    for folder in [path.to_path_buf(), path.join(LOG), path.join(TABLES)] {
        fs::DirBuilder::new().mode(0o700).create(&folder).map_err(|error| match error.kind() {
            IoErrorKind::AlreadyExists => Error::invalid(format!("{} exists already", folder.display())),
            _ => Error::io(folder.display(), error),
        })?;
    }
    Ok(())
}

/// Makes a prepared directory one that opens: the last step, so that one left half done is refused.
pub(super) fn complete(path: &Path) -> Result<()> {
    write_whole(path, FORMAT, FORMAT_TEXT.as_bytes())
}

impl LastRun {
    /// What a run that follows this one may assume.
    pub(super) fn opening(&self, boot: &str) -> Opening {
        match self {
            Self::New => Opening { clean: true, same_boot: false },
            Self::Clean(_) => Opening { clean: true, same_boot: false },
            Self::Open(then) => {
                let boot = boot.replace(char::is_whitespace, "");
                Opening { clean: false, same_boot: !boot.is_empty() && *then == boot }
            }
        }
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| Error::io(format_args!("sync of {}", path.display()), error))
}

/// Replaces a small file as a whole: a crash leaves the old or the new content.
fn write_whole(directory: &Path, name: &str, content: &[u8]) -> Result<()> {
    let draft = directory.join(format!("{name}.new"));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&draft, directory.join(name))
    })();
    written.map_err(|error| {
        let _gone = fs::remove_file(&draft);
        Error::io(format_args!("{} in {}", name, directory.display()), error)
    })?;
    sync_directory(directory)
}

/// Refuses a directory that someone else uses for something else.
fn check_contents(path: &Path) -> Result<()> {
    let fault = |error| Error::io(format_args!("data directory {} cannot be read", path.display()), error);
    let mut foreign = None;
    for entry in fs::read_dir(path).map_err(fault)? {
        let name = entry.map_err(fault)?.file_name();
        match name.to_str() {
            Some(FORMAT) => return Ok(()),
            // What a first start leaves that was killed before it had written FORMAT.
            Some(LOCK | "FORMAT.new") => {}
            _ => foreign = Some(name),
        }
    }
    match foreign {
        None => Ok(()),
        Some(name) => Err(Error::invalid(format!(
            "{} is no data directory of ringkeep, and not empty: it holds {name:?}",
            path.display()
        ))),
    }
}

fn lock(path: &Path) -> Result<File> {
    let name = path.join(LOCK);
    let context = || format!("data directory {} cannot be written", path.display());
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&name)
        .map_err(|error| Error::io(context(), error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut text = String::new();
            let _unreadable = file.read_to_string(&mut text);
            let pid = text.trim().parse().unwrap_or(0);
            let message = format!("data directory {} is open in process {pid}", path.display());
            return Err(Error::new(ErrorKind::Locked, message).with_detail(Detail::Locked { pid }));
        }
        Err(error) => return Err(Error::io(context(), error.into())),
    }
    let pid = format!("{}\n", std::process::id());
    let written = file.set_len(0).and_then(|()| file.write_all(pid.as_bytes()));
    match written.map_err(|error| Error::io(context(), error)) {
        // The pid is for people; a full disk must not keep readers out.
        Err(error) if error.kind() != ErrorKind::StorageFull => Err(error),
        _ => Ok(file),
    }
}

fn is_empty(path: &Path) -> Result<bool> {
    let mut entries = fs::read_dir(path).map_err(|error| Error::io(path.display(), error))?;
    Ok(entries.next().is_none())
}
