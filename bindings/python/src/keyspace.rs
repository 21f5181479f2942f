//! A bucket handle with its codec and resolver, and each of its operations described once for both flavours.

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyString};
use ringkeep_surface::{BucketHandle, Result, ScanHandle};

use crate::buffers::{Codec, bytes_of};
use crate::call::Call;
use crate::entry::{Entry, Receipt, raw_siblings};
use crate::errors::{invalid, raise};
use crate::many;
use crate::options::{read_options, scan_options, write_options};

type Object<'py> = Bound<'py, PyAny>;
/// What a get finds.
type Found = Option<Bytes>;
/// One result for each item, in their order.
type Each<T> = Vec<Result<T>>;
type Options<'a, 'py> = Option<&'a Bound<'py, PyDict>>;

/// What a bucket handle of Python stands for.
pub(crate) struct Keyspace {
    pub(crate) handle: BucketHandle,
    pub(crate) codec: Codec,
    pub(crate) resolve: Option<Py<PyAny>>,
}

/// How the result of an operation becomes an object.
pub(crate) trait Finish<T>: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static {}
impl<T, F: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static> Finish<T> for F {}

impl Keyspace {
    pub(crate) fn new(handle: BucketHandle, codec: Codec, resolve: Option<Py<PyAny>>) -> Self {
        Self { handle, codec, resolve }
    }

    /// Another of the same: each owner has its own reference to the resolver, which is what it shows to the collector.
    pub(crate) fn share(&self, py: Python<'_>) -> Self {
        let resolve = self.resolve.as_ref().map(|resolve| resolve.clone_ref(py));
        Self { handle: self.handle.clone(), codec: self.codec, resolve }
    }

    /// The value that the resolver picks, decoded.
    pub(crate) fn shown(
        &self,
        py: Python<'_>,
        entry: &ringkeep_surface::Entry,
    ) -> PyResult<Option<Py<PyAny>>> {
        if let Some(resolve) = &self.resolve
            && entry.conflicted()
        {
            return self.resolved(py, resolve, raw_siblings(py, entry)?.into_any()).map(Some);
        }
        let value = entry.value().map_err(|error| raise(py, &error))?;
        value.map(|value| self.codec.decode(py, &value.bytes)).transpose()
    }

    fn resolved(&self, py: Python<'_>, resolve: &Py<PyAny>, siblings: Object<'_>) -> PyResult<Py<PyAny>> {
        let value = resolve.call1(py, (siblings,))?;
        self.codec.decode(py, &bytes_of(value.bind(py), "resolved value")?)
    }

    pub(crate) fn get(
        &self,
        key: &Object<'_>,
        default: Option<Py<PyAny>>,
        options: Options<'_, '_>,
    ) -> PyResult<Call<Found, impl Finish<Found> + use<>>> {
        let op = self.handle.get(bytes_of(key, "key")?, read_options(options)?);
        let codec = self.codec;
        Ok(Call::new(op, move |py, value: Found| match value {
            Some(value) => codec.decode(py, &value),
            None => Ok(default.unwrap_or_else(|| py.None())),
        }))
    }

    /// A `get` for handles with a `resolve` function, which must see every sibling.
    pub(crate) fn get_resolved(
        &self,
        key: &Object<'_>,
        default: Option<Py<PyAny>>,
        options: Options<'_, '_>,
    ) -> PyResult<Call<ringkeep_surface::Entry, impl Finish<ringkeep_surface::Entry> + use<>>> {
        let op = self.handle.read(bytes_of(key, "key")?, read_options(options)?);
        let keyspace = self.share(key.py());
        Ok(Call::new(op, move |py, entry: ringkeep_surface::Entry| {
            Ok(keyspace.shown(py, &entry)?.or(default).unwrap_or_else(|| py.None()))
        }))
    }

    pub(crate) fn read(
        &self,
        key: &Object<'_>,
        options: Options<'_, '_>,
    ) -> PyResult<Call<ringkeep_surface::Entry, impl Finish<ringkeep_surface::Entry> + use<>>> {
        let op = self.handle.read(bytes_of(key, "key")?, read_options(options)?);
        Ok(Call::new(op, self.to_entry(key.py())))
    }

