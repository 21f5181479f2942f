//! The log: every batch is a frame in the operating system before `append` returns, in the order of its number.
//! Waiters for the disk share one fdatasync (group commit). Once an fdatasync has failed nothing is acknowledged any
//! more, as the kernel may have dropped what it could not write.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::directory::sync_directory;
use super::file::{Faults, LogFile};
use super::frame::{Framing, HEADER_BYTES};
use crate::base::error::{Error, ErrorKind, Result};
use crate::storage::engine::{Batch, Lsn};

/// How long a sync waits for as many waiters as the last one had. No longer than the quickest of them takes.
const GATHER: Duration = Duration::from_micros(100);

/// A file of the log.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Its number, which is its name. Rises with each.
    pub(super) number: u64,
    /// The batch that its first frame holds, or will hold.
    pub(super) first: Lsn,
    /// Bytes written to it.
    pub(super) bytes: u64,
}

impl Segment {
    pub(super) fn path(&self, directory: &Path) -> PathBuf {
        directory.join(format!("{:016x}.log", self.number))
    }

    /// The number that a file name stands for, if it is that of a segment.
    pub(super) fn number_of(name: &str) -> Option<u64> {
        let digits = name.strip_suffix(".log").filter(|digits| digits.len() == 16)?;
        u64::from_str_radix(digits, 16).ok()
    }
}

#[derive(Debug)]
struct Writer {
    /// Older segments, oldest first.
    sealed: Vec<Segment>,
    /// The segment being written. Made with the first batch, so that opening needs no space.
    current: Option<(Segment, Arc<LogFile>, Framing)>,
    next: Lsn,
    next_number: u64,
    buffer: Vec<u8>,
    /// Files that were left behind with frames that may not be on disk.
    unsynced: Vec<Arc<LogFile>>,
    /// Whether a file was created whose name may not be on disk.
    unnamed: bool,
}

#[derive(Debug, Default)]
struct Waiting {
    waiters: Vec<(Lsn, oneshot::Sender<Result<()>>)>,
    /// How many waiters there must be before the syncing thread is woken.
    wanted: usize,
    stop: bool,
    failed: Option<Error>,
}

/// The log of one engine.
#[derive(Debug)]
pub(super) struct Log {
    directory: PathBuf,
    writer: Mutex<Writer>,
    synced: AtomicU64,
    applied: AtomicU64,
    waiting: Mutex<Waiting>,
    wake: Condvar,
    /// Held through a sync: whoever takes the unsynced files answers for them before anyone reports past them.
    syncing: Mutex<()>,
    /// Whether an fdatasync has failed; `waiting` has the error.
    broken: AtomicBool,
    faults: Faults,
}

impl Log {
    /// Goes on with the batch `next` after the segments that recovery has left, which are on disk.
    pub(super) fn new(directory: PathBuf, segments: Vec<Segment>, next: Lsn, faults: Faults) -> Self {
        let next_number = segments.last().map_or(1, |segment| segment.number + 1);
        let writer = Writer {
            sealed: segments,
            current: None,
            next,
            next_number,
            buffer: Vec::new(),
            unsynced: Vec::new(),
            unnamed: false,
        };
        Self {
            directory,
            writer: Mutex::new(writer),
            synced: AtomicU64::new(next.0 - 1),
            applied: AtomicU64::new(next.0 - 1),
            waiting: Mutex::default(),
            wake: Condvar::new(),
            syncing: Mutex::new(()),
            broken: AtomicBool::new(false),
            faults,
        }
    }

