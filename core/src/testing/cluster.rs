//! One to many nodes on loopback that can be killed and restarted. Kill loses what `kill -9` would: nothing that was
//! applied, as that is in the operating system, but everything that was under way.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::env::Env;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::settings::Settings;
use crate::node::{Node, NodeParts};
use crate::remote::Client;
use crate::storage::{Engine, MemoryDisk, MemoryEngine};
use crate::wire::{Limits, TcpTransport};

use super::gate::Switchboard;

/// How often a cluster looks whether what it waits for has come.
const LOOK: Duration = Duration::from_millis(10);
/// How long a cluster may take to form.
const START: Duration = Duration::from_secs(30);
/// Nodes of one cluster at the most: all share one machine.
const NODES_MAX: usize = 32;

/// What a test cluster is like.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Nodes, 1 to 32.
    pub size: usize,
    /// Replicas of the default bucket.
    pub n: u32,
    /// A directory for the nodes' data; none keeps each disk in memory.
    pub path: Option<PathBuf>,
    /// Further settings for every node.
    pub settings: Settings,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            size: 3,
            n: 3,
            path: None,
            settings: Settings { gossip_interval_ms: 100, ..Settings::default() },
        }
    }
}

/// A cluster in this process. Dropping it ends its nodes.
#[derive(Debug)]
pub struct Cluster {
    handle: tokio::runtime::Handle,
    board: Switchboard,
    slots: Vec<Mutex<Slot>>,
}

#[derive(Debug)]
struct Slot {
    settings: Settings,
    disk: Option<MemoryDisk>,
    node: Option<Node>,
}

impl Cluster {
    /// Starts a cluster and waits until every node serves and knows all others.
    ///
    /// # Errors
    /// `InvalidArgument` for a size that is not 1 to 32, and what opening a node reports.
    pub async fn start(options: ClusterOptions) -> Result<Self> {
        if options.size == 0 || options.size > NODES_MAX {
            return Err(Error::invalid(format!("size={} is not between 1 and {NODES_MAX}", options.size)));
        }
        let handle = tokio::runtime::Handle::current();
        let board = Switchboard::new(options.size);
        let mut cluster = Self { handle, board, slots: Vec::new() };
        let mut first = None;
        for index in 0..options.size {
            let mut settings = options.settings.clone();
            settings.n = options.n;
            settings.path = options.path.as_ref().map(|path| path.join(format!("node-{index}")));
            settings.listen = Some("127.0.0.1:0".to_owned());
            settings.create = first.is_none();
            settings.seeds = first.iter().cloned().collect();
            let disk = settings.path.is_none().then(MemoryDisk::new);
            let mut slot = Slot { settings, disk, node: None };
            let node = cluster.open(index, &slot).await?;
            node.ready(Some(START)).await?;
            let address = node.address().unwrap_or_default().to_owned();
            // A restarted node comes back where it was.
            slot.settings.listen = Some(address.clone());
            first.get_or_insert(address);
            slot.node = Some(node);
            cluster.slots.push(Mutex::new(slot));
        }
        cluster.agree().await?;
        Ok(cluster)
    }

    /// The running nodes, by index; none where one was killed.
    #[must_use]
    pub fn nodes(&self) -> Vec<Option<Node>> {
        self.slots.iter().map(|slot| slot.lock().node.clone()).collect()
    }

    /// A node that runs.
    ///
    /// # Errors
    /// `InvalidArgument` for an index that is out of range or whose node was killed.
    pub fn node(&self, index: usize) -> Result<Node> {
        let node = self.slot(index)?.lock().node.clone();
        node.ok_or_else(|| Error::invalid(format!("node {index} was killed")))
    }

    /// A client that knows every node.
    ///
    /// # Errors
    /// As for `Client::connect`.
    pub async fn client(&self) -> Result<Client> {
        let addresses: Vec<_> =
            self.slots.iter().filter_map(|slot| slot.lock().settings.listen.clone()).collect();
        let env = Env::system(self.handle.clone())?;
        Client::connect(&format!("ringkeep://{}", addresses.join(",")), env).await
    }

    /// Ends a node as `kill -9` would. Killing a dead node does nothing.
    ///
    /// # Errors
    /// `InvalidArgument` for an index that is out of range.
    pub async fn kill(&self, index: usize) -> Result<()> {
        let (node, disk) = {
            let mut slot = self.slot(index)?.lock();
            (slot.node.take(), slot.disk.clone())
        };
        if let Some(node) = node {
            node.kill();
            node.env().drained().await;
            match disk {
                Some(disk) => disk.kill(),
                // The operating system keeps what was applied, so closing the files loses and gains nothing over a kill;
                // but it releases the directory while the application still holds handles of the dead node.
                None => node.engine().close()?,
            }
        }
        Ok(())
    }

