//! The sync bucket: each operation on the caller's thread, and the dict protocol.

use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::keyspace::Keyspace;
use crate::scan::Scan;

type Object<'py> = Bound<'py, PyAny>;
type Named<'py> = Bound<'py, PyDict>;

/// A named keyspace with its own replication and conflict rules.
#[pyclass(frozen, generic, mapping, subclass, module = "ringkeep")]
pub(crate) struct Bucket(pub(crate) Keyspace);

impl Bucket {
    fn value(
        &self,
        key: &Object<'_>,
        default: Option<Py<PyAny>>,
        options: Option<&Named<'_>>,
    ) -> PyResult<Py<PyAny>> {
        let py = key.py();
        if self.0.resolve.is_some() {
            return self.0.get_resolved(key, default, options)?.now(py);
        }
        self.0.get(key, default, options)?.now(py)
    }
}

#[pymethods]
impl Bucket {
    /// The name.
    #[getter]
    fn name(&self) -> &str {
        self.0.handle.name()
    }

    /// The value that the resolver picks, or the default.
    #[pyo3(signature = (key, default=None, /, **options))]
    fn get(
        &self,
        key: &Object<'_>,
        default: Option<Py<PyAny>>,
        options: Option<&Named<'_>>,
    ) -> PyResult<Py<PyAny>> {
        self.value(key, default, options)
    }

    /// Every live sibling and the context that covers them.
    #[pyo3(signature = (key, /, **options))]
    fn read(&self, key: &Object<'_>, options: Option<&Named<'_>>) -> PyResult<Py<PyAny>> {
        self.0.read(key, options)?.now(key.py())
    }

    /// Stores a value.
    #[pyo3(signature = (key, value, /, *, context=None, **options))]
    fn put(
        &self,
        key: &Object<'_>,
        value: &Object<'_>,
        context: Option<&Object<'_>>,
        options: Option<&Named<'_>>,
    ) -> PyResult<Py<PyAny>> {
        self.0.put(key, value, context, options)?.now(key.py())
    }

    /// Deletes; without a context it covers what its coordinator has stored.
    #[pyo3(signature = (key, /, *, context=None, **options))]
    fn delete(
        &self,
        key: &Object<'_>,
        context: Option<&Object<'_>>,
        options: Option<&Named<'_>>,
    ) -> PyResult<Py<PyAny>> {
        self.0.delete(key, context, options)?.now(key.py())
    }

    /// Reads every live sibling, lets `fn` make one value of them, and puts it. None deletes; an exception of `fn`
    /// leaves everything as it was.
    #[pyo3(signature = (key, r#fn, /, **options))]
    fn update(
        &self,
        key: &Object<'_>,
        r#fn: &Object<'_>,
        options: Option<&Named<'_>>,
    ) -> PyResult<Py<PyAny>> {
        let py = key.py();
        let entry = self.0.read_to_update(key, options)?.now(py)?;
        let entry = entry.bind(py).cast()?;
        let value = r#fn.call1((entry.as_any().getattr("siblings")?,))?;
        self.0.write_update(key, entry, &value, options)?.now(py)
    }

    /// The values of those keys that have one. PartialFailure names the keys that failed.
    #[pyo3(signature = (keys, /, **options))]
    fn get_many(&self, keys: &Object<'_>, options: Option<&Named<'_>>) -> PyResult<Py<PyAny>> {
        if self.0.resolve.is_some() {
            return self.0.get_many_resolved(keys, options)?.now(keys.py());
        }
        self.0.get_many(keys, options)?.now(keys.py())
    }

    /// Stores several values. PartialFailure names the keys that failed; the others are stored.
    #[pyo3(signature = (items, /, **options))]
    fn put_many(&self, items: &Object<'_>, options: Option<&Named<'_>>) -> PyResult<Py<PyAny>> {
        self.0.put_many(items, options)?.now(items.py())
    }

    /// Keys and values in key order, streamed, not a snapshot.
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
    ) -> PyResult<Scan> {
        Ok(Scan::items(self.0.share(py), self.0.scan(false, prefix, start, end, limit, options)?))
    }

    /// How many keys have a value.
    #[pyo3(signature = (*, prefix=None), text_signature = "($self, *, prefix=b'')")]
    fn count(&self, py: Python<'_>, prefix: Option<&Object<'_>>) -> PyResult<Py<PyAny>> {
        self.0.count(false, prefix)?.away(py)
    }

    /// Deletes the keys that it sees, and says how many.
    #[pyo3(signature = (*, prefix=None), text_signature = "($self, *, prefix=b'')")]
    fn clear(&self, py: Python<'_>, prefix: Option<&Object<'_>>) -> PyResult<Py<PyAny>> {
        self.0.clear(false, prefix)?.away(py)
    }

    /// Where a key lives, what each of its replicas holds, and what reads would answer now.
    #[pyo3(signature = (key, /))]
    fn explain(&self, key: &Object<'_>) -> PyResult<Py<PyAny>> {
        self.0.explain(key)?.now(key.py())
    }

    fn __getitem__(&self, key: &Object<'_>) -> PyResult<Py<PyAny>> {
        let py = key.py();
        // A JSON null is a value: what is absent must be told apart from every value.
        let absent = PyTuple::new(py, [key])?.into_any().unbind();
        let value = self.value(key, Some(absent.clone_ref(py)), None)?;
        if value.is(&absent) { Err(PyKeyError::new_err(key.clone().unbind())) } else { Ok(value) }
    }

    fn __setitem__(&self, key: &Object<'_>, value: &Object<'_>) -> PyResult<()> {
        self.0.put(key, value, None, None)?.now(key.py()).map(drop)
    }

    fn __delitem__(&self, key: &Object<'_>) -> PyResult<()> {
        self.0.delete(key, None, None)?.now(key.py()).map(drop)
    }

    fn __contains__(&self, key: &Object<'_>) -> PyResult<bool> {
        let found = self.0.contains(key)?.now(key.py())?;
        Ok(found.bind(key.py()).cast::<PyBool>()?.is_true())
    }

    fn __iter__(&self, py: Python<'_>) -> PyResult<Scan> {
        Ok(Scan::keys(self.0.share(py), self.0.scan(false, None, None, None, None, None)?))
    }

    fn __bool__(&self) -> bool {
        true
    }

    fn __len__(&self) -> PyResult<usize> {
        // A TypeError, because `list(bucket)` asks for the length first and goes on after no other error.
        Err(PyTypeError::new_err("a bucket has no len(): count() reads all its keys"))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        Ok(format!("<ringkeep.{} {:?}>", slf.get_type().name()?, slf.get().name()))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0.resolve)
    }
}
