//! A file of the log, and the seam where tests let it fail as disks do: full, or broken at fdatasync.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// An open log file.
#[derive(Debug)]
pub(super) struct LogFile {
    file: File,
    faults: Faults,
}

impl LogFile {
    pub(super) fn new(file: File, faults: Faults) -> Self {
        Self { file, faults }
    }

    pub(super) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Some((kept, error)) = self.faults.of_write() {
            self.file.write_all_at(bytes.get(..kept.min(bytes.len())).unwrap_or_default(), offset)?;
            return Err(error);
        }
        self.file.write_all_at(bytes, offset)
    }

    pub(super) fn sync_data(&self) -> io::Result<()> {
        self.faults.of_sync().map_or_else(|| self.file.sync_data(), Err)
    }

    pub(super) fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }
}

/// Faults that a test has planted; outside of tests there are none.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    #[cfg(test)]
    planted: std::sync::Arc<Planted>,
}

/// What is planted.
#[cfg(test)]
#[derive(Debug, Default)]
pub(super) struct Planted {
    /// Writes take a few bytes and fail as on a full disk.
    pub(super) full: std::sync::atomic::AtomicBool,
    /// Every fdatasync fails.
    pub(super) unsyncable: std::sync::atomic::AtomicBool,
}

#[cfg(not(test))]
impl Faults {
    #[expect(clippy::unused_self, reason = "the seam has the same shape in tests")]
    fn of_write(&self) -> Option<(usize, io::Error)> {
        None
    }

    #[expect(clippy::unused_self, reason = "the seam has the same shape in tests")]
    fn of_sync(&self) -> Option<io::Error> {
        None
    }
}

#[cfg(test)]
impl Faults {
    pub(super) fn planted(&self) -> &Planted {
        &self.planted
    }

    fn of_write(&self) -> Option<(usize, io::Error)> {
        let full = self.planted.full.load(std::sync::atomic::Ordering::Acquire);
        full.then(|| (7, io::ErrorKind::StorageFull.into()))
    }

    fn of_sync(&self) -> Option<io::Error> {
        let fails = self.planted.unsyncable.load(std::sync::atomic::Ordering::Acquire);
        fails.then(|| io::Error::other("a planted fault"))
    }
}