    /// Brings the same member back. Restarting a running node does nothing.
    ///
    /// # Errors
    /// What opening the node reports.
    pub async fn restart(&self, index: usize) -> Result<()> {
        let slot = {
            let slot = self.slot(index)?.lock();
            if slot.node.is_some() {
                return Ok(());
            }
            Slot { settings: slot.settings.clone(), disk: slot.disk.clone(), node: None }
        };
        let node = self.open(index, &slot).await?;
        node.ready(Some(START)).await?;
        self.slot(index)?.lock().node = Some(node);
        Ok(())
    }

    /// Cuts the network between groups of nodes, given by index: nodes of different groups cannot reach each other, in
    /// either direction, until `heal`. Nodes that no group names form one more group together. Clients reach everyone.
    /// A later partition replaces an earlier one, and holds for nodes that are restarted under it.
    ///
    /// # Errors
    /// `InvalidArgument` for an index that is out of range or is named twice; nothing is then changed.
    pub fn partition(&self, groups: &[Vec<usize>]) -> Result<()> {
        self.board.partition(groups).map_err(|error| error.during("partition"))
    }

    /// Lets all nodes reach each other again. What they missed of each other they make up for in the background; `settle`
    /// waits for that.
    pub fn heal(&self) {
        self.board.heal();
    }

    /// Waits until the running nodes agree: the same topology, no copy recovering, nothing missed by a running owner.
    ///
    /// # Errors
    /// `Timeout` that says what is left.
    pub async fn settle(&self, timeout: Duration) -> Result<()> {
        let env = Env::system(self.handle.clone())?;
        let deadline = env.deadline(timeout);
        loop {
            let nodes: Vec<Node> = self.nodes().into_iter().flatten().collect();
            let left: usize = nodes.iter().map(Node::unsettled).sum();
            if left == 0 && same_epoch(&nodes) {
                return Ok(());
            }
            if deadline.passed() {
                let text = format!("{left} copies or debts are not settled yet");
                return Err(Error::new(ErrorKind::Timeout, text).during("settle"));
            }
            env.sleep(LOOK).await;
        }
    }

    /// Closes every node in order.
    ///
    /// # Errors
    /// That of the first node that failed to close.
    pub async fn close(&self) -> Result<()> {
        let mut result = Ok(());
        for slot in &self.slots {
            let node = slot.lock().node.take();
            if let Some(node) = node {
                result = result.and(node.close(None).await);
            }
        }
        result
    }

    fn slot(&self, index: usize) -> Result<&Mutex<Slot>> {
        let size = self.slots.len();
        self.slots.get(index).ok_or_else(|| Error::invalid(format!("there is no node {index} of {size}")))
    }

    async fn open(&self, index: usize, slot: &Slot) -> Result<Node> {
        let env = Env::system(self.handle.clone())?;
        let engine: Arc<dyn Engine> = match &slot.disk {
            Some(disk) => Arc::new(MemoryEngine::open(disk, slot.settings.durability)?),
            None => Node::engine_of(&slot.settings, &env)?,
        };
        let transport = Arc::new(TcpTransport::new(&env, Limits::of(&slot.settings)));
        let transport = self.board.gate(index, transport);
        Node::open_with(NodeParts { settings: slot.settings.clone(), env, engine, transport }).await
    }

    async fn agree(&self) -> Result<()> {
        let env = Env::system(self.handle.clone())?;
        let deadline = env.deadline(START);
        loop {
            let nodes: Vec<Node> = self.nodes().into_iter().flatten().collect();
            let mut agreed = same_epoch(&nodes);
            for node in &nodes {
                let status = node.status().await?;
                agreed &= status.members.len() == nodes.len() && status.health == "healthy";
            }
            if agreed {
                return Ok(());
            }
            if deadline.passed() {
                return Err(Error::new(ErrorKind::Timeout, "the nodes did not come together").during("start"));
            }
            env.sleep(LOOK).await;
        }
    }
}

fn same_epoch(nodes: &[Node]) -> bool {
    let epochs: Vec<_> = nodes.iter().map(|node| node.metrics().get("topology_epoch").copied()).collect();
    epochs.windows(2).all(|pair| pair.first() == pair.last())
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for slot in &self.slots {
            if let Some(node) = slot.lock().node.take() {
                node.kill();
            }
        }
    }
}