    /// Writes a batch to the operating system and returns its number, and the bytes of the segment by now. On an error
    /// nothing of it remains.
    pub(super) fn append(&self, batch: &Batch) -> Result<(Lsn, u64)> {
        let mut guard = self.writer.lock();
        if self.broken.load(Ordering::Acquire) {
            return Err(self.failure().unwrap_or_else(|| Error::new(ErrorKind::Io, "the log is broken")));
        }
        let writer = &mut *guard;
        if writer.current.is_none() {
            self.start_segment(writer)?;
        }
        let Some((segment, file, framing)) = &mut writer.current else {
            unreachable!("a segment was started above");
        };
        let lsn = writer.next;
        writer.buffer.clear();
        framing.write(&mut writer.buffer, lsn, self.synced(), batch);
        if let Err(error) = file.write_all_at(&writer.buffer, segment.bytes) {
            // What was written in part is cut, or else overwritten by the next frame; it is no frame either way.
            let _cut = file.set_len(segment.bytes);
            return Err(Error::io(format_args!("log {}", segment.path(&self.directory).display()), error));
        }
        segment.bytes += writer.buffer.len() as u64;
        writer.next = Lsn(lsn.0 + 1);
        self.applied.store(lsn.0, Ordering::Release);
        // One batch of many megabytes is no reason to keep as much for ever.
        let bytes = segment.bytes;
        if writer.buffer.capacity() > 1 << 20 {
            writer.buffer = Vec::new();
        }
        Ok((lsn, bytes))
    }

    fn start_segment(&self, writer: &mut Writer) -> Result<()> {
        let segment = Segment { number: writer.next_number, first: writer.next, bytes: HEADER_BYTES as u64 };
        let path = segment.path(&self.directory);
        let framing = Framing::new(segment.number);
        let created = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let written = created.and_then(|file| {
            let file = LogFile::new(file, self.faults.clone());
            file.write_all_at(&framing.header(segment.first), 0)?;
            Ok(file)
        });
        writer.next_number += 1;
        match written {
            Ok(file) => {
                writer.unnamed = true;
                writer.current = Some((segment, Arc::new(file), framing));
                Ok(())
            }
            Err(error) => {
                let _gone = fs::remove_file(&path);
                Err(Error::io(format_args!("log {}", path.display()), error))
            }
        }
    }

    /// Ends the current segment, so that a memory table and a segment end with the same batch.
    pub(super) fn rotate(&self) {
        let mut writer = self.writer.lock();
        if let Some((segment, file, _)) = writer.current.take() {
            writer.sealed.push(segment);
            writer.unsynced.push(file);
        }
    }

    /// Removes the segments that hold nothing above `flushed`, which tables have now.
    pub(super) fn release(&self, flushed: Lsn) {
        self.synced.fetch_max(flushed.0, Ordering::AcqRel);
        let mut released = Vec::new();
        {
            let mut writer = self.writer.lock();
            let end = writer.current.as_ref().map_or(writer.next, |(segment, ..)| segment.first);
            let firsts: Vec<Lsn> =
                writer.sealed.iter().skip(1).map(|segment| segment.first).chain([end]).collect();
            // A segment is spent if the one after it begins no later than the first batch that is still needed.
            let spent = firsts.iter().take_while(|first| first.0 <= flushed.0 + 1).count();
            released.extend(writer.sealed.drain(..spent));
        }
        for segment in released {
            // One that stays is found spent by the next start.
            let _stays = fs::remove_file(segment.path(&self.directory));
        }
        self.finish_waiters();
    }

    /// The last batch that was appended.
    pub(super) fn applied(&self) -> Lsn {
        Lsn(self.applied.load(Ordering::Acquire))
    }

    /// The last batch known to be on disk.
    pub(super) fn synced(&self) -> Lsn {
        Lsn(self.synced.load(Ordering::Acquire))
    }

    /// Bytes of the segment being written.
    pub(super) fn current_bytes(&self) -> u64 {
        self.writer.lock().current.as_ref().map_or(0, |(segment, ..)| segment.bytes)
    }

    /// Bytes of all segments, and how many there are.
    pub(super) fn size(&self) -> (u64, usize) {
        let writer = self.writer.lock();
        let current = writer.current.as_ref().map(|(segment, ..)| segment);
        let bytes = writer.sealed.iter().chain(current).map(|segment| segment.bytes).sum();
        (bytes, writer.sealed.len() + usize::from(current.is_some()))
    }

