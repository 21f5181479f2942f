//! Several real nodes in this process, for the tests of applications.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ringkeep::Node;
use ringkeep::base::env::Env;
use ringkeep::base::error::{Error, ErrorKind, Result};
use ringkeep::base::settings::Settings;

use crate::connect;
use crate::op::{Kind, Op};
use crate::options::ConnectOptions;
use crate::scope::Scope;
use crate::store::StoreHandle;

/// A cluster of real nodes in this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClusterHandle {
    scope: Arc<Scope>,
    nodes: Arc<Mutex<Vec<Place>>>,
}

#[derive(Clone, Debug)]
struct Place {
    node: Node,
    handle: StoreHandle,
}

impl ClusterHandle {
    /// Starts `size` nodes with `n` replicas for the default bucket, in memory or under a directory.
    pub fn start(size: usize, n: u32, path: Option<&str>) -> Op<Self> {
        let scope = match Scope::new(0) {
            Ok(scope) => scope,
            Err(error) => return Op::ready(Err(error)),
        };
        let path = path.map(std::path::PathBuf::from);
        let own = Arc::clone(&scope);
        Op::new(&scope, Kind::Life, async move {
            if size == 0 {
                return Err(Error::invalid("a cluster of 0 nodes"));
            }
            let mut places: Vec<Place> = Vec::new();
            for index in 0..size {
                let seeds = places.first().and_then(|first| first.handle.address()).into_iter().collect();
                let settings = Settings {
                    n,
                    path: path.as_ref().map(|path| path.join(format!("node{index}"))),
                    listen: Some("127.0.0.1:0".to_owned()),
                    create: index == 0,
                    seeds,
                    ..Settings::default()
                };
                places.push(open(settings).await?);
            }
            Ok(Self { scope: own, nodes: Arc::new(Mutex::new(places)) })
        })
    }

    /// The nodes in their order; a node that was killed stays in its place.
    #[must_use]
    pub fn nodes(&self) -> Vec<StoreHandle> {
        self.nodes.lock().iter().map(|place| place.handle.clone()).collect()
    }

    /// A client of the cluster.
    pub fn client(&self) -> Op<StoreHandle> {
        let uri: Vec<_> = self.nodes().iter().filter_map(StoreHandle::address).collect();
        let uri = format!("ringkeep://{}", uri.join(","));
        Op::new(&self.scope, Kind::Life, async move {
            let scope = Scope::new(0)?;
            let env = Env::system(scope.handle().clone())?;
            let client = connect::connect(&[uri], ConnectOptions::default(), env).await?;
            Ok(StoreHandle::over_client(scope, client))
        })
    }

    /// Ends a node as kill -9 would: nothing is flushed.
    pub fn kill(&self, index: usize) -> Op<()> {
        let nodes = self.nodes.lock();
        Op::ready(match nodes.get(index) {
            Some(place) => {
                place.node.kill();
                Ok(())
            }
            None => Err(Error::invalid(format!("node {index} is not one of the {}", nodes.len()))),
        })
    }

    /// Brings the same member back; its place in `nodes` then holds a new handle.
    pub fn restart(&self, index: usize) -> Op<()> {
        Op::ready(Err(Error::not_in_this_version(&format!("restart of node {index}"))))
    }

    /// Cuts the network between groups of nodes.
    pub fn partition(&self, _groups: &[Vec<usize>]) -> Op<()> {
        Op::ready(Err(Error::not_in_this_version("partition")))
    }

    /// Mends the network.
    pub fn heal(&self) -> Op<()> {
        Op::ready(Err(Error::not_in_this_version("heal")))
    }

    /// Ends when nothing is left to repair.
    pub fn settle(&self, timeout: Duration) -> Op<()> {
        let nodes = self.nodes.lock().clone();
        Op::new(&self.scope, Kind::Life, async move {
            let Some(env) = nodes.first().map(|place| place.node.env().clone()) else { return Ok(()) };
            let deadline = env.deadline(timeout);
            while nodes.iter().any(|place| place.node.unsettled() > 0) {
                if deadline.passed() {
                    return Err(
                        Error::new(ErrorKind::Timeout, "the cluster has not settled").during("settle")
                    );
                }
                env.sleep(Duration::from_millis(10)).await;
            }
            Ok(())
        })
    }

    /// Closes every node. Idempotent.
    pub fn close(&self) -> Op<()> {
        let nodes = self.nodes();
        Op::new(&self.scope, Kind::Life, async move {
            for node in nodes {
                node.close(None).into_future().await?;
            }
            Ok(())
        })
    }
}

async fn open(settings: Settings) -> Result<Place> {
    let scope = Scope::new(0)?;
    let env = Env::system(scope.handle().clone())?;
    let node = Node::open(settings, env).await?;
    node.ready(None).await?;
    let handle = StoreHandle::over_node(scope, node.clone());
    Ok(Place { node, handle })
}