    /// Whether a key is there, in conflict or not.
    pub(crate) fn contains(
        &self,
        key: &Object<'_>,
    ) -> PyResult<Call<ringkeep_surface::Entry, impl Finish<ringkeep_surface::Entry> + use<>>> {
        let op = self.handle.read(bytes_of(key, "key")?, read_options(None)?);
        Ok(Call::new(op, |py, entry: ringkeep_surface::Entry| {
            Ok((!entry.siblings().is_empty()).into_pyobject(py)?.to_owned().into_any().unbind())
        }))
    }

    pub(crate) fn put(
        &self,
        key: &Object<'_>,
        value: &Object<'_>,
        context: Option<&Object<'_>>,
        options: Options<'_, '_>,
    ) -> PyResult<Call<ringkeep_surface::Receipt, impl Finish<ringkeep_surface::Receipt> + use<>>> {
        let (key, value) = (bytes_of(key, "key")?, self.codec.encode(value)?);
        Ok(Call::new(self.handle.put(key, value, write_options(options, context)?), to_receipt))
    }

    pub(crate) fn delete(
        &self,
        key: &Object<'_>,
        context: Option<&Object<'_>>,
        options: Options<'_, '_>,
    ) -> PyResult<Call<ringkeep_surface::Receipt, impl Finish<ringkeep_surface::Receipt> + use<>>> {
        let op = self.handle.delete(bytes_of(key, "key")?, write_options(options, context)?);
        Ok(Call::new(op, to_receipt))
    }

    /// The first half of an update: every sibling, read as the write's options say.
    pub(crate) fn read_to_update(
        &self,
        key: &Object<'_>,
        options: Options<'_, '_>,
    ) -> PyResult<Call<ringkeep_surface::Entry, impl Finish<ringkeep_surface::Entry> + use<>>> {
        let options = ringkeep_surface::update_options(&write_options(options, None)?);
        Ok(Call::new(self.handle.read(bytes_of(key, "key")?, options), self.to_entry(key.py())))
    }

