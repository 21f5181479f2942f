//! What `ringkeep.testing.Cluster` stands on.

use parking_lot::Mutex;
use pyo3::prelude::*;
use ringkeep_surface::ClusterHandle;

use crate::call::wait;
use crate::errors::invalid;
use crate::store::{Client, Node};

/// Real nodes in this process.
#[pyclass(frozen, module = "ringkeep._ringkeep")]
pub(crate) struct TestCluster {
    cluster: ClusterHandle,
    nodes: Mutex<Vec<Py<Node>>>,
}

#[pymethods]
impl TestCluster {
    #[new]
    #[pyo3(signature = (size, n, path, /))]
    fn new(py: Python<'_>, size: i64, n: i64, path: Option<&str>) -> PyResult<Self> {
        let (size, n) = (natural(py, "size", size)?, natural(py, "n", n)?);
        let cluster = wait(py, ClusterHandle::start(size, n, path))?;
        let nodes =
            cluster.nodes().into_iter().map(|node| Node::object(py, node)).collect::<PyResult<_>>()?;
        Ok(Self { cluster, nodes: Mutex::new(nodes) })
    }

    fn nodes(&self, py: Python<'_>) -> Vec<Py<Node>> {
        self.nodes.lock().iter().map(|node| node.clone_ref(py)).collect()
    }

    fn client(&self, py: Python<'_>) -> PyResult<Py<Client>> {
        let client = wait(py, self.cluster.client())?;
        Client::object(py, client)
    }

    #[pyo3(signature = (i, /))]
    fn kill(&self, py: Python<'_>, i: i64) -> PyResult<()> {
        wait(py, self.cluster.kill(natural(py, "node", i)?))
    }

    #[pyo3(signature = (i, /))]
    fn restart(&self, py: Python<'_>, i: i64) -> PyResult<()> {
        let i = natural(py, "node", i)?;
        wait(py, self.cluster.restart(i))?;
        let Some(handle) = self.cluster.nodes().into_iter().nth(i) else { return Ok(()) };
        let restarted = Node::object(py, handle)?;
        let before = self.nodes.lock().get_mut(i).map(|place| std::mem::replace(place, restarted));
        drop(before);
        Ok(())
    }

    #[pyo3(signature = (groups, /))]
    fn partition(&self, py: Python<'_>, groups: Vec<Vec<i64>>) -> PyResult<()> {
        let group = |group: Vec<i64>| group.into_iter().map(|i| natural(py, "node", i)).collect();
        let groups = groups.into_iter().map(group).collect::<PyResult<_>>()?;
        wait(py, self.cluster.partition(groups))
    }

    fn heal(&self, py: Python<'_>) -> PyResult<()> {
        wait(py, self.cluster.heal())
    }

    #[pyo3(signature = (timeout, /))]
    fn settle(&self, py: Python<'_>, timeout: &Bound<'_, PyAny>) -> PyResult<()> {
        match crate::options::timeout(Some(timeout))? {
            Some(timeout) => wait(py, self.cluster.settle(timeout)),
            None => Ok(()),
        }
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        wait(py, self.cluster.close())
    }
}

fn natural<N: TryFrom<i64>>(py: Python<'_>, name: &str, number: i64) -> PyResult<N> {
    N::try_from(number)
        .map_err(|_| invalid(py, format!("{name}={number} is not a number of nodes or one of them")))
}
