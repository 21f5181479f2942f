//! Operations that complete through a queue, or on a thread of the library.

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use ringkeep_surface::{
    BucketHandle, Entry, Error, Op, Queue, Receipt, Result, StoreHandle, Ticket, Wake, errors,
};

use crate::bucket::{rk_bucket, shown};
use crate::entry::{rk_entry, rk_receipt};
use crate::guard::{Out, error_struct, free, guard, quiet, renamed};
use crate::input;
use crate::store::rk_store;
use crate::types::{User, rk_bytes, rk_error, rk_opts, rk_status};

/// An operation under way.
pub struct rk_op(Ticket);

/// Completions on their way to the thread that drains them.
pub struct rk_queue {
    queue: Arc<Queue>,
    store: StoreHandle,
}

/// Runs exactly once, cancel included: on the thread that drains the queue, or, with queue NULL, on a thread of the library,
/// one after the other. entry or receipt is NULL unless the operation gives one, err unless it failed; all are borrowed.
/// Callbacks may call anything but rk_close and rk_store_free of their own store.
pub type rk_done = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        s: rk_status,
        entry: *const rk_entry,
        receipt: *const rk_receipt,
        err: *const rk_error,
    ),
>;

/// Opens a queue for the operations of this store.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_queue_open(
    s: *mut rk_store,
    out: *mut *mut rk_queue,
    err: *mut rk_error,
) -> rk_status {
    // SAFETY: the caller's pointers, NULL or valid.
    let out = unsafe { Out::clear(out) };
    let body = || {
        let out = out.required()?;
        // SAFETY: as above.
        let store = unsafe { input::handle(s, "the store")? };
        // A closed or inherited store opens no queue.
        store.handle.bucket(None)?;
        let queue = Queue::new(Wake::EventFd)?;
        store.adopt(&queue);
        out.give(rk_queue { queue, store: store.handle.clone() });
        Ok(errors::OK)
    };
    // SAFETY: as above.
    unsafe { guard(err, body) }
}

/// The file descriptor to poll: readable while completions wait. Do not read from it. -1: no queue.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_queue_fd(q: *const rk_queue) -> c_int {
    // SAFETY: as this function's own.
    unsafe { q.as_ref() }.and_then(|queue| queue.queue.fd()).unwrap_or(-1)
}

/// Runs at most max callbacks on this thread and returns how many it ran. Never waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_queue_drain(q: *mut rk_queue, max: usize) -> usize {
    // SAFETY: as this function's own.
    quiet(0, || unsafe { q.as_ref() }.map_or(0, |queue| queue.queue.drain(max)))
}

/// Ends a queue: cancels what is under way towards it and runs its last callbacks on this thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_queue_free(q: *mut rk_queue) {
    // SAFETY: as this function's own.
    if let Some(queue) = unsafe { q.as_ref() } {
        quiet((), || {
            queue.queue.cancel_and_drain();
            queue.queue.wait_for_drains();
            queue.queue.close();
        });
    }
    // SAFETY: as this function's own.
    unsafe { free(q) }
}

/// rk_get without waiting. A status other than RK_OK: nothing was started, and the callback will not run. What is wrong
/// with the key or the options the callback says. op may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_get_async(
    b: *mut rk_bucket,
    key: rk_bytes,
    o: *const rk_opts,
    q: *mut rk_queue,
    cb: rk_done,
    user: *mut c_void,
    op: *mut *mut rk_op,
) -> rk_status {
    let make = |bucket: &BucketHandle| {
        // SAFETY: the caller's pointers, NULL or valid.
        let key = unsafe { input::bytes(key, "the key")? };
        // SAFETY: as above.
        Ok(bucket.read(key, unsafe { input::read_options(o, true)? }))
    };
    // SAFETY: as above.
    unsafe { start(b, q, cb, user, op, make, Completed::got) }
}

/// rk_read without waiting.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_read_async(
    b: *mut rk_bucket,
    key: rk_bytes,
    o: *const rk_opts,
    q: *mut rk_queue,
    cb: rk_done,
    user: *mut c_void,
    op: *mut *mut rk_op,
) -> rk_status {
    let make = |bucket: &BucketHandle| {
        // SAFETY: the caller's pointers, NULL or valid.
        let key = unsafe { input::bytes(key, "the key")? };
        // SAFETY: as above.
        Ok(bucket.read(key, unsafe { input::read_options(o, true)? }))
    };
    // SAFETY: as above.
    unsafe { start(b, q, cb, user, op, make, Completed::read) }
}

/// rk_put without waiting.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_put_async(
    b: *mut rk_bucket,
    key: rk_bytes,
    value: rk_bytes,
    o: *const rk_opts,
    q: *mut rk_queue,
    cb: rk_done,
    user: *mut c_void,
    op: *mut *mut rk_op,
) -> rk_status {
    let make = |bucket: &BucketHandle| {
        // SAFETY: the caller's pointers, NULL or valid.
        let (key, value) = unsafe { (input::bytes(key, "the key")?, input::bytes(value, "the value")?) };
        // SAFETY: as above.
        Ok(bucket.put(key, value, unsafe { input::write_options(o, true)? }))
    };
    // SAFETY: as above.
    unsafe { start(b, q, cb, user, op, make, Completed::stored) }
}

