//! Administration speaks JSON.

use std::ffi::c_char;

use bytes::Bytes;
use ringkeep_surface::{Error, errors};

use crate::entry::rk_entry;
use crate::guard::{Out, guard};
use crate::input;
use crate::store::{rk_store, wait};
use crate::types::{rk_error, rk_status};

/// Runs a command: status, ring, buckets, create_bucket, explain, events, metrics; alter_bucket, drop_bucket, leave, remove,
/// repair and backup are not in this version. json: the arguments, or NULL. The answer is an entry with one value, JSON
/// too. out may be NULL.
/// explain takes {"bucket": "carts", "key": "text"} or "key_hex": "00ff", and gives partition, replicas (id, number, role,
/// state, reachable, error, counts, recovering, record, hints_owed) and reads: what r = 1, 2, ... would answer now.
/// events takes {"after": n, "max": m, "timeout_ms": t} and waits for the events after that number, at most 10 s; without
/// after it gives the last number. The answer {"events", "last", "missed", "source", "time_ms"} says where to go on: pass
/// last as after, source as source and time_ms as since_ms, so that a client that goes on at another member is told.
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
