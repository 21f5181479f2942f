//! A store as languages hold it: a node or a client, opened, used and closed through [`Op`]s.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ringkeep::base::env::Env;
use ringkeep::base::error::{Error, ErrorKind, Result};
use ringkeep::base::settings::Settings;
use ringkeep::ring::bucket::BUCKET_DEFAULT;
use ringkeep::store::Store;
use ringkeep::{Client, Node};

use crate::admin;
use crate::bucket::BucketHandle;
use crate::op::{Kind, Op, leak_if_forked};
use crate::options::ConnectOptions;
use crate::queue::{Queue, Wake};
use crate::scope::Scope;

/// A node in this process, or a client of one. Cheap to clone; the last one that is dropped closes the store.
#[derive(Clone, Debug)]
pub struct StoreHandle(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) scope: Arc<Scope>,
    // Present until the drop, which leaks it in a child of fork.
    what: Option<What>,
    queue: Mutex<Option<Arc<Queue>>>,
}

#[derive(Debug)]
enum What {
    Node(Node),
    Client(Client),
}

impl Inner {
    pub(crate) fn store(&self) -> Result<&Store> {
        match &self.what {
            Some(What::Node(node)) => Ok(node),
            Some(What::Client(client)) => Ok(client),
            None => Err(Error::new(ErrorKind::Internal, "the store is gone")),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(what) = self.what.take() else { return };
        if self.scope.is_forked() {
            std::mem::forget(what);
            leak_if_forked(&self.scope, self.queue.get_mut().take());
            return;
        }
        if self.scope.is_closed() {
            return;
        }
        // Nobody waits for this close; it gives the directory and the port back.
        self.scope.begin_close();
        let scope = Arc::clone(&self.scope);
        self.scope.handle().spawn(async move {
            let store: &Store = match &what {
                What::Node(node) => node,
                What::Client(client) => client,
            };
            // Who drops a store without closing it has given up its errors.
            let _unheard = store.close(None).await;
            scope.end().await;
        });
    }
}

impl StoreHandle {
    /// Opens a node: validates the settings, takes the directory, listens.
    pub fn open(settings: Settings) -> Op<Self> {
        let scope = match Scope::new(settings.threads) {
            Ok(scope) => scope,
            Err(error) => return Op::ready(Err(error.during("open"))),
        };
        let store_scope = Arc::clone(&scope);
        Op::new(&scope, Kind::Life, async move {
            let env = Env::system(store_scope.handle().clone())?;
            let node = Node::open(settings, env).await?;
            Ok(Self::over(store_scope, What::Node(node)))
        })
    }

    /// Connects a client by connection strings or addresses.
    pub fn connect(uris: &[String], options: ConnectOptions) -> Op<Self> {
        let scope = match Scope::new(0) {
            Ok(scope) => scope,
            Err(error) => return Op::ready(Err(error.during("connect"))),
        };
        let store_scope = Arc::clone(&scope);
        let uris = uris.to_vec();
        Op::new(&scope, Kind::Life, async move {
            let env = Env::system(store_scope.handle().clone())?;
            let client = crate::connect::connect(&uris, options, env).await?;
            Ok(Self::over(store_scope, What::Client(client)))
        })
    }

    fn over(scope: Arc<Scope>, what: What) -> Self {
        Self(Arc::new(Inner { scope, what: Some(what), queue: Mutex::new(None) }))
    }

    pub(crate) fn over_node(scope: Arc<Scope>, node: Node) -> Self {
        Self::over(scope, What::Node(node))
    }

    pub(crate) fn over_client(scope: Arc<Scope>, client: Client) -> Self {
        Self::over(scope, What::Client(client))
    }

    /// A node's stable id; none for a client.
    #[must_use]
    pub fn node_id(&self) -> Option<String> {
        match &self.0.what {
            Some(What::Node(node)) => Some(node.id().to_string()),
            _ => None,
        }
    }

    /// Where a node listens; none for a client and for a node without a port.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        match &self.0.what {
            Some(What::Node(node)) => node.address().map(str::to_owned),
            _ => None,
        }
    }

    /// A bucket by name, none for the default one. That it exists is judged by each operation.
    ///
    /// # Errors
    /// `Closed`, `Forked`, `InvalidArgument` for an empty name.
    pub fn bucket(&self, name: Option<&str>) -> Result<BucketHandle> {
        self.0.scope.check()?;
        let name = name.unwrap_or(BUCKET_DEFAULT);
        if name.is_empty() {
            return Err(Error::invalid("the bucket's name is empty"));
        }
        Ok(BucketHandle::new(Arc::clone(&self.0), name.into()))
    }

    /// Ends once operations can be served.
    pub fn ready(&self, timeout: Option<Duration>) -> Op<()> {
        match self.checked() {
            Ok(store) => Op::boxed(&self.0.scope, Kind::Read, store.ready(timeout)),
            Err(error) => Op::ready(Err(error)),
        }
    }

    /// Ends the work of the store: refuses new operations at once, lets those under way end within the time limit, then
    /// completes the rest with `Closed`. Idempotent. No limit takes the settings' own.
    pub fn close(&self, timeout: Option<Duration>) -> Op<()> {
        if let Err(error) = self.0.scope.check_process() {
            return Op::ready(Err(error));
        }
        self.0.scope.begin_close();
        let inner = Arc::clone(&self.0);
        Op::new(&self.0.scope, Kind::Life, async move {
            let closed = inner.store()?.close(timeout).await;
            inner.scope.end().await;
            closed
        })
    }

    /// Ends the thread that runs completions for callers without a queue, once it has run them all; for use after `close`.
    pub fn end_delivery(&self) {
        if !self.0.scope.is_forked() {
            self.0.scope.end_delivery();
        }
    }

    /// Whether two handles are of one store.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether `close` was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.scope.is_closed()
    }

    /// Runs a command of administration: JSON in, JSON out.
    pub fn admin(&self, command: &str, json: &str) -> Op<String> {
        match self.checked() {
            Ok(store) => admin::run(&self.0.scope, store.clone(), command, json),
            Err(error) => Op::ready(Err(error)),
        }
    }

    /// Counters and gauges by name.
    ///
    /// # Errors
    /// `Closed`, `Forked`.
    pub fn metrics(&self) -> Result<BTreeMap<String, f64>> {
        Ok(self.checked()?.metrics())
    }

    /// The store's own completion queue, with a file descriptor; made when first asked for.
    ///
    /// # Errors
    /// `Closed`, `Forked`, `Io` when there is no file descriptor left.
    pub fn queue(&self) -> Result<Arc<Queue>> {
        self.0.scope.check()?;
        let mut queue = self.0.queue.lock();
        match &*queue {
            Some(made) => Ok(Arc::clone(made)),
            None => Ok(Arc::clone(queue.insert(Queue::new(Wake::EventFd)?))),
        }
    }

    /// The queue whose completions run on a thread of the library, one at a time.
    ///
    /// # Errors
    /// `Closed`, `Forked`, `Io` when there is no thread to be had.
    pub fn delivery(&self) -> Result<Arc<Queue>> {
        self.0.scope.check()?;
        self.0.scope.delivery()
    }

    fn checked(&self) -> Result<&Store> {
        self.0.scope.check()?;
        self.0.store()
    }
}