    /// The error of the fdatasync that failed, if one has.
    pub(super) fn failure(&self) -> Option<Error> {
        self.waiting.lock().failed.clone()
    }

    /// Asks for everything up to `lsn` on disk; `None` if it is already.
    pub(super) fn wait(&self, lsn: Lsn) -> Option<oneshot::Receiver<Result<()>>> {
        if self.synced() >= lsn {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        if let Some(error) = waiting.failed.clone() {
            let _nobody_waits = sender.send(Err(error));
        } else {
            waiting.waiters.push((lsn, sender));
            let enough = waiting.waiters.len() >= waiting.wanted;
            drop(waiting);
            if enough {
                self.wake.notify_one();
            }
        }
        Some(receiver)
    }

    /// Returns when it is time to sync: for waiters or, with an interval, at least that often. False after `stop`.
    pub(super) fn wait_for_work(&self, interval: Option<Duration>) -> bool {
        let mut waiting = self.waiting.lock();
        let before = waiting.wanted;
        waiting.wanted = 1;
        while waiting.waiters.is_empty() && !waiting.stop {
            match interval {
                None => self.wake.wait(&mut waiting),
                Some(interval) if self.wake.wait_for(&mut waiting, interval).timed_out() => break,
                Some(_) => {}
            }
        }
        // Those who shared the last sync have just been told, and most come back at once: to go with the first of them
        // would make the others wait for one more.
        if waiting.waiters.len() < before && !waiting.stop {
            waiting.wanted = before;
            let _late = self.wake.wait_for(&mut waiting, GATHER);
        }
        waiting.wanted = waiting.waiters.len();
        !waiting.stop
    }

    /// Ends `wait_for_work`.
    pub(super) fn stop(&self) {
        self.waiting.lock().stop = true;
        self.wake.notify_all();
    }

    /// Brings everything that was appended so far to disk, and tells the waiters.
    pub(super) fn sync(&self) -> Result<()> {
        let _alone = self.syncing.lock();
        if let Some(error) = self.failure() {
            return Err(error);
        }
        let (target, files, unnamed) = {
            let mut writer = self.writer.lock();
            let target = Lsn(writer.next.0 - 1);
            let mut files = std::mem::take(&mut writer.unsynced);
            files.extend(writer.current.as_ref().map(|(_, file, _)| file.clone()));
            (target, files, std::mem::take(&mut writer.unnamed))
        };
        if self.synced() < target || unnamed {
            let synced = files.iter().try_for_each(|file| file.sync_data()).map_err(|error| {
                Error::new(ErrorKind::Io, format!("fdatasync of the log failed, no write is safe: {error}"))
                    .with_source(error)
            });
            let named = synced.and_then(|()| if unnamed { sync_directory(&self.directory) } else { Ok(()) });
            if let Err(error) = named {
                self.fail(&error);
                return Err(error);
            }
            self.synced.fetch_max(target.0, Ordering::AcqRel);
        }
        self.finish_waiters();
        Ok(())
    }

    fn fail(&self, error: &Error) {
        let waiters = {
            let mut waiting = self.waiting.lock();
            waiting.failed = Some(error.clone());
            self.broken.store(true, Ordering::Release);
            std::mem::take(&mut waiting.waiters)
        };
        for (_, waiter) in waiters {
            let _nobody_waits = waiter.send(Err(error.clone()));
        }
    }

    fn finish_waiters(&self) {
        let synced = self.synced();
        let done: Vec<_> = self.waiting.lock().waiters.extract_if(.., |(lsn, _)| *lsn <= synced).collect();
        for (_, waiter) in done {
            let _nobody_waits = waiter.send(Ok(()));
        }
    }

    /// Ends every wait with this error; for an engine that closes.
    pub(super) fn abandon(&self, error: &Error) {
        let waiters = std::mem::take(&mut self.waiting.lock().waiters);
        for (_, waiter) in waiters {
            let _nobody_waits = waiter.send(Err(error.clone()));
        }
    }
}
