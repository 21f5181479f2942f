//! Memory that crosses the boundary both ways: what a merge function gives to `rk_update`.

use std::ffi::c_void;

/// Memory for a value that a merge function gives. Never NULL for lack of length, NULL when there is none left.
#[unsafe(no_mangle)]
pub extern "C" fn rk_alloc(len: usize) -> *mut c_void {
    // SAFETY: any length may be asked for; 0 is asked for as 1, so that NULL means failure alone.
    unsafe { libc::malloc(len.max(1)) }
}

/// Gives memory of rk_alloc back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_free(p: *mut c_void) {
    // SAFETY: as this function's own; free takes NULL.
    unsafe { libc::free(p) }
}
