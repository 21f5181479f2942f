//! Administration speaks JSON.

use std::ffi::c_char;

use bytes::Bytes;
use ringkeep_surface::{Error, errors};

use crate::entry::rk_entry;
use crate::guard::{Out, guard};
use crate::input;
use crate::store::{rk_store, wait};
use crate::types::{rk_error, rk_status};

/// Runs a command: status, ring, buckets, create_bucket, metrics; alter_bucket, drop_bucket, leave, remove, repair, backup,
/// explain and events are not in this version. json: the arguments, or NULL. The answer is an entry with one value, JSON
/// too. out may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_admin(
    s: *mut rk_store,
    command: *const c_char,
    json: *const c_char,
    out: *mut *mut rk_entry,
    err: *mut rk_error,
) -> rk_status {
    // SAFETY: the caller's pointers, NULL or valid.
    let out = unsafe { Out::clear(out) };
    let body = || {
        // SAFETY: as above.
        let store = unsafe { input::handle(s, "the store")? };
        // SAFETY: as above.
        let command = unsafe { input::text(command, "the command")? };
        let command = command.ok_or_else(|| Error::invalid("the command is NULL"))?;
        // SAFETY: as above.
        let json = unsafe { input::text(json, "the arguments")? };
        let answer = wait(store.handle.admin(command, json.unwrap_or_default()))?;
        out.give(rk_entry::of(Some(Bytes::from(answer)), None));
        Ok(errors::OK)
    };
    // SAFETY: as above.
    unsafe { guard(err, body) }
}
