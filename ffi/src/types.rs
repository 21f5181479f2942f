//! The plain structs of the C API. Their layout never changes; `rk_error` and `rk_opts` may grow at the end.

use std::ffi::{c_char, c_void};

/// An outcome or failure: above 0 outcomes, 0 done, below 0 failures. Numbers never change their meaning.
pub type rk_status = i32;

/// Bytes of the caller's or of an object's. NULL with a length of 0 is empty.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rk_bytes {
    /// The first byte.
    pub data: *const c_void,
    /// How many there are.
    pub len: usize,
}

/// What went wrong: caller owned, fixed size, nothing to free. `err` may always be NULL. Start from RK_ERROR_INIT.
#[repr(C)]
pub struct rk_error {
    /// sizeof(rk_error), set by the caller.
    pub size: u32,
    /// The status that the call returned.
    pub code: rk_status,
    /// Replicas that had to answer; RK_TIMEOUT and RK_QUORUM_UNAVAILABLE.
    pub needed: i32,
    /// Replicas that did.
    pub received: i32,
    /// 0 only if nothing can have been stored.
    pub maybe_applied: u8,
    /// Whether the same request may succeed later.
    pub retryable: u8,
    /// What was found, as a sentence; always ended by a zero byte, cut at a character if need be.
    pub message: [c_char; 512],
}

/// Options of a call; NULL: none. Start from RK_OPTS_INIT; -1 means not given. What a call has no use for it ignores.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rk_opts {
    /// sizeof(rk_opts), set by the caller.
    pub size: u32,
    /// A named level; not together with r or w.
    pub consistency: i32,
    /// Owners that must answer a read.
    pub r: i32,
    /// Owners that must have stored a write.
    pub w: i32,
    /// Whether fallbacks count for owners that are away: 0 or 1; not together with the level all.
    pub sloppy: i32,
    /// How long the call may take.
    pub timeout_ms: i64,
    /// How long the value lives; 0: for ever.
    pub ttl_ms: i64,
    /// What the writer has seen.
    pub context: rk_bytes,
}

/// Which keys a scan or count visits, in byte order. Empty bytes set no bound.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rk_range {
    /// Only keys that begin so.
    pub prefix: rk_bytes,
    /// Only keys at or after this one.
    pub start: rk_bytes,
    /// Only keys before this one.
    pub end: rk_bytes,
    /// At most so many; -1: no limit.
    pub limit: i64,
}

/// The caller's `user` pointer on its way to the caller's callback. Whether it may cross threads is the caller's part of
/// the contract.
pub(crate) struct User(*mut c_void);

// SAFETY: the pointer is never followed here, only handed back.
unsafe impl Send for User {}

impl User {
    pub(crate) fn new(user: *mut c_void) -> Self {
        Self(user)
    }

    pub(crate) fn get(&self) -> *mut c_void {
        self.0
    }
}
