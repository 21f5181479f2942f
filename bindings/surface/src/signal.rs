//! A file descriptor that can be made readable: an eventfd on Linux, a pipe elsewhere.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use ringkeep::base::error::{Error, Result};

/// Readable from `raise` to `clear`.
#[derive(Debug)]
pub(crate) struct SignalFd {
    read: OwnedFd,
    #[cfg(not(target_os = "linux"))]
    write: OwnedFd,
}

impl SignalFd {
    #[cfg(target_os = "linux")]
    pub(crate) fn new() -> Result<Self> {
        use rustix::event::{EventfdFlags, eventfd};
        let read = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(refused)?;
        Ok(Self { read })
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn new() -> Result<Self> {
        let (read, write) = rustix::pipe::pipe().map_err(refused)?;
        for end in [&read, &write] {
            rustix::io::ioctl_fionbio(end, true).map_err(refused)?;
            rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC).map_err(refused)?;
        }
        Ok(Self { read, write })
    }

    #[cfg(test)]
    pub(crate) fn is_raised(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.read, PollFlags::IN)], Some(&now)).unwrap() == 1
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.read.as_raw_fd()
    }

    /// Makes it readable. A descriptor that is full is readable already.
    pub(crate) fn raise(&self) {
        #[cfg(target_os = "linux")]
        let end = &self.read;
        #[cfg(not(target_os = "linux"))]
        let end = &self.write;
        let _full = rustix::io::write(end, &1_u64.to_ne_bytes());
    }

    /// Makes it quiet. One that is quiet already would block, which is no fault.
    pub(crate) fn clear(&self) {
        let mut count = [0; 64];
        let _quiet = rustix::io::read(&self.read, &mut count);
    }
}

fn refused(error: rustix::io::Errno) -> Error {
    Error::io("the completion queue has no file descriptor", error.into())
}