    /// The second half: what the user's function made of the siblings, put with their context; None deletes.
    pub(crate) fn write_update(
        &self,
        key: &Object<'_>,
        entry: &Bound<'_, Entry>,
        value: &Object<'_>,
        options: Options<'_, '_>,
    ) -> PyResult<Call<ringkeep_surface::Receipt, impl Finish<ringkeep_surface::Receipt> + use<>>> {
        let mut options = write_options(options, None)?;
        options.context = Some(entry.get().entry.context().clone());
        let key = bytes_of(key, "key")?;
        let (op, stored) = if value.is_none() {
            (self.handle.delete(key, options), value.py().None())
        } else {
            let bytes = self.codec.encode(value)?;
            let stored = self.codec.stored(value, &bytes);
            (self.handle.put(key, bytes, options), stored)
        };
        Ok(Call::new(op, move |_: Python<'_>, _| Ok(stored)))
    }

    pub(crate) fn get_many(
        &self,
        keys: &Object<'_>,
        options: Options<'_, '_>,
    ) -> PyResult<Call<Each<Found>, impl Finish<Each<Found>> + use<>>> {
        let keys = many::keys(keys)?;
        let op = self.handle.get_many(keys.bytes().collect(), read_options(options)?);
        let codec = self.codec;
        Ok(Call::new(op, move |py, found| {
            keys.dict(py, found, |value: Found| value.map(|value| codec.decode(py, &value)).transpose())
        }))
    }

    /// A `get_many` for handles with a `resolve` function, which must see every sibling.
    pub(crate) fn get_many_resolved(
        &self,
        keys: &Object<'_>,
        options: Options<'_, '_>,
    ) -> PyResult<Call<Each<ringkeep_surface::Entry>, impl Finish<Each<ringkeep_surface::Entry>> + use<>>>
    {
        let keyspace = self.share(keys.py());
        let keys = many::keys(keys)?;
        let op = self.handle.read_many(keys.bytes().collect(), read_options(options)?);
        Ok(Call::new(op, move |py, found| keys.dict(py, found, |entry| keyspace.shown(py, &entry))))
    }

    pub(crate) fn put_many(
        &self,
        items: &Object<'_>,
        options: Options<'_, '_>,
    ) -> PyResult<Call<Each<ringkeep_surface::Receipt>, impl Finish<Each<ringkeep_surface::Receipt>> + use<>>>
    {
        let items = many::items(items, self.codec)?;
        let keys: Vec<Bytes> = items.iter().map(|(key, _)| key.clone()).collect();
        let op = self.handle.put_many(items, write_options(options, None)?);
        Ok(Call::new(op, move |py, stored| many::check_stored(py, &keys, stored)))
    }

    pub(crate) fn explain(&self, key: &Object<'_>) -> PyResult<Call<String, impl Finish<String> + use<>>> {
        let op = self.handle.explain(bytes_of(key, "key")?);
        Ok(Call::new(op, |py: Python<'_>, said: String| {
            static EXPLANATION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
            let made = EXPLANATION.import(py, "ringkeep._admin", "_explanation")?.call1((said,))?;
            Ok(made.unbind())
        }))
    }

    pub(crate) fn scan(
        &self,
        event_loop: bool,
        prefix: Option<&Object<'_>>,
        start: Option<&Object<'_>>,
        end: Option<&Object<'_>>,
        limit: Option<&Object<'_>>,
        options: Options<'_, '_>,
    ) -> PyResult<ScanHandle> {
        Ok(self.handle.scan(scan_options(event_loop, prefix, start, end, limit, options)?))
    }

    pub(crate) fn count(
        &self,
        event_loop: bool,
        prefix: Option<&Object<'_>>,
    ) -> PyResult<Call<u64, impl Finish<u64> + use<>>> {
        Ok(Call::new(self.handle.count(scan_options(event_loop, prefix, None, None, None, None)?), to_int))
    }

    pub(crate) fn clear(
        &self,
        event_loop: bool,
        prefix: Option<&Object<'_>>,
    ) -> PyResult<Call<u64, impl Finish<u64> + use<>>> {
        Ok(Call::new(self.handle.clear(scan_options(event_loop, prefix, None, None, None, None)?), to_int))
    }

    fn to_entry(&self, py: Python<'_>) -> impl Finish<ringkeep_surface::Entry> + use<> {
        let keyspace = self.share(py);
        move |py: Python<'_>, entry| Ok(Py::new(py, Entry { entry, keyspace })?.into_any())
    }
}

fn to_receipt(py: Python<'_>, receipt: ringkeep_surface::Receipt) -> PyResult<Py<PyAny>> {
    Ok(Py::new(py, Receipt(receipt))?.into_any())
}

fn to_int(py: Python<'_>, count: u64) -> PyResult<Py<PyAny>> {
    Ok(count.into_pyobject(py)?.into_any().unbind())
}

/// The key and value of a scanned item.
pub(crate) fn pair(
    py: Python<'_>,
    keyspace: &Keyspace,
    item: &ringkeep_surface::ScanItem,
) -> PyResult<Py<PyAny>> {
    let value = keyspace.shown(py, &item.entry)?;
    Ok((PyBytes::new(py, &item.key), value).into_pyobject(py)?.into_any().unbind())
}

/// Checks the arguments of `bucket` and makes its keyspace.
pub(crate) fn typed(
    handle: BucketHandle,
    codec: Option<&Object<'_>>,
    resolve: Option<Object<'_>>,
) -> PyResult<Keyspace> {
    let codec = match codec {
        None => Codec::Bytes,
        Some(codec) => match codec.cast::<PyString>() {
            Ok(name) => Codec::named(codec.py(), name.to_str()?)?,
            Err(_) => return Err(invalid(codec.py(), "codec is not bytes, utf8 or json")),
        },
    };
    if let Some(resolve) = &resolve
        && !resolve.is_callable()
    {
        return Err(invalid(resolve.py(), "resolve is not callable"));
    }
    Ok(Keyspace::new(handle, codec, resolve.map(Bound::unbind)))
}
