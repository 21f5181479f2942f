//! A node and a client over one map.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use ringkeep::base::env::{BoxFuture, Deadline, Env};
use ringkeep::base::error::{Detail, Error, ErrorKind, Result};
use ringkeep::base::ids::{Actor, BucketId, ClusterId, CopyNumber, Dot, NodeNumber, Time};
use ringkeep::base::settings::Settings;
use ringkeep::causality::{Clock, Payload, Record, Sibling};

use crate::ring::{BucketSpec, Consistency, Level, Member, Replicas, Resolver, Topology};
use crate::store::{
    Backend, Defaults, MemberInfo, ReadRequest, ScanRequest, ScannedPage, Status, Store, WriteRequest,
    Written,
};
use crate::wire::message::{Change, Expiry};

static OPEN_PATHS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A member in this process.
#[derive(Clone, Debug)]
pub struct Node {
    store: Store,
    map: Arc<Map>,
}

impl Deref for Node {
    type Target = Store;
    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Node {
    /// Opens a node.
    #[must_use]
    pub fn open(settings: Settings, env: Env) -> BoxFuture<'static, Result<Self>> {
        Box::pin(async move {
            settings.validate().map_err(|error| error.during("open"))?;
            if let Some(path) = &settings.path
                && !OPEN_PATHS.lock().insert(path.clone())
            {
                return Err(Error::new(ErrorKind::Locked, format!("{} is in use", path.display()))
                    .with_detail(Detail::Locked { pid: std::process::id() })
                    .during("open"));
            }
            let map = Arc::new(Map::new(settings, env));
            Ok(Self { store: Store::over(map.clone(), Defaults::default()), map })
        })
    }

    /// The stable id.
    #[must_use]
    pub fn id(&self) -> String {
        "n1".to_owned()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        self.map.settings.listen.clone()
    }

    pub(crate) fn client(&self) -> Client {
        Client { store: Store::over(self.map.clone(), Defaults::default()) }
    }
}

/// A store without data.
#[derive(Clone, Debug)]
pub struct Client {
    store: Store,
}

impl Deref for Client {
    type Target = Store;
    fn deref(&self) -> &Store {
        &self.store
    }
}

#[derive(Debug)]
struct Map {
    settings: Settings,
    env: Env,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    records: BTreeMap<(BucketId, Bytes), Record>,
    topology: Arc<Topology>,
    clock: u64,
    closed: bool,
}

impl Map {
    fn new(settings: Settings, env: Env) -> Self {
        let default = BucketSpec::named("default", Replicas::Count(u8::try_from(settings.n).unwrap_or(3)));
        let topology = Topology {
            cluster: ClusterId([7; 16]),
            context_key: [9; 16],
            partitions: settings.partitions,
            members: BTreeMap::from([(NodeNumber(1), Member { id: "n1".to_owned() })]),
            buckets: BTreeMap::from([(BucketId(0), Arc::new(default))]),
        };
        let state = State { records: BTreeMap::new(), topology: Arc::new(topology), clock: 0, closed: false };
        Self { settings, env, state: Mutex::new(state) }
    }

    fn check(&self, level: Level) -> Result<()> {
        if self.state.lock().closed {
            return Err(Error::new(ErrorKind::Closed, "the store was closed"));
        }
        match level {
            Level::Count(count) if count > 1 => Err(Error::new(
                ErrorKind::QuorumUnavailable,
                format!("{count} owners are needed and there is 1 node"),
            )
            .with_detail(Detail::Quorum {
                needed: count.into(),
                received: 1,
                replicas: BTreeMap::from([("n2".to_owned(), "there is no such node".to_owned())]),
            })),
            Level::Count(_) | Level::Consistency(Consistency::One | Consistency::Quorum) => Ok(()),
            Level::Consistency(_) => Ok(()),
        }
    }

    fn apply(&self, request: WriteRequest) -> Result<Written> {
        let unix_ms = self.env.unix_ms();
        let mut state = self.state.lock();
        state.clock = Time::from_unix_ms(unix_ms).0.max(state.clock + 1);
        let now = Time(state.clock);
        let dot = Dot { time: now, actor: Actor { node: NodeNumber(1), copy: CopyNumber(1) } };
        let spec = state.topology.buckets.get(&request.bucket).cloned();
        let spec = spec.ok_or_else(|| Error::new(ErrorKind::NoSuchBucket, "the bucket does not exist"))?;
        let expires = match request.expiry {
            Expiry::Never => None,
            Expiry::AfterMs(after) => Some(unix_ms + after),
            Expiry::Bucket => spec.ttl_ms.map(|after| unix_ms + after),
        };
        let (payload, delete) = match request.change {
            Change::Value(value) => (Payload::Value(value), false),
            Change::Tombstone => (Payload::Tombstone, true),
        };
        let expires = if delete { None } else { expires };
        let record = state.records.entry((request.bucket, request.key)).or_default();
        let context = match request.context {
            Some(clock) => clock,
            None if spec.resolver == Resolver::Siblings && !delete => Clock::new(),
            None => record.clock.clone(),
        };
        *record = record.put(&context, Sibling { dot, payload, expires });
        Ok(Written { dot, clock: record.clock.clone(), owners: 1, fallbacks: 0, now })
    }

