//! What a case has around it: its directory, its stores by name, its variables and saved contexts.
//! Everything that a case opened is closed when its world ends.

use std::collections::BTreeMap;

use bytes::Bytes;
use ringkeep::base::Env;
use ringkeep::base::error::{Error, Result};
use ringkeep::base::settings::Settings;
use ringkeep::ring::{BucketSpec, Consistency, Level, Replicas};
use ringkeep::store::{Bucket, ClusterEvents, Context, Store};
use ringkeep::testing::{Cluster, ClusterOptions};
use ringkeep::{Client, Node};
use serde_json::{Map, Value};

use crate::case::{BucketRules, Kind, Setup, Step};

/// A store of either kind.
pub(crate) enum Opened {
    Node(Node),
    Client(Client),
}

impl Opened {
    pub(crate) fn store(&self) -> &Store {
        match self {
            Self::Node(node) => node,
            Self::Client(client) => client,
        }
    }
}

/// The surroundings of one case.
pub(crate) struct World {
    stores: BTreeMap<String, Opened>,
    variables: BTreeMap<String, String>,
    contexts: BTreeMap<String, Context>,
    pub(crate) streams: BTreeMap<String, ClusterEvents>,
    pub(crate) cluster: Option<Cluster>,
    _directory: tempfile::TempDir,
}

impl World {
    /// Sets a case up; a fault is one of the runner or of the library, and fails the case either way.
    pub(crate) async fn new(setup: &Setup) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|e| e.to_string())?;
        let mut world = Self {
            stores: BTreeMap::new(),
            variables: BTreeMap::from([
                ("dir".to_owned(), directory.path().display().to_string()),
                ("pid".to_owned(), std::process::id().to_string()),
            ]),
            contexts: BTreeMap::new(),
            streams: BTreeMap::new(),
            cluster: None,
            _directory: directory,
        };
        world.set_up(setup).await.map_err(|error| format!("setup: {error:?}"))?;
        Ok(world)
    }

    async fn set_up(&mut self, setup: &Setup) -> Result<()> {
        match setup.store {
            Kind::None => return Ok(()),
            Kind::Memory => self.open("main", None, &setup.settings).await?,
            Kind::Durable => self.open("main", Some("${dir}/main"), &setup.settings).await?,
            Kind::Cluster => {
                let options = ClusterOptions { size: setup.size, n: setup.n, ..ClusterOptions::default() };
                let cluster = Cluster::start(options).await?;
                self.stores.insert("main".to_owned(), Opened::Client(cluster.client().await?));
                self.cluster = Some(cluster);
                self.take_nodes();
            }
        }
        for opened in self.stores.values() {
            opened.store().ready(None).await?;
        }
        for rules in &setup.buckets {
            let spec = bucket_spec(&rules.name, rules)?;
            self.store("main")?.store().create_bucket(spec).await?;
        }
        Ok(())
    }

    /// Names the nodes of the test cluster as they are now.
    pub(crate) fn take_nodes(&mut self) {
        if let Some(cluster) = &self.cluster {
            for (index, node) in cluster.nodes().into_iter().enumerate() {
                // The handle of a killed node stays, and refuses.
                if let Some(node) = node {
                    self.stores.insert(format!("node{index}"), Opened::Node(node));
                }
            }
        }
    }

    /// Opens a node from settings as a file would give them.
    pub(crate) async fn open(
        &mut self,
        name: &str,
        path: Option<&str>,
        settings: &Map<String, Value>,
    ) -> Result<()> {
        let text = self.expand(&Value::from(settings.clone()).to_string());
        let mut settings = Settings::from_json(&text)?;
        settings.path = path.map(|path| self.expand(path).into());
        let node = Node::open(settings, env()?).await?;
        self.stores.insert(name.to_owned(), Opened::Node(node));
        Ok(())
    }

    /// Connects a client.
    pub(crate) async fn connect(&mut self, name: &str, uri: &str) -> Result<()> {
        let client = Client::connect(&self.expand(uri), env()?).await?;
        self.stores.insert(name.to_owned(), Opened::Client(client));
        Ok(())
    }

    /// A store by name.
    pub(crate) fn store(&self, name: &str) -> Result<&Opened> {
        self.stores.get(name).ok_or_else(|| Error::invalid(format!("the case has no store {name:?}")))
    }

    /// The address that the node of this name listens on.
    pub(crate) fn address(&self, name: &str) -> Option<String> {
        match self.stores.get(name)? {
            Opened::Node(node) => node.address().map(str::to_owned),
            Opened::Client(_) => None,
        }
    }

    /// The bucket that a step is about.
    pub(crate) fn bucket(&self, step: &Step) -> Result<Bucket> {
        let store = self.store(&step.store)?.store();
        Ok(step.bucket.as_deref().map_or_else(|| store.default_bucket(), |name| store.bucket(name)))
    }

    /// A saved context.
    pub(crate) fn context(&self, name: &str) -> Result<&Context, String> {
        self.contexts.get(name).ok_or_else(|| format!("no context was saved as {name:?}"))
    }

    /// Saves a context.
    pub(crate) fn save_context(&mut self, name: &str, context: Context) {
        self.contexts.insert(name.to_owned(), context);
    }

    /// Sets a variable.
    pub(crate) fn set(&mut self, name: &str, value: String) {
        self.variables.insert(name.to_owned(), value);
    }

    /// Replaces `${name}` by the variable of that name.
    pub(crate) fn expand(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.variables {
            text = text.replace(&format!("${{{name}}}"), value);
        }
        text
    }

    /// Closes whatever is open. What a case already killed or closed says nothing new.
    pub(crate) async fn end(self) {
        for opened in self.stores.values() {
            drop(opened.store().close(None).await);
        }
        if let Some(cluster) = self.cluster {
            drop(cluster.close().await);
        }
    }
}

/// The real world, on the runner's runtime.
fn env() -> Result<Env> {
    Env::system(tokio::runtime::Handle::current())
}

/// A context with its ninth byte changed.
pub(crate) fn forged(context: &Context) -> Context {
    let mut token = context.to_bytes().to_vec();
    if let Some(byte) = token.get_mut(8) {
        *byte ^= 1;
    }
    Context::from_bytes(Bytes::from(token))
}

/// The bucket that rules ask for.
pub(crate) fn bucket_spec(name: &str, rules: &BucketRules) -> Result<BucketSpec> {
    let small = |value: &Value| value.as_u64().and_then(|n| u8::try_from(n).ok());
    let n = match &rules.n {
        None => Replicas::Count(3),
        Some(Value::Object(map)) => {
            Replicas::PerDc(map.iter().filter_map(|(dc, n)| Some((dc.clone(), small(n)?))).collect())
        }
        Some(n) => Replicas::Count(small(n).ok_or_else(|| Error::invalid(format!("n={n}")))?),
    };
    let level = |value: &Option<Value>| match value {
        None => Ok(Level::Consistency(Consistency::Quorum)),
        Some(Value::String(name)) => name.parse().map(Level::Consistency),
        Some(n) => small(n).map(Level::Count).ok_or_else(|| Error::invalid(format!("level {n}"))),
    };
    let mut spec = BucketSpec::named(name, n);
    spec.r = level(&rules.r)?;
    spec.w = level(&rules.w)?;
    spec.sloppy = rules.sloppy;
    spec.resolver = rules.resolver.as_deref().map_or(Ok(spec.resolver), str::parse)?;
    spec.ttl_ms = rules.ttl_ms;
    Ok(spec)
}
