//! The one runtime of the process: started when first needed, never stopped, owned threads.
//! Each process of a fork has its own: a generation belongs to the process id that built it, and a child that opens a
//! store appends one. Nothing inherited is ever waited for, locked or dropped.

use std::sync::OnceLock;

use ringkeep::base::error::{Error, ErrorKind, Result};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::fork::pid;

/// More threads than this serve no embedded store; who wants them says so.
const THREADS_DEFAULT_MAX: usize = 4;

struct Generation {
    pid: u32,
    runtime: Runtime,
    // A list rather than a lock: a lock that another thread held at the fork would never be released in the child.
    next: OnceLock<Box<Generation>>,
}

static FIRST: OnceLock<Box<Generation>> = OnceLock::new();

/// The handle of this process's runtime; `threads` counts only for whoever starts it, 0 takes one for each core.
pub(crate) fn handle(threads: u32) -> Result<Handle> {
    let pid = pid();
    let mut slot = &FIRST;
    loop {
        match slot.get() {
            Some(generation) if generation.pid == pid => return Ok(generation.runtime.handle().clone()),
            Some(generation) => slot = &generation.next,
            None => {
                let generation =
                    Box::new(Generation { pid, runtime: build(threads)?, next: OnceLock::new() });
                if let Err(late) = slot.set(generation) {
                    late.runtime.shutdown_background();
                }
            }
        }
    }
}

fn build(threads: u32) -> Result<Runtime> {
    let threads = match usize::try_from(threads).unwrap_or(usize::MAX) {
        0 => std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_DEFAULT_MAX),
        given => given,
    };
    Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("ringkeep")
        .enable_all()
        .build()
        .map_err(|error| Error::io("the runtime's threads could not be started", error))
}

/// The error of a handle that was inherited through fork.
pub(crate) fn forked() -> Error {
    Error::new(ErrorKind::Forked, "this handle was inherited through fork: open a new one in this process")
}

/// The error of everything that follows `close`.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store was closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_has_one_runtime() {
        let first = handle(0).unwrap();
        let others: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| handle(0).unwrap().id())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(others.iter().all(|id| *id == first.id()));
    }
}
