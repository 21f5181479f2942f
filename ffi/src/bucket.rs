//! Buckets and the operations on one key.

use std::ffi::c_char;

use bytes::Bytes;
use ringkeep_surface::{BucketHandle, Entry, Receipt, Result, StoreHandle, errors};

use crate::entry::{rk_entry, rk_receipt};
use crate::guard::{Out, free, guard, renamed};
use crate::input;
use crate::store::{rk_store, wait};
use crate::types::{rk_bytes, rk_error, rk_opts, rk_status};

/// A named keyspace of a store.
pub struct rk_bucket {
    pub(crate) handle: BucketHandle,
    pub(crate) store: StoreHandle,
}

/// Opens a bucket; NULL: the default bucket. That it exists is judged by each operation.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_bucket_open(
    s: *mut rk_store,
    name: *const c_char,
    out: *mut *mut rk_bucket,
    err: *mut rk_error,
) -> rk_status {
    // SAFETY: the caller's pointers, NULL or valid.
    let out = unsafe { Out::clear(out) };
    let body = || {
        let out = out.required()?;
        // SAFETY: as above.
        let store = unsafe { input::handle(s, "the store")? };
        // SAFETY: as above.
        let name = unsafe { input::text(name, "the bucket's name")? };
        out.give(rk_bucket { handle: store.handle.bucket(name)?, store: store.handle.clone() });
        Ok(errors::OK)
    };
    // SAFETY: as above.
    unsafe { guard(err, body) }
}

/// Ends a bucket's handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_bucket_free(b: *mut rk_bucket) {
    // SAFETY: as this function's own.
    unsafe { free(b) }
}

/// What a get makes of an entry: its status, and the entry to give unless the key is absent.
pub(crate) fn shown(entry: &Entry) -> Result<(rk_status, Option<rk_entry>)> {
    match rk_entry::resolved(entry) {
        Ok(resolved) if resolved.is_empty() => Ok((errors::NOT_FOUND, None)),
        Ok(resolved) => Ok((errors::OK, Some(resolved))),
        Err(error) if errors::status(error.kind()) == errors::CONFLICT => {
            Ok((errors::CONFLICT, Some(rk_entry::all(entry))))
        }
        Err(error) => Err(error),
    }
}

/// The value that the bucket's resolver picks. RK_NOT_FOUND: *out stays NULL. RK_CONFLICT: *out has every sibling.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_get(
    b: *mut rk_bucket,
    key: rk_bytes,
    o: *const rk_opts,
    out: *mut *mut rk_entry,
    err: *mut rk_error,
) -> rk_status {
    // SAFETY: the caller's pointers, NULL or valid.
    let out = unsafe { Out::clear(out) };
    let body = || {
        let out = out.required()?;
        // SAFETY: as above.
        let entry = unsafe { fetch(b, key, o, "get")? };
        let (status, entry) = shown(&entry)?;
        if let Some(entry) = entry {
            out.give(entry);
        }
        Ok(status)
    };
    // SAFETY: as above.
    unsafe { guard(err, body) }
}

/// Every live sibling, and the context. RK_OK also for an absent key, whose entry has no sibling.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_read(
    b: *mut rk_bucket,
    key: rk_bytes,
    o: *const rk_opts,
    out: *mut *mut rk_entry,
    err: *mut rk_error,
) -> rk_status {
    // SAFETY: the caller's pointers, NULL or valid.
    let out = unsafe { Out::clear(out) };
    let body = || {
        let out = out.required()?;
        // SAFETY: as above.
        let entry = unsafe { fetch(b, key, o, "read")? };
        out.give(rk_entry::all(&entry));
        Ok(errors::OK)
    };
    // SAFETY: as above.
    unsafe { guard(err, body) }
}

/// # Safety
/// Pointers are NULL or as the header says.
unsafe fn fetch(
    b: *mut rk_bucket,
    key: rk_bytes,
    o: *const rk_opts,
    operation: &'static str,
) -> Result<Entry> {
    let arguments = || {
        // SAFETY: as this function's own.
        let bucket = unsafe { input::handle(b, "the bucket")? };
        // SAFETY: as this function's own.
        let key = unsafe { input::bytes(key, "the key")? };
        // SAFETY: as this function's own.
        Ok((bucket, key, unsafe { input::read_options(o, false)? }))
    };
    let (bucket, key, options) =
        arguments().map_err(|error: ringkeep_surface::Error| error.during(operation))?;
    wait(bucket.handle.read(key, options)).map_err(renamed(operation))
}

/// Stores a value. out may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_put(
    b: *mut rk_bucket,
    key: rk_bytes,
    value: rk_bytes,
    o: *const rk_opts,
    out: *mut *mut rk_receipt,
    err: *mut rk_error,
) -> rk_status {
    // SAFETY: the caller's pointers, NULL or valid.
    let out = unsafe { Out::clear(out) };
    let body = || {
        let arguments = || {
            // SAFETY: as above.
            let value = unsafe { input::bytes(value, "the value")? };
            // SAFETY: as above.
            Ok((unsafe { write_arguments(b, key, o)? }, value))
        };
        let ((bucket, key, options), value) =
            arguments().map_err(|error: ringkeep_surface::Error| error.during("put"))?;
        give_receipt(out, &wait(bucket.handle.put(key, value, options))?);
        Ok(errors::OK)
    };
    // SAFETY: as above.
    unsafe { guard(err, body) }
}

/// Deletes a key; without a context it covers what its coordinator has stored. out may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_delete(
    b: *mut rk_bucket,
    key: rk_bytes,
    o: *const rk_opts,
    out: *mut *mut rk_receipt,
    err: *mut rk_error,
) -> rk_status {
    // SAFETY: the caller's pointers, NULL or valid.
    let out = unsafe { Out::clear(out) };
    let body = || {
        // SAFETY: as above.
        let (bucket, key, options) =
            unsafe { write_arguments(b, key, o) }.map_err(|error| error.during("delete"))?;
        give_receipt(out, &wait(bucket.handle.delete(key, options))?);
        Ok(errors::OK)
    };
    // SAFETY: as above.
    unsafe { guard(err, body) }
}

fn give_receipt(out: Out<rk_receipt>, receipt: &Receipt) {
    if out.wanted() {
        out.give(rk_receipt::new(receipt));
    }
}

/// # Safety
/// Pointers are NULL or as the header says.
unsafe fn write_arguments<'a>(
    b: *mut rk_bucket,
    key: rk_bytes,
    o: *const rk_opts,
) -> Result<(&'a rk_bucket, Bytes, ringkeep_surface::WriteOptions)> {
    // SAFETY: as this function's own.
    let bucket = unsafe { input::handle(b, "the bucket")? };
    // SAFETY: as this function's own.
    let key = unsafe { input::bytes(key, "the key")? };
    // SAFETY: as this function's own.
    Ok((bucket, key, unsafe { input::write_options(o, false)? }))
}
