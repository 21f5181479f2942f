//! Opening, closing and freeing stores.

use std::ffi::c_char;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use ringkeep_surface::{
    ConnectOptions, Error, ErrorKind, Op, Queue, Result, StoreHandle, errors, fork, options,
};

use crate::guard::{Out, free, guard, quiet};
use crate::input;
use crate::types::{rk_error, rk_status};

/// A node or a client: the same operations.
pub struct rk_store {
    pub(crate) handle: StoreHandle,
    // The queues that close drains.
    pub(crate) queues: Mutex<Vec<Weak<Queue>>>,
    // A node of a test cluster outlives its handles.
    outlives: bool,
    node_id: Option<Box<std::ffi::CStr>>,
    address: Option<Box<std::ffi::CStr>>,
}

/// Waits for an operation; a C caller has no way to interrupt it but its time limit.
pub(crate) fn wait<T: Send + 'static>(op: Op<T>) -> Result<T> {
    op.wait(|| Ok(()))
}

impl rk_store {
    pub(crate) fn new(handle: StoreHandle) -> Self {
        let text = |text: Option<String>| {
            text.and_then(|text| std::ffi::CString::new(text).ok()).map(std::ffi::CString::into_boxed_c_str)
        };
        let (node_id, address) = (text(handle.node_id()), text(handle.address()));
        Self { handle, queues: Mutex::new(Vec::new()), outlives: false, node_id, address }
    }

    /// A handle whose end does not close the store.
    pub(crate) fn shared(handle: StoreHandle) -> Self {
        Self { outlives: true, ..Self::new(handle) }
    }

    fn close(&self, timeout: Option<Duration>) -> Result<()> {
        let closed = wait(self.handle.close(timeout));
        if closed.as_ref().is_err_and(|error| error.kind() == ErrorKind::Forked) {
            return closed;
        }
        // Everything under way has been completed: what waits in a queue runs here, and no callback runs afterwards.
        let queues: Vec<Arc<Queue>> = self.queues.lock().iter().filter_map(Weak::upgrade).collect();
        for queue in queues {
            queue.drain(usize::MAX);
            queue.wait_for_drains();
        }
        self.handle.end_delivery();
        closed
    }

    pub(crate) fn adopt(&self, queue: &Arc<Queue>) {
        let mut queues = self.queues.lock();
        queues.retain(|known| known.strong_count() > 0);
        queues.push(Arc::downgrade(queue));
    }
}

/// Has the system tell of forks, so that no operation has to ask which process it is in.
pub(crate) fn watch_forks() {
    static WATCH: std::sync::Once = std::sync::Once::new();
    extern "C" fn in_child() {
        fork::in_child();
    }
    WATCH.call_once(|| {
        // SAFETY: the function only stores to an atomic, which is allowed in a child of fork.
        if unsafe { libc::pthread_atfork(None, None, Some(in_child)) } == 0 {
            fork::watched();
        }
    });
}

/// Opens a node. path NULL: in memory. options: percent-encoded key=value pairs joined by '&', the names of the settings
/// file: "create=1&listen=127.0.0.1:7400", "listen=...&seeds=a:7400,b:7400&location=aws/eu-1/a", or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_open(
    path: *const c_char,
    options: *const c_char,
    out: *mut *mut rk_store,
    err: *mut rk_error,
) -> rk_status {
    // SAFETY: the caller's pointers, NULL or valid.
    let out = unsafe { Out::clear(out) };
    let body = || {
        let out = out.required()?;
        watch_forks();
        // SAFETY: as above.
        let path = unsafe { input::text(path, "path")? };
        // SAFETY: as above.
        let pairs = unsafe { input::text(options, "options")? };
        let settings = options::settings_from_pairs(path, pairs.unwrap_or_default());
        let handle = wait(StoreHandle::open(settings.map_err(|error| error.during("open"))?))?;
        out.give(rk_store::new(handle));
        Ok(errors::OK)
    };
    // SAFETY: as above.
    unsafe { guard(err, body) }
}

/// Connects a client: "ringkeep://a:7400,b:7400?consistency=local_quorum&timeout=2s". NULL: a node on this machine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_connect(
    uri: *const c_char,
    out: *mut *mut rk_store,
    err: *mut rk_error,
) -> rk_status {
    // SAFETY: the caller's pointers, NULL or valid.
    let out = unsafe { Out::clear(out) };
    let body = || {
        let out = out.required()?;
        watch_forks();
        // SAFETY: as above.
        let uri = unsafe { input::text(uri, "uri")? };
        let uris: Vec<String> = uri.map(str::to_owned).into_iter().collect();
        let handle = wait(StoreHandle::connect(&uris, ConnectOptions::default()))?;
        out.give(rk_store::new(handle));
        Ok(errors::OK)
    };
    // SAFETY: as above.
    unsafe { guard(err, body) }
}

/// Returns once operations can be served: until it belongs to a cluster, a node that joins makes them wait.
/// timeout_ms -1: the setting's default.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_ready(s: *mut rk_store, timeout_ms: i64, err: *mut rk_error) -> rk_status {
    let body = || {
        // SAFETY: the caller's pointers, NULL or valid.
        let store = unsafe { input::handle(s, "the store")? };
        wait(store.handle.ready(limit(timeout_ms)?))?;
        Ok(errors::OK)
    };
    // SAFETY: as above.
    unsafe { guard(err, body) }
}

/// Ends the work of a store: lets operations under way end within the time limit (-1: the setting's default), completes
/// the rest, and runs on this thread the callbacks that wait in its queues. Idempotent; no callback runs after it returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_close(s: *mut rk_store, timeout_ms: i64, err: *mut rk_error) -> rk_status {
    let body = || {
        // SAFETY: the caller's pointers, NULL or valid.
        let store = unsafe { input::handle(s, "the store")? };
        store.close(limit(timeout_ms)?)?;
        Ok(errors::OK)
    };
    // SAFETY: as above.
    unsafe { guard(err, body) }
}

/// Ends a store's handle; closes it first if need be, unless it is a test cluster's node.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_store_free(s: *mut rk_store) {
    // SAFETY: as this function's own.
    if let Some(store) = unsafe { s.as_ref() }.filter(|store| !store.outlives) {
        quiet((), || {
            // Who frees without closing has given up the close's error; in a child of fork there is nothing to close.
            let _unheard = store.close(None);
        });
    }
    // SAFETY: as this function's own.
    unsafe { free(s) }
}

/// A node's stable id, borrowed until the store is freed; NULL for a client.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_node_id(s: *const rk_store) -> *const c_char {
    // SAFETY: as this function's own.
    let id = unsafe { s.as_ref() }.and_then(|store| store.node_id.as_ref());
    id.map_or(std::ptr::null(), |id| id.as_ptr())
}

/// Where a node is reached, "host:port", borrowed until the store is freed; NULL for a client and without a port.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_address(s: *const rk_store) -> *const c_char {
    // SAFETY: as this function's own.
    let address = unsafe { s.as_ref() }.and_then(|store| store.address.as_ref());
    address.map_or(std::ptr::null(), |address| address.as_ptr())
}

/// A time limit; -1 is the default's. Closing may take none at all.
fn limit(timeout_ms: i64) -> Result<Option<Duration>> {
    match timeout_ms {
        -1 => Ok(None),
        0.. => Ok(Some(Duration::from_millis(timeout_ms.unsigned_abs()))),
        _ => Err(Error::invalid(format!("timeout_ms={timeout_ms} is negative; -1 takes the default"))),
    }
}
