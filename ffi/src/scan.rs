//! Counting and scanning.

use bytes::Bytes;
use parking_lot::Mutex;
use ringkeep_surface::{ScanHandle, ScanItem, errors};

use crate::bucket::{rk_bucket, shown};
use crate::entry::{borrowed, rk_entry};
use crate::guard::{Out, free, guard};
use crate::input;
use crate::store::wait;
use crate::types::{rk_bytes, rk_error, rk_opts, rk_range, rk_status};

/// A scan under way.
pub struct rk_iter {
    scan: ScanHandle,
    // What the last step gave: borrowed by the caller until the next.
    current: Mutex<Option<Box<(Bytes, rk_entry)>>>,
}

/// Counts the keys that a get would show. range NULL: all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_count(
    b: *mut rk_bucket,
    range: *const rk_range,
    o: *const rk_opts,
    out: *mut u64,
    err: *mut rk_error,
) -> rk_status {
    if !out.is_null() {
        // SAFETY: not NULL, so writable as the header asks.
        unsafe { out.write_unaligned(0) };
    }
    let body = || {
        if out.is_null() {
            return Err(ringkeep_surface::Error::invalid("out is NULL: there is no place for the number"));
        }
        // SAFETY: the caller's pointers, NULL or valid.
        let bucket = unsafe { input::handle(b, "the bucket")? };
        // SAFETY: as above.
        let options = unsafe { input::scan_options(range, o) }.map_err(|error| error.during("count"))?;
        let count = wait(bucket.handle.count(options))?;
        // SAFETY: not NULL, so writable as the header asks.
        unsafe { out.write_unaligned(count) };
        Ok(errors::OK)
    };
    // SAFETY: as above.
    unsafe { guard(err, body) }
}

/// Starts a scan: key-ordered, streamed, not a snapshot. range NULL: all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_scan(
    b: *mut rk_bucket,
    range: *const rk_range,
    o: *const rk_opts,
    out: *mut *mut rk_iter,
    err: *mut rk_error,
) -> rk_status {
    // SAFETY: the caller's pointers, NULL or valid.
    let out = unsafe { Out::clear(out) };
    let body = || {
        let out = out.required()?;
        // SAFETY: as above.
        let bucket = unsafe { input::handle(b, "the bucket")? };
        // SAFETY: as above.
        let options = unsafe { input::scan_options(range, o) }.map_err(|error| error.during("scan"))?;
        // A closed or inherited store is said here rather than at the first step.
        bucket.store.bucket(None)?;
        out.give(rk_iter { scan: bucket.handle.scan(options), current: Mutex::new(None) });
        Ok(errors::OK)
    };
    // SAFETY: as above.
    unsafe { guard(err, body) }
}

/// The next key with the value that the resolver picks; RK_CONFLICT: with every sibling, and the scan goes on. RK_END after
/// the last. key and e are borrowed until the next step and may be NULL. One thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_iter_next(
    it: *mut rk_iter,
    key: *mut rk_bytes,
    e: *mut *const rk_entry,
    err: *mut rk_error,
) -> rk_status {
    // SAFETY: the caller's pointers, NULL or valid.
    unsafe { show(key, e, rk_bytes { data: std::ptr::null(), len: 0 }, std::ptr::null()) };
    let body = || {
        // SAFETY: as above.
        let iter = unsafe { input::handle(it, "the iterator")? };
        let Some(ScanItem { key: found, entry, .. }) = step(&iter.scan)? else {
            *iter.current.lock() = None;
            return Ok(errors::END);
        };
        let (status, made) = shown(&entry)?;
        let made = Box::new((found, made.unwrap_or_else(|| rk_entry::all(&entry))));
        // SAFETY: as above; what is lent lives in `current` until the next step.
        unsafe { show(key, e, borrowed(&made.0), &raw const made.1) };
        *iter.current.lock() = Some(made);
        Ok(if status == errors::NOT_FOUND { errors::OK } else { status })
    };
    // SAFETY: as above.
    unsafe { guard(err, body) }
}

fn step(scan: &ScanHandle) -> ringkeep_surface::Result<Option<ScanItem>> {
    match scan.buffered() {
        Some(item) => Ok(Some(item)),
        None => wait(scan.next()),
    }
}

/// # Safety
/// `key` and `e` are NULL or writable.
unsafe fn show(key: *mut rk_bytes, e: *mut *const rk_entry, bytes: rk_bytes, entry: *const rk_entry) {
    if !key.is_null() {
        // SAFETY: not NULL, so writable as the caller promised.
        unsafe { key.write_unaligned(bytes) };
    }
    if !e.is_null() {
        // SAFETY: as above.
        unsafe { e.write_unaligned(entry) };
    }
}

/// Ends a scan.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_iter_free(it: *mut rk_iter) {
    // SAFETY: as this function's own.
    unsafe { free(it) }
}