/// rk_delete without waiting.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_delete_async(
    b: *mut rk_bucket,
    key: rk_bytes,
    o: *const rk_opts,
    q: *mut rk_queue,
    cb: rk_done,
    user: *mut c_void,
    op: *mut *mut rk_op,
) -> rk_status {
    let make = |bucket: &BucketHandle| {
        // SAFETY: the caller's pointers, NULL or valid.
        let key = unsafe { input::bytes(key, "the key")? };
        // SAFETY: as above.
        Ok(bucket.delete(key, unsafe { input::write_options(o, true)? }))
    };
    // SAFETY: as above.
    unsafe { start(b, q, cb, user, op, make, Completed::stored) }
}

/// Asks an operation to end. The callback still runs, with RK_CANCELED or the result.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_op_cancel(op: *mut rk_op) {
    // SAFETY: as this function's own.
    let op = unsafe { op.as_ref() };
    quiet((), || {
        if let Some(op) = op {
            op.0.cancel();
        }
    });
}

/// Ends an operation's handle; the operation goes on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_op_free(op: *mut rk_op) {
    // SAFETY: as this function's own.
    unsafe { free(op) }
}

/// What a callback is given.
struct Completed {
    status: rk_status,
    entry: Option<rk_entry>,
    receipt: Option<rk_receipt>,
    error: Option<Box<rk_error>>,
}

impl Completed {
    fn got(entry: Result<Entry>) -> Self {
        match entry.map_err(renamed("get")).and_then(|entry| shown(&entry)) {
            Ok((status, entry)) => Self { status, entry, receipt: None, error: None },
            Err(error) => Self::failed(&error),
        }
    }

    fn read(entry: Result<Entry>) -> Self {
        match entry {
            Ok(entry) => {
                Self { status: errors::OK, entry: Some(rk_entry::all(&entry)), receipt: None, error: None }
            }
            Err(error) => Self::failed(&error),
        }
    }

    fn stored(receipt: Result<Receipt>) -> Self {
        match receipt {
            Ok(receipt) => Self {
                status: errors::OK,
                entry: None,
                receipt: Some(rk_receipt::new(&receipt)),
                error: None,
            },
            Err(error) => Self::failed(&error),
        }
    }

    fn failed(error: &Error) -> Self {
        let status = errors::status(error.kind());
        Self { status, entry: None, receipt: None, error: Some(error_struct(error)) }
    }

    /// Runs the caller's callback.
    fn tell(&self, cb: rk_done, user: &User) {
        fn lent<T>(part: Option<&T>) -> *const T {
            part.map_or(std::ptr::null(), std::ptr::from_ref)
        }
        if let Some(cb) = cb {
            // SAFETY: the caller's function with its own pointer; the rest lives until it returns.
            unsafe {
                cb(
                    user.get(),
                    self.status,
                    lent(self.entry.as_ref()),
                    lent(self.receipt.as_ref()),
                    lent(self.error.as_deref()),
                );
            }
        }
    }
}

/// # Safety
/// Pointers are NULL or as the header says.
unsafe fn start<T: Send + 'static>(
    b: *mut rk_bucket,
    q: *mut rk_queue,
    cb: rk_done,
    user: *mut c_void,
    op: *mut *mut rk_op,
    make: impl FnOnce(&BucketHandle) -> Result<Op<T>>,
    completed: fn(Result<T>) -> Completed,
) -> rk_status {
    // SAFETY: as this function's own.
    let out = unsafe { Out::clear(op) };
    let body = || {
        // SAFETY: as this function's own.
        let bucket = unsafe { input::handle(b, "the bucket")? };
        if cb.is_none() {
            return Err(Error::invalid("cb is NULL: nobody would hear of the result"));
        }
        // SAFETY: as this function's own.
        let queue = match unsafe { q.as_ref() } {
            Some(queue) if !queue.store.is(&bucket.store) => {
                return Err(Error::invalid("the queue belongs to another store"));
            }
            Some(queue) => {
                bucket.store.bucket(None)?;
                Arc::clone(&queue.queue)
            }
            None => bucket.store.delivery()?,
        };
        let operation = make(&bucket.handle).unwrap_or_else(|error| bucket.handle.refused(error));
        let user = User::new(user);
        let ticket = operation.try_start_queued(&queue, move |result| completed(result).tell(cb, &user))?;
        out.give(rk_op(ticket));
        Ok(errors::OK)
    };
    // SAFETY: no error struct to fill.
    unsafe { guard(std::ptr::null_mut(), body) }
}
