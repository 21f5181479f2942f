//! Which process this is. A handle belongs to the process that opened it and says so in a child of fork.
//! Asking the system costs hundreds of nanoseconds on a virtual machine, so a binding that is told of forks says so here.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Nobody knows: ask.
const UNKNOWN: u32 = 0;

static WATCHED: AtomicBool = AtomicBool::new(false);
static PID: AtomicU32 = AtomicU32::new(UNKNOWN);

/// Says that [`in_child`] will be called in every child of fork, before anything else of this library is.
pub fn watched() {
    WATCHED.store(true, Ordering::Release);
}

/// To be called in a child of fork. Does nothing but store to an atomic, which is allowed there.
pub fn in_child() {
    PID.store(UNKNOWN, Ordering::Release);
}

/// The process that runs now: what tells a child from its parent.
pub(crate) fn pid() -> u32 {
    match PID.load(Ordering::Acquire) {
        UNKNOWN => {
            let pid = std::process::id();
            if WATCHED.load(Ordering::Acquire) {
                PID.store(pid, Ordering::Release);
            }
            pid
        }
        known => known,
    }
}
