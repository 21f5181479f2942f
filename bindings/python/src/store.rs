//! Stores: nodes and clients, opened, used and closed, in both flavours.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use ringkeep_surface::{ConnectOptions, Op, StoreHandle, options};

use crate::async_bucket::AsyncBucket;
use crate::bucket::Bucket;
use crate::buffers::Codec;
use crate::call::{Call, wait};
use crate::errors::{invalid, raise};
use crate::exit::Registered;
use crate::keyspace::{Keyspace, typed};
use crate::loops::Loops;
use crate::options::{close_timeout, connect_options};

type Object<'py> = Bound<'py, PyAny>;

/// A node or a client, and its default bucket.
#[pyclass(frozen, extends = Bucket, subclass, module = "ringkeep")]
pub(crate) struct Store {
    handle: StoreHandle,
    // None once it is closed.
    registered: Mutex<Option<Registered>>,
}

/// A member of a ring inside this process.
#[pyclass(frozen, extends = Store, module = "ringkeep")]
pub(crate) struct Node;

/// A client of a ring, which owns no data.
#[pyclass(frozen, extends = Store, module = "ringkeep")]
pub(crate) struct Client;

fn default_keyspace(py: Python<'_>, handle: &StoreHandle) -> PyResult<Keyspace> {
    let bucket = handle.bucket(None).map_err(|error| raise(py, &error))?;
    Ok(Keyspace::new(bucket, Codec::Bytes, None))
}

fn base(py: Python<'_>, handle: StoreHandle) -> PyResult<PyClassInitializer<Store>> {
    let bucket = Bucket(default_keyspace(py, &handle)?);
    let registered = Mutex::new(Some(Registered::new(&handle)));
    Ok(PyClassInitializer::from(bucket).add_subclass(Store { handle, registered }))
}

impl Node {
    pub(crate) fn object(py: Python<'_>, handle: StoreHandle) -> PyResult<Py<Self>> {
        Py::new(py, base(py, handle)?.add_subclass(Self))
    }
}

impl Client {
    pub(crate) fn object(py: Python<'_>, handle: StoreHandle) -> PyResult<Py<Self>> {
        Py::new(py, base(py, handle)?.add_subclass(Self))
    }
}

#[pymethods]
impl Store {
    /// The cluster that the store belongs to.
    #[getter]
    fn cluster<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        static ADMIN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        ADMIN.import(slf.py(), "ringkeep._admin", "ClusterAdmin")?.call1((slf,))
    }

    /// A bucket by name; that it exists is judged by each operation.
    #[pyo3(
        signature = (name, *, codec=None, resolve=None),
        text_signature = "($self, name, *, codec='bytes', resolve=None)"
    )]
    fn bucket(
        &self,
        name: &Object<'_>,
        codec: Option<&Object<'_>>,
        resolve: Option<Object<'_>>,
    ) -> PyResult<Bucket> {
        Ok(Bucket(named(&self.handle, name, codec, resolve)?))
    }

    /// Counters and gauges by name.
    fn metrics(&self, py: Python<'_>) -> PyResult<BTreeMap<String, f64>> {
        self.handle.metrics().map_err(|error| raise(py, &error))
    }

    /// Returns once operations can be served.
    #[pyo3(signature = (timeout=None), name = "ready")]
    fn ready_within(&self, py: Python<'_>, timeout: Option<&Object<'_>>) -> PyResult<()> {
        wait(py, self.handle.ready(crate::options::timeout(timeout)?))
    }

    /// Waits for operations under way, at most so long, and ends the store. Idempotent. None: the setting's default.
    #[pyo3(signature = (timeout=None))]
    fn close(&self, py: Python<'_>, timeout: Option<&Object<'_>>) -> PyResult<()> {
        wait(py, self.handle.close(close_timeout(timeout)?))?;
        let registered = self.registered.lock().take();
        drop(registered);
        Ok(())
    }

    #[pyo3(signature = (command, arguments, /))]
    fn _admin(&self, py: Python<'_>, command: &str, arguments: &str) -> PyResult<String> {
        wait(py, self.handle.admin(command, arguments))
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (kind, error, trace, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        kind: &Object<'_>,
        error: &Object<'_>,
        trace: &Object<'_>,
    ) -> PyResult<()> {
        let _unused = (kind, error, trace);
        self.close(py, None)
    }
}

#[pymethods]
impl Node {
    /// The stable id.
    #[getter]
    fn id(slf: &Bound<'_, Self>) -> Option<String> {
        slf.as_super().get().handle.node_id()
    }

    /// Where it listens; None: no port.
    #[getter]
    fn address(slf: &Bound<'_, Self>) -> Option<String> {
        slf.as_super().get().handle.address()
    }
}

/// What `ringkeep.aio.Store` stands on.
#[pyclass(frozen, extends = AsyncBucket, module = "ringkeep._ringkeep")]
pub(crate) struct AsyncStore {
    handle: StoreHandle,
    loops: Arc<Loops>,
    registered: Mutex<Option<Registered>>,
}

impl AsyncStore {
    fn object(py: Python<'_>, handle: StoreHandle, loops: Arc<Loops>) -> PyResult<Py<PyAny>> {
        let bucket = AsyncBucket { keyspace: default_keyspace(py, &handle)?, loops: Arc::clone(&loops) };
        let registered = Mutex::new(Some(Registered::new(&handle)));
        let store = PyClassInitializer::from(bucket).add_subclass(Self { handle, loops, registered });
        Ok(Py::new(py, store)?.into_any())
    }
}

#[pymethods]
impl AsyncStore {
    #[getter]
    fn id(&self) -> Option<String> {
        self.handle.node_id()
    }

    #[getter]
    fn address(&self) -> Option<String> {
        self.handle.address()
    }

