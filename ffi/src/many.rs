//! Several keys at once; each has its own status.

use bytes::Bytes;
use ringkeep_surface::{Error, ErrorKind, Result, errors};

use crate::bucket::{rk_bucket, shown};
use crate::entry::rk_entry;
use crate::guard::{guard, renamed};
use crate::input;
use crate::store::wait;
use crate::types::{rk_bytes, rk_error, rk_opts, rk_status};

/// Items of one call at the most: beyond lies a wrong number, and no array is touched.
const ITEMS_MAX: usize = 1 << 24;

fn check_count(n: usize) -> Result<()> {
    if n > ITEMS_MAX {
        Err(Error::invalid(format!("{n} items exceed {ITEMS_MAX} in one call")))
    } else {
        Ok(())
    }
}

/// The statuses of a call's items, in the caller's array if there is one.
struct Each {
    first: *mut rk_status,
    count: usize,
    failed: usize,
    example: Option<Error>,
}

impl Each {
    /// # Safety
    /// `first` is NULL or writable for `count` statuses.
    unsafe fn new(first: *mut rk_status, count: usize) -> Self {
        Self { first, count, failed: 0, example: None }
    }

    fn set(&mut self, index: usize, status: rk_status) {
        if !self.first.is_null() && index < self.count {
            // SAFETY: writable for `count` statuses, as `new`'s caller promised.
            unsafe { self.first.add(index).write_unaligned(status) };
        }
    }

    fn fail(&mut self, index: usize, error: Error) {
        self.set(index, errors::status(error.kind()));
        self.failed += 1;
        self.example.get_or_insert(error);
    }

    /// The call's own result: the items' failures together.
    fn end(self) -> Result<rk_status> {
        let Some(example) = self.example else { return Ok(errors::OK) };
        let text = format!("{} of {} items failed, the first with: {example}", self.failed, self.count);
        Err(Error::new(ErrorKind::Partial, text).maybe_applied_if(example.maybe_applied()))
    }

    /// Gives every item the call's failure.
    fn all(&mut self, error: Error) -> Error {
        let status = errors::status(error.kind());
        if check_count(self.count).is_ok() {
            (0..self.count).for_each(|index| self.set(index, status));
        }
        error
    }
}

/// # Safety
/// `keys` is NULL or readable for `n` items, each as the header says.
unsafe fn list(keys: *const rk_bytes, n: usize, what: &str) -> Result<Vec<Bytes>> {
    // SAFETY: as this function's own.
    let keys = unsafe { input::array(keys, n, what)? };
    // SAFETY: as this function's own.
    keys.iter().map(|key| unsafe { input::bytes(*key, what) }).collect()
}

/// Reads n keys. out and each have room for n: RK_OK, RK_NOT_FOUND, RK_CONFLICT or a failure per key, with an entry as
/// from rk_get. RK_PARTIAL when some failed. each may be NULL. n: up to 2^24.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_get_many(
    b: *mut rk_bucket,
    keys: *const rk_bytes,
    n: usize,
    o: *const rk_opts,
    out: *mut *mut rk_entry,
    each: *mut rk_status,
    err: *mut rk_error,
) -> rk_status {
    if !out.is_null() && check_count(n).is_ok() {
        // SAFETY: the caller's array with room for n, cleared before anything can fail.
        (0..n).for_each(|index| unsafe { out.add(index).write_unaligned(std::ptr::null_mut()) });
    }
    // SAFETY: the caller's pointers, NULL or valid.
    let mut each = unsafe { Each::new(each, n) };
    let body = || {
        let started = || {
            check_count(n)?;
            if out.is_null() && n > 0 {
                return Err(Error::invalid("out is NULL: there is no place for the entries"));
            }
            // SAFETY: as above.
            let bucket = unsafe { input::handle(b, "the bucket")? };
            // SAFETY: as above.
            let keys = unsafe { list(keys, n, "keys")? };
            // SAFETY: as above.
            let options = unsafe { input::read_options(o, false)? };
            wait(bucket.handle.read_many(keys, options))
        };
        let entries = started().map_err(|error| each.all(error.during("get_many")))?;
        for (index, entry) in entries.iter().enumerate() {
            match entry.as_ref().map_err(|error| renamed("get")(error.clone())).and_then(shown) {
                Ok((status, entry)) => {
                    each.set(index, status);
                    if let Some(entry) = entry {
                        // SAFETY: the caller's array with room for n, and there are n entries.
                        unsafe { out.add(index).write_unaligned(Box::into_raw(Box::new(entry))) };
                    }
                }
                Err(error) => each.fail(index, error),
            }
        }
        each.end()
    };
    // SAFETY: as above.
    unsafe { guard(err, body) }
}

/// Stores n values. each has room for n: RK_OK or a failure per key. RK_PARTIAL when some failed. each may be NULL.
/// n: up to 2^24.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_put_many(
    b: *mut rk_bucket,
    keys: *const rk_bytes,
    values: *const rk_bytes,
    n: usize,
    o: *const rk_opts,
    each: *mut rk_status,
    err: *mut rk_error,
) -> rk_status {
    // SAFETY: the caller's pointers, NULL or valid.
    let mut each = unsafe { Each::new(each, n) };
    let body = || {
        let started = || {
            check_count(n)?;
            // SAFETY: as above.
            let bucket = unsafe { input::handle(b, "the bucket")? };
            // SAFETY: as above.
            let (keys, values) = unsafe { (list(keys, n, "keys")?, list(values, n, "values")?) };
            // SAFETY: as above.
            let options = unsafe { input::write_options(o, false)? };
            wait(bucket.handle.put_many(keys.into_iter().zip(values).collect(), options))
        };
        let receipts = started().map_err(|error: Error| each.all(error.during("put_many")))?;
        for (index, receipt) in receipts.into_iter().enumerate() {
            match receipt {
                Ok(_) => each.set(index, errors::OK),
                Err(error) => each.fail(index, error),
            }
        }
        each.end()
    };
    // SAFETY: as above.
    unsafe { guard(err, body) }
}
