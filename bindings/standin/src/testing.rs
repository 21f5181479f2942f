//! Several nodes in one process; here they do not know each other.

use std::time::Duration;

use ringkeep::base::env::Env;
use ringkeep::base::error::{Error, Result};
use ringkeep::base::settings::Settings;

use crate::node::{Client, Node};

/// Nodes in this process.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
}

impl Cluster {
    /// Starts nodes.
    ///
    /// # Errors
    /// As for opening a node.
    pub async fn start(size: usize, settings: Settings, env: Env) -> Result<Self> {
        let mut nodes = Vec::new();
        for _ in 0..size {
            nodes.push(Node::open(settings.clone(), env.clone()).await?);
        }
        Ok(Self { nodes })
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A client.
    ///
    /// # Errors
    /// When there is no node.
    pub fn client(&self) -> Result<Client> {
        self.nodes.first().map(Node::client).ok_or_else(|| Error::invalid("the cluster has no node"))
    }

    /// Waits until nothing is left to repair.
    ///
    /// # Errors
    /// `Timeout`.
    pub async fn settle(&self, _: Duration) -> Result<()> {
        Ok(())
    }
}