    fn page(&self, request: &ScanRequest) -> ScannedPage {
        let state = self.state.lock();
        let mut page = ScannedPage::default();
        for ((bucket, key), record) in state.records.range((request.bucket, request.after.clone())..) {
            if *bucket != request.bucket || (!request.end.is_empty() && *key >= request.end) {
                break;
            }
            if (!request.inclusive && *key == request.after) || !key.starts_with(&request.prefix) {
                continue;
            }
            if page.items.len() >= request.items_max as usize {
                page.more = true;
                break;
            }
            page.last = key.clone();
            page.items.push((key.clone(), record.clone()));
        }
        page
    }

    async fn pause(&self, key: &[u8], deadline: Deadline) -> Result<()> {
        if key.starts_with(b"slow:") {
            deadline.limit(self.env.sleep(Duration::from_millis(20))).await?;
        }
        if key.starts_with(b"stuck:") {
            deadline.limit(std::future::pending::<()>()).await?;
        }
        Ok(())
    }
}

impl Backend for Map {
    fn env(&self) -> &Env {
        &self.env
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn topology(&self) -> Option<Arc<Topology>> {
        Some(Arc::clone(&self.state.lock().topology))
    }

    fn ready(self: Arc<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn read(self: Arc<Self>, request: ReadRequest) -> BoxFuture<'static, Result<(Option<Record>, Time)>> {
        Box::pin(async move {
            self.check(request.level)?;
            self.pause(&request.key, request.deadline).await?;
            let state = self.state.lock();
            Ok((state.records.get(&(request.bucket, request.key)).cloned(), Time(state.clock)))
        })
    }

    fn write(self: Arc<Self>, request: WriteRequest) -> BoxFuture<'static, Result<Written>> {
        Box::pin(async move {
            self.check(request.level)?;
            self.pause(&request.key, request.deadline).await?;
            self.apply(request)
        })
    }

    fn scan(self: Arc<Self>, request: ScanRequest) -> BoxFuture<'static, Result<ScannedPage>> {
        Box::pin(async move {
            self.check(request.level)?;
            self.pause(&request.prefix, request.deadline).await?;
            Ok(self.page(&request))
        })
    }

    fn create_bucket(self: Arc<Self>, spec: BucketSpec, _: Deadline) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let mut state = self.state.lock();
            let mut topology = Topology::clone(&state.topology);
            if let Some(known) = topology.bucket_named(&spec.name) {
                return if known.same_as(&spec) {
                    Ok(())
                } else {
                    Err(Error::invalid(format!("bucket {:?} exists with other rules", spec.name)))
                };
            }
            let id = BucketId(u32::try_from(topology.buckets.len()).unwrap_or(u32::MAX));
            topology.buckets.insert(id, Arc::new(BucketSpec { id, ..spec }));
            state.topology = Arc::new(topology);
            Ok(())
        })
    }

    fn refresh(self: Arc<Self>, _: Deadline) -> BoxFuture<'static, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn status(self: Arc<Self>, _: Deadline) -> BoxFuture<'static, Result<Status>> {
        Box::pin(async move {
            let partitions = self.settings.partitions;
            let member = MemberInfo {
                id: "n1".to_owned(),
                number: 1,
                address: self.settings.listen.clone().unwrap_or_default(),
                location: self.settings.location.clone(),
                state: "up".to_owned(),
                owns: 1.0,
                hints_pending: 0,
                version: env!("CARGO_PKG_VERSION").to_owned(),
            };
            Ok(Status {
                health: "healthy".to_owned(),
                epoch: 1,
                partitions,
                partitions_available: partitions,
                partitions_moving: 0,
                members: vec![member],
                notes: Vec::new(),
            })
        })
    }

    fn metrics(&self) -> Vec<(String, f64)> {
        vec![(
            "keys".to_owned(),
            f64::from(u32::try_from(self.state.lock().records.len()).unwrap_or(u32::MAX)),
        )]
    }

    fn close(self: Arc<Self>, _: Duration) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            if !std::mem::replace(&mut self.state.lock().closed, true)
                && let Some(path) = &self.settings.path
            {
                OPEN_PATHS.lock().remove(path);
            }
            Ok(())
        })
    }
}
