//! The native module of the Python package: convert, call the surface, convert back.
//! An operation is polled once while the interpreter's lock is held, which never blocks; only what does not end there
//! lets the lock go (sync) or makes a future (aio). No thread of Ringkeep ever asks for the lock.

#![forbid(unsafe_op_in_unsafe_fn)]

mod async_bucket;
mod bucket;
mod buffers;
mod call;
mod entry;
mod errors;
mod exit;
mod fork;
mod keyspace;
mod loops;
mod many;
mod options;
mod scan;
mod store;
mod testing;

use pyo3::prelude::*;

#[pymodule]
mod _ringkeep {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::async_bucket::AsyncBucket;
    #[pymodule_export]
    use crate::bucket::Bucket;
    #[pymodule_export]
    use crate::entry::{Context, Entry, Receipt};
    #[pymodule_export]
    use crate::loops::Pending;
    #[pymodule_export]
    use crate::scan::{AsyncScan, Scan};
    #[pymodule_export]
    use crate::store::{
        AsyncStore, Client, Node, Store, connect_client, open_node, start_connect, start_open,
    };
    #[pymodule_export]
    use crate::testing::TestCluster;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        crate::fork::watch();
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        let end = pyo3::wrap_pyfunction!(crate::exit::end, module)?;
        py.import("atexit")?.call_method1("register", (end,))?;
        Ok(())
    }
}
