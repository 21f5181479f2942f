//! What `ringkeep.aio.Bucket` stands on: each operation gives its result at once, or a `Pending` to wait for.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit};

use crate::entry::Entry;
use crate::keyspace::Keyspace;
use crate::loops::Loops;
use crate::scan::AsyncScan;

type Object<'py> = Bound<'py, PyAny>;
type Named<'py> = Bound<'py, PyDict>;

/// A bucket whose operations complete through the running loop.
#[pyclass(frozen, generic, subclass, module = "ringkeep._ringkeep")]
pub(crate) struct AsyncBucket {
    pub(crate) keyspace: Keyspace,
    pub(crate) loops: Arc<Loops>,
}

#[pymethods]
impl AsyncBucket {
    /// The name.
    #[getter]
    fn name(&self) -> &str {
        self.keyspace.handle.name()
    }

    #[pyo3(signature = (key, default=None, /, **options))]
    fn get(
        &self,
        key: &Object<'_>,
        default: Option<Py<PyAny>>,
        options: Option<&Named<'_>>,
    ) -> PyResult<Py<PyAny>> {
        let py = key.py();
        if self.keyspace.resolve.is_some() {
            return self.keyspace.get_resolved(key, default, options)?.start(py, &self.loops);
        }
        self.keyspace.get(key, default, options)?.start(py, &self.loops)
    }

    #[pyo3(signature = (key, /, **options))]
    fn read(&self, key: &Object<'_>, options: Option<&Named<'_>>) -> PyResult<Py<PyAny>> {
        self.keyspace.read(key, options)?.start(key.py(), &self.loops)
    }

    #[pyo3(signature = (key, value, /, *, context=None, **options))]
    fn put(
        &self,
        key: &Object<'_>,
        value: &Object<'_>,
        context: Option<&Object<'_>>,
        options: Option<&Named<'_>>,
    ) -> PyResult<Py<PyAny>> {
        self.keyspace.put(key, value, context, options)?.start(key.py(), &self.loops)
    }

    #[pyo3(signature = (key, /, *, context=None, **options))]
    fn delete(
        &self,
        key: &Object<'_>,
        context: Option<&Object<'_>>,
        options: Option<&Named<'_>>,
    ) -> PyResult<Py<PyAny>> {
        self.keyspace.delete(key, context, options)?.start(key.py(), &self.loops)
    }

    #[pyo3(signature = (key, /, **options))]
    fn read_to_update(&self, key: &Object<'_>, options: Option<&Named<'_>>) -> PyResult<Py<PyAny>> {
        self.keyspace.read_to_update(key, options)?.start(key.py(), &self.loops)
    }

    #[pyo3(signature = (key, entry, value, /, **options))]
    fn write_update(
        &self,
        key: &Object<'_>,
        entry: &Bound<'_, Entry>,
        value: &Object<'_>,
        options: Option<&Named<'_>>,
    ) -> PyResult<Py<PyAny>> {
        self.keyspace.write_update(key, entry, value, options)?.start(key.py(), &self.loops)
    }

    #[pyo3(signature = (keys, /, **options))]
    fn get_many(&self, keys: &Object<'_>, options: Option<&Named<'_>>) -> PyResult<Py<PyAny>> {
        let py = keys.py();
        if self.keyspace.resolve.is_some() {
            return self.keyspace.get_many_resolved(keys, options)?.start(py, &self.loops);
        }
        self.keyspace.get_many(keys, options)?.start(py, &self.loops)
    }

    #[pyo3(signature = (items, /, **options))]
    fn put_many(&self, items: &Object<'_>, options: Option<&Named<'_>>) -> PyResult<Py<PyAny>> {
        self.keyspace.put_many(items, options)?.start(items.py(), &self.loops)
    }

    #[pyo3(
        signature = (*, prefix=None, start=None, end=None, limit=None, **options),
        text_signature = "($self, *, prefix=b'', start=b'', end=b'', limit=None, **options)"
    )]
    fn scan(
        &self,
        py: Python<'_>,
        prefix: Option<&Object<'_>>,
        start: Option<&Object<'_>>,
        end: Option<&Object<'_>>,
        limit: Option<&Object<'_>>,
        options: Option<&Named<'_>>,
    ) -> PyResult<AsyncScan> {
        let handle = self.keyspace.scan(true, prefix, start, end, limit, options)?;
        Ok(AsyncScan {
            keyspace: self.keyspace.share(py),
            handle: Mutex::new(Some(handle)),
            loops: Arc::clone(&self.loops),
        })
    }

    #[pyo3(signature = (*, prefix=None), text_signature = "($self, *, prefix=b'')")]
    fn count(&self, py: Python<'_>, prefix: Option<&Object<'_>>) -> PyResult<Py<PyAny>> {
        self.keyspace.count(true, prefix)?.start(py, &self.loops)
    }

    #[pyo3(signature = (*, prefix=None), text_signature = "($self, *, prefix=b'')")]
    fn clear(&self, py: Python<'_>, prefix: Option<&Object<'_>>) -> PyResult<Py<PyAny>> {
        self.keyspace.clear(true, prefix)?.start(py, &self.loops)
    }

    #[pyo3(signature = (key, /))]
    fn explain(&self, key: &Object<'_>) -> PyResult<Py<PyAny>> {
        self.keyspace.explain(key)?.start(key.py(), &self.loops)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.keyspace.resolve)
    }
}
