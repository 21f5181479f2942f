//! Floor 5: the client, a store that owns no data. It learns the topology and the addresses from any member, sends each
//! operation to an owner of its key, and goes on with another owner when one has gone.

mod source;
mod uri;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::base::env::{BoxFuture, Deadline, Env};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::{Epoch, Time};
use crate::base::settings::Settings;
use crate::client::{
    EventsPage, EventsRequest, ExplainRequest, Explanation, Introduce, Peers, Pool, ReadRequest, Router,
    ScanRequest, ScannedPage, TopologySource, WriteRequest, Written,
};
use crate::ring::{BucketSpec, Location, Topology};
use crate::store::{Backend, Status, Store};
use crate::wire::{Hello, Limits, TcpTransport, Transport};
use source::FetchedTopology;
pub use uri::ConnectOptions;

/// A client of a cluster. Derefs to [`Store`], which has the operations.
#[derive(Clone, Debug)]
pub struct Client {
    store: Store,
}

impl Client {
    /// Connects: returns once a member has told the topology.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad connection string, `QuorumUnavailable` that says why each address failed.
    #[must_use]
    pub fn connect(uri: &str, env: Env) -> BoxFuture<'static, Result<Self>> {
        let options = ConnectOptions::parse(uri);
        Box::pin(async move {
            let settings = Settings::default();
            let transport = Arc::new(TcpTransport::new(&env, Limits::of(&settings)));
            match options {
                Ok(options) => Self::connect_with(options, settings, env, transport).await,
                Err(error) => Err(error),
            }
            .map_err(|error| error.during("connect"))
        })
    }

    /// Connects over a given transport.
    ///
    /// # Errors
    /// As for `connect`.
    pub async fn connect_with(
        options: ConnectOptions,
        settings: Settings,
        env: Env,
        transport: Arc<dyn Transport>,
    ) -> Result<Self> {
        let data_centre = match options.location.as_str() {
            "" => None,
            path => Some(Location::parse(path)?.data_centre().to_owned()),
        };
        let nonce = env.random();
        let introduce: Introduce = Arc::new(move || Hello::client(nonce));
        let connect_timeout = Duration::from_millis(settings.connect_timeout_ms);
        let limits = Limits::of(&settings);
        let pool =
            Pool::new(env.clone(), transport, introduce, Arc::new(|_| Ok(())), None, limits, connect_timeout);
        let peers = Arc::new(Peers::new(env.clone(), pool));
        let source = Arc::new(FetchedTopology::new(env.clone(), Arc::clone(&peers), options.addresses));
        let try_timeout = Duration::from_millis(settings.peer_timeout_ms);
        let router = Router::new(
            env.clone(),
            Arc::clone(&peers),
            Arc::clone(&source) as Arc<dyn TopologySource>,
            data_centre,
            try_timeout,
        );
        let deadline = env.deadline(options.defaults.timeout.unwrap_or(settings.timeout()));
        let closed = AtomicBool::new(false);
        let core = Arc::new(ClientCore { env, settings, peers, source, router, closed });
        core.source.refresh(Epoch { era: 0, number: 1 }, deadline).await?;
        Ok(Self { store: Store::over(core, options.defaults) })
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }
}

impl Deref for Client {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

#[derive(Debug)]
struct ClientCore {
    env: Env,
    settings: Settings,
    peers: Arc<Peers>,
    source: Arc<FetchedTopology>,
    router: Router,
    closed: AtomicBool,
}

impl ClientCore {
    fn open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the store was closed"));
        }
        Ok(())
    }
}

impl Backend for ClientCore {
    fn env(&self) -> &Env {
        &self.env
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn topology(&self) -> Option<Arc<Topology>> {
        self.source.current()
    }

    fn ready(self: Arc<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move { self.open() })
    }

    fn read(self: Arc<Self>, request: ReadRequest) -> BoxFuture<'static, Result<(Option<Bytes>, Time)>> {
        Box::pin(async move {
            self.open()?;
            self.router.read(&request, None).await?.answered()
        })
    }

    fn write(self: Arc<Self>, request: WriteRequest) -> BoxFuture<'static, Result<Written>> {
        Box::pin(async move {
            self.open()?;
            self.router.write(&request, None).await?.answered()
        })
    }

    fn scan(self: Arc<Self>, request: ScanRequest) -> BoxFuture<'static, Result<ScannedPage>> {
        Box::pin(async move {
            self.open()?;
            self.router.scan(&request).await
        })
    }

    fn create_bucket(
        self: Arc<Self>,
        spec: BucketSpec,
        deadline: Deadline,
    ) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            self.open()?;
            self.source.create_bucket(&spec, deadline).await
        })
    }

    fn refresh(self: Arc<Self>, deadline: Deadline) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            self.open()?;
            self.source.refresh(Epoch::default(), deadline).await
        })
    }

    fn status(self: Arc<Self>, deadline: Deadline) -> BoxFuture<'static, Result<Status>> {
        Box::pin(async move {
            self.open()?;
            self.source.status(deadline).await
        })
    }

    fn explain(self: Arc<Self>, request: ExplainRequest) -> BoxFuture<'static, Result<Explanation>> {
        Box::pin(async move {
            self.open()?;
            self.source.explain(&request).await
        })
    }

    fn events(self: Arc<Self>, request: EventsRequest) -> BoxFuture<'static, Result<EventsPage>> {
        Box::pin(async move {
            self.open()?;
            let patience = self.settings.timeout();
            tokio::select! {
                biased;
                () = self.env.stopping() => Err(Error::new(ErrorKind::Closed, "the store was closed")),
                page = self.source.events(&request, patience) => page,
            }
        })
    }

    fn metrics(&self) -> Vec<(String, f64)> {
        #[expect(clippy::cast_precision_loss, reason = "an epoch is far below 2^53")]
        let epoch = self.source.current().map_or(0.0, |topology| topology.epoch.number as f64);
        vec![("topology_epoch".to_owned(), epoch)]
    }

    fn close(self: Arc<Self>, _timeout: Duration) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            if !self.closed.swap(true, Ordering::AcqRel) {
                self.peers.pool().close();
                self.env.stop();
            }
            Ok(())
        })
    }

    fn abandon(&self) {
        self.closed.store(true, Ordering::Release);
        self.env.stop();
    }
}