    #[pyo3(
        signature = (name, *, codec=None, resolve=None),
        text_signature = "($self, name, *, codec='bytes', resolve=None)"
    )]
    fn bucket(
        &self,
        name: &Object<'_>,
        codec: Option<&Object<'_>>,
        resolve: Option<Object<'_>>,
    ) -> PyResult<AsyncBucket> {
        let keyspace = named(&self.handle, name, codec, resolve)?;
        Ok(AsyncBucket { keyspace, loops: Arc::clone(&self.loops) })
    }

    fn metrics(&self, py: Python<'_>) -> PyResult<BTreeMap<String, f64>> {
        self.handle.metrics().map_err(|error| raise(py, &error))
    }

    #[pyo3(signature = (timeout=None), name = "ready")]
    fn ready_within(&self, py: Python<'_>, timeout: Option<&Object<'_>>) -> PyResult<Py<PyAny>> {
        Call::new(self.handle.ready(crate::options::timeout(timeout)?), to_none).start(py, &self.loops)
    }

    #[pyo3(signature = (timeout=None))]
    fn close(&self, py: Python<'_>, timeout: Option<&Object<'_>>) -> PyResult<Py<PyAny>> {
        Call::new(self.handle.close(close_timeout(timeout)?), to_none).start(py, &self.loops)
    }

    /// Takes a closed store off its loops.
    fn detach(&self, py: Python<'_>) {
        if self.handle.is_closed() {
            let registered = self.registered.lock().take();
            drop(registered);
            self.loops.detach(py);
        }
    }

    #[pyo3(signature = (command, arguments, /))]
    fn admin(&self, py: Python<'_>, command: &str, arguments: &str) -> PyResult<Py<PyAny>> {
        let finish = |py: Python<'_>, answer: String| Ok(answer.into_pyobject(py)?.into_any().unbind());
        Call::new(self.handle.admin(command, arguments), finish).start(py, &self.loops)
    }
}

impl Drop for AsyncStore {
    fn drop(&mut self) {
        let loops = Arc::clone(&self.loops);
        // Dropped by the interpreter, which is therefore there; what is left of the loops must not keep the queues.
        Python::try_attach(|py| loops.detach(py));
    }
}

fn to_none(py: Python<'_>, (): ()) -> PyResult<Py<PyAny>> {
    Ok(py.None())
}

fn named(
    handle: &StoreHandle,
    name: &Object<'_>,
    codec: Option<&Object<'_>>,
    resolve: Option<Object<'_>>,
) -> PyResult<Keyspace> {
    let py = name.py();
    let Ok(name) = name.extract::<String>() else {
        return Err(invalid(py, "the bucket's name is not a str"));
    };
    let bucket = handle.bucket(Some(&name)).map_err(|error| raise(py, &error))?;
    typed(bucket, codec, resolve)
}

fn opened(py: Python<'_>, path: Option<&str>, settings: &str) -> PyResult<Op<StoreHandle>> {
    let settings = options::settings_from_json(path, settings).map_err(|error| raise(py, &error))?;
    Ok(StoreHandle::open(settings))
}

fn connect(
    token: Option<String>,
    tls: Option<&Object<'_>>,
    location: &str,
    defaults: Option<&Bound<'_, PyDict>>,
) -> PyResult<ConnectOptions> {
    if let Some(tls) = tls {
        return Err(invalid(tls.py(), "tls: not in this version"));
    }
    connect_options(token, location, defaults)
}

/// Opens a node.
#[pyfunction]
#[pyo3(signature = (path, settings, /))]
pub(crate) fn open_node(py: Python<'_>, path: Option<&str>, settings: &str) -> PyResult<Py<Node>> {
    let handle = wait(py, opened(py, path, settings)?)?;
    Node::object(py, handle)
}

/// Connects a client.
#[pyfunction]
#[pyo3(signature = (uris, token, tls, location, /, **defaults))]
#[expect(clippy::needless_pass_by_value, reason = "arguments from Python are owned")]
pub(crate) fn connect_client(
    py: Python<'_>,
    uris: Vec<String>,
    token: Option<String>,
    tls: Option<&Object<'_>>,
    location: &str,
    defaults: Option<&Bound<'_, PyDict>>,
) -> PyResult<Py<Client>> {
    let handle = wait(py, StoreHandle::connect(&uris, connect(token, tls, location, defaults)?))?;
    Client::object(py, handle)
}

/// Opens a node for a coroutine.
#[pyfunction]
#[pyo3(signature = (path, settings, /))]
pub(crate) fn start_open(py: Python<'_>, path: Option<&str>, settings: &str) -> PyResult<Py<PyAny>> {
    start(py, opened(py, path, settings)?)
}

/// Connects a client for a coroutine.
#[pyfunction]
#[pyo3(signature = (uris, token, tls, location, /, **defaults))]
#[expect(clippy::needless_pass_by_value, reason = "arguments from Python are owned")]
pub(crate) fn start_connect(
    py: Python<'_>,
    uris: Vec<String>,
    token: Option<String>,
    tls: Option<&Object<'_>>,
    location: &str,
    defaults: Option<&Bound<'_, PyDict>>,
) -> PyResult<Py<PyAny>> {
    start(py, StoreHandle::connect(&uris, connect(token, tls, location, defaults)?))
}

/// The queue that the opening completes through becomes the store's.
fn start(py: Python<'_>, op: Op<StoreHandle>) -> PyResult<Py<PyAny>> {
    let loops = Arc::new(Loops::new());
    let of_store = Arc::clone(&loops);
    Call::new(op, move |py: Python<'_>, handle| AsyncStore::object(py, handle, of_store)).start(py, &loops)
}
