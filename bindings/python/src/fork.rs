//! Being told of forks, so that a handle need not ask the system for its process id at every operation: that call costs
//! as much as a local read.

#![expect(unsafe_code, reason = "the C library offers no other way to be told")]

use std::ffi::c_int;

type Handler = Option<unsafe extern "C" fn()>;

unsafe extern "C" {
    fn pthread_atfork(prepare: Handler, parent: Handler, child: Handler) -> c_int;
}

/// Runs in a child of fork before anything else does.
extern "C" fn in_child() {
    ringkeep_surface::fork::in_child();
    crate::exit::in_child();
}

/// Has every fork of this process noticed. Where that is refused, handles go on asking for the process id.
pub(crate) fn watch() {
    // SAFETY: the handler is a function that lives as long as the process (the interpreter never unloads a module), and
    // all it does is to store to atomics, which is allowed between fork and exec.
    let refused = unsafe { pthread_atfork(None, None, Some(in_child)) };
    if refused == 0 {
        ringkeep_surface::fork::watched();
    }
}
