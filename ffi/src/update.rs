//! Read, merge by the caller's function, write: the call to use for anything that reads before it writes.

use std::ffi::c_void;

use bytes::Bytes;
use ringkeep_surface::{Entry, Error, ErrorKind, Result, WriteOptions, errors, update_options};

use crate::bucket::rk_bucket;
use crate::entry::rk_entry;
use crate::guard::{Out, guard, renamed};
use crate::input;
use crate::memory::rk_free;
use crate::status;
use crate::store::wait;
use crate::types::{rk_bytes, rk_error, rk_opts, rk_status};

/// Sees the siblings and gives one value through *value, allocated with rk_alloc, which the library frees. RK_OK goes on,
/// RK_NOT_FOUND deletes, anything else ends the update with that status.
pub type rk_merge = Option<
    unsafe extern "C" fn(user: *mut c_void, siblings: *const rk_entry, value: *mut rk_bytes) -> rk_status,
>;

/// What the merge function wants.
enum Merged {
    Value(Bytes),
    Delete,
    Abort(rk_status),
}

/// Reads every live sibling, lets fn make one value of them, and stores it with their context. *out is the value that was
/// stored, with the new context; without a sibling after a delete. out may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_update(
    b: *mut rk_bucket,
    key: rk_bytes,
    r#fn: rk_merge,
    user: *mut c_void,
    o: *const rk_opts,
    out: *mut *mut rk_entry,
    err: *mut rk_error,
) -> rk_status {
    // SAFETY: the caller's pointers, NULL or valid.
    let out = unsafe { Out::clear(out) };
    let body = || {
        // SAFETY: as above.
        let (bucket, key, options) =
            unsafe { arguments(b, key, r#fn, o) }.map_err(|error| error.during("update"))?;
        let read = wait(bucket.handle.read(key.clone(), update_options(&options)));
        let entry = read.map_err(renamed("update"))?;
        // SAFETY: the caller's function, called as the header says.
        let merged = unsafe { merge(r#fn, user, &entry) }.map_err(|error| error.during("update"))?;
        let options = WriteOptions { context: Some(entry.context().clone()), ..options };
        let (value, written) = match merged {
            Merged::Value(value) => (Some(value.clone()), wait(bucket.handle.put(key, value, options))),
            Merged::Delete => (None, wait(bucket.handle.delete(key, options))),
            Merged::Abort(status) => return aborted(status),
        };
        let receipt = written.map_err(renamed("update"))?;
        out.give(rk_entry::of(value, Some(receipt.context().clone())));
        Ok(errors::OK)
    };
    // SAFETY: as above.
    unsafe { guard(err, body) }
}

/// # Safety
/// Pointers are NULL or as the header says.
unsafe fn arguments<'a>(
    b: *mut rk_bucket,
    key: rk_bytes,
    r#fn: rk_merge,
    o: *const rk_opts,
) -> Result<(&'a rk_bucket, Bytes, WriteOptions)> {
    // SAFETY: as this function's own.
    let bucket = unsafe { input::handle(b, "the bucket")? };
    if r#fn.is_none() {
        return Err(Error::invalid("fn is NULL: there is nothing to merge with"));
    }
    // SAFETY: as this function's own.
    let key = unsafe { input::bytes(key, "the key")? };
    // SAFETY: as this function's own.
    let options = unsafe { input::write_options(o, false)? };
    if options.context.is_some() {
        return Err(Error::invalid("context is what an update reads itself: leave it out"));
    }
    Ok((bucket, key, options))
}

/// # Safety
/// `fn` may be called with `user`.
unsafe fn merge(r#fn: rk_merge, user: *mut c_void, entry: &Entry) -> Result<Merged> {
    let Some(function) = r#fn else { return Ok(Merged::Abort(errors::INTERNAL)) };
    let siblings = rk_entry::all(entry);
    let mut value = rk_bytes { data: std::ptr::null(), len: 0 };
    // SAFETY: the caller's function; siblings and value live until it returns.
    let status = unsafe { function(user, &raw const siblings, &raw mut value) };
    // SAFETY: what the function gave, readable as the header asks.
    let given = unsafe { input::bytes(value, "the merged value") };
    // SAFETY: it came from rk_alloc, or is NULL.
    unsafe { rk_free(value.data.cast_mut()) };
    match status {
        errors::OK => given.map(Merged::Value),
        errors::NOT_FOUND => Ok(Merged::Delete),
        other => Ok(Merged::Abort(other)),
    }
}

/// The end of an update that its function gave up: a failure with that status, or an outcome as it stands.
fn aborted(status: rk_status) -> Result<rk_status> {
    match errors::kind(status) {
        Some(kind) if status < 0 => Err(Error::new(
            kind,
            format!("the merge function gave up with {}", status::name(status).to_string_lossy()),
        )
        .during("update")),
        None if status < 0 => {
            Err(Error::new(ErrorKind::Canceled, format!("the merge function gave up with {status}"))
                .during("update"))
        }
        _ => Ok(status),
    }
}
