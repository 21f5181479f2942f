//! A store, as `node/lib/store.js` holds it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use napi::bindgen_prelude::External;
use napi_derive::napi;
use ringkeep_surface::{BucketHandle, Error, StoreHandle};

use crate::arguments;
use crate::bucket::Bucket;
use crate::event_loop::Local;
use crate::guard::guard;

/// A node or a client.
#[napi]
pub struct Store {
    local: Rc<Local>,
    store: StoreHandle,
    opened: RefCell<Option<BucketHandle>>,
}

impl Store {
    pub(crate) fn new(local: Rc<Local>, store: StoreHandle) -> Self {
        Self { local, store, opened: RefCell::default() }
    }
}

#[napi]
impl Store {
    /// A node's stable id.
    #[napi(getter)]
    pub fn node_id(&self) -> Option<String> {
        self.store.node_id()
    }

    /// Where a node listens.
    #[napi(getter)]
    pub fn address(&self) -> Option<String> {
        self.store.address()
    }

    /// Opens a bucket, none the default one, for `takeBucket`.
    #[napi]
    pub fn open_bucket(&self, name: Option<String>) -> i64 {
        let opened = guard(|| self.store.bucket(name.as_deref()));
        self.local.reply(0, opened.map(|bucket| drop(self.opened.replace(Some(bucket)))))
    }

    /// The bucket that was opened last.
    #[napi]
    pub fn take_bucket(&self) -> Option<External<Bucket>> {
        let bucket = self.opened.take()?;
        Some(External::new(Bucket::new(Rc::clone(&self.local), bucket)))
    }

    /// Waits until operations can be served.
    #[napi]
    pub fn ready(&self, id: u32, timeout_ms: Option<f64>) -> i64 {
        self.local.start(id, || Ok(self.store.ready(arguments::timeout(timeout_ms)?)), |done| done)
    }

    /// Ends the work of the store.
    #[napi]
    pub fn close(&self, id: u32, timeout_ms: Option<f64>) -> i64 {
        let timeout = timeout_ms.map(|ms| Duration::from_secs_f64((ms / 1_000.0).clamp(0.0, 86_400.0)));
        self.local.start_elsewhere(id, || Ok(self.store.close(timeout)))
    }

    /// Runs a command of administration: JSON in, JSON out.
    #[napi]
    pub fn admin(&self, id: u32, command: String, json: String) -> i64 {
        let operation = || Ok(self.store.admin(&command, &json));
        if command == "events" {
            // Read from memory: where a stream of events begins is known when this returns.
            return self.local.start(id, operation, std::convert::identity);
        }
        self.local.start_elsewhere(id, operation)
    }

    /// Counters and gauges by name, as JSON.
    #[napi]
    pub fn metrics(&self) -> i64 {
        let metrics = guard(|| {
            let metrics = self.store.metrics()?;
            serde_json::to_string(&metrics).map_err(|error| Error::invalid(error.to_string()))
        });
        self.local.reply(0, metrics)
    }
}
