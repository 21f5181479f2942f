//! The network of tests and of the simulation: named hosts, links that delay, lose, reorder, are cut one way and heal.
//! Everything happens on the tasks that send and receive, by the clock of the runtime and a seeded source: with a
//! paused clock on one thread, the same seed gives the same deliveries. Frames skip header and checksum, nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use tokio::time::Instant;

use super::frame::Kind;
use super::limits::Limits;
use super::transport::{Duplex, Listener, Transport};
use crate::base::env::{BoxFuture, Env};
use crate::base::error::{Error, ErrorKind, Result};
use port::{MemoryListener, Port};

mod pipe;
mod port;

/// How one direction of a link treats its frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkQuality {
    /// What every frame takes.
    pub delay: Duration,
    /// What a frame takes beyond that, at random up to this.
    pub jitter: Duration,
    /// How many frames of a million are lost.
    pub lost_per_million: u32,
    /// Whether a frame may overtake another of its connection.
    pub reorder: bool,
}

/// What became of one frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// Since the network was made.
    pub at: Duration,
    /// The host that sent it.
    pub from: String,
    /// The host that it was for.
    pub to: String,
    /// What it was.
    pub kind: Kind,
    /// Its request id.
    pub id: u64,
    /// Bytes of its body.
    pub bytes: usize,
    /// Whether it arrived.
    pub arrived: bool,
}

/// A network in memory. Clones are the same network.
#[derive(Clone)]
pub struct MemoryNetwork(Arc<Net>);

struct Net {
    env: Env,
    limits: Limits,
    began: Instant,
    state: Mutex<State>,
}

struct State {
    random: SmallRng,
    usual: LinkQuality,
    links: BTreeMap<(String, String), LinkQuality>,
    cut: BTreeSet<(String, String)>,
    ports: BTreeMap<String, Arc<Port>>,
    port_next: u16,
    log: Option<Vec<Delivery>>,
}

impl fmt::Debug for MemoryNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryNetwork")
    }
}

/// The fate of a frame that is being sent.
enum Fate {
    Lost,
    /// Arrives after this; may overtake others if told so.
    Arrives {
        after: Duration,
        reorder: bool,
    },
}

impl MemoryNetwork {
    /// A network on the clock of this environment, with links that deliver at once until told otherwise.
    #[must_use]
    pub fn new(env: &Env, seed: u64, limits: Limits) -> Self {
        let state = State {
            random: SmallRng::seed_from_u64(seed),
            usual: LinkQuality::default(),
            links: BTreeMap::new(),
            cut: BTreeSet::new(),
            ports: BTreeMap::new(),
            port_next: 1_024,
            log: None,
        };
        Self(Arc::new(Net { env: env.clone(), limits, began: env.now(), state: Mutex::new(state) }))
    }

    /// The transport of one host; a link is named by the hosts at its ends.
    #[must_use]
    pub fn transport(&self, host: &str) -> Arc<MemoryTransport> {
        Arc::new(MemoryTransport { net: Arc::clone(&self.0), host: host_of(host).to_owned() })
    }

    /// Sets the quality of every direction of every link that has none of its own.
    pub fn set_usual(&self, quality: LinkQuality) {
        self.0.state.lock().usual = quality;
    }

    /// Sets the quality of one direction.
    pub fn set_link(&self, from: &str, to: &str, quality: LinkQuality) {
        self.0.state.lock().links.insert(link(from, to), quality);
    }

    /// Gives every direction of every link the usual quality again.
    pub fn reset_links(&self) {
        self.0.state.lock().links.clear();
    }

    /// Cuts one direction: what is under way or sent on it is lost, and nobody can connect across it.
    pub fn cut(&self, from: &str, to: &str) {
        self.0.state.lock().cut.insert(link(from, to));
    }

    /// Cuts both directions.
    pub fn cut_both(&self, one: &str, other: &str) {
        self.cut(one, other);
        self.cut(other, one);
    }

    /// Heals one direction.
    pub fn heal(&self, from: &str, to: &str) {
        self.0.state.lock().cut.remove(&link(from, to));
    }

    /// Heals both directions.
    pub fn heal_both(&self, one: &str, other: &str) {
        self.heal(one, other);
        self.heal(other, one);
    }

    /// Heals every link; their qualities stay.
    pub fn heal_all(&self) {
        self.0.state.lock().cut.clear();
    }

    /// Whether a direction is cut.
    #[must_use]
    pub fn is_cut(&self, from: &str, to: &str) -> bool {
        self.0.is_cut(host_of(from), host_of(to))
    }

    /// Starts to keep what becomes of each frame, from nothing.
    pub fn record(&self) {
        self.0.state.lock().log = Some(Vec::new());
    }

    /// What has been kept since `record` or the last call.
    #[must_use]
    pub fn take_log(&self) -> Vec<Delivery> {
        self.0.state.lock().log.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

impl Net {
    fn is_cut(&self, from: &str, to: &str) -> bool {
        self.state.lock().cut.contains(&link(from, to))
    }

    /// Draws the fate of a frame from one host to another.
    fn fate(&self, from: &str, to: &str) -> Fate {
        let mut state = self.state.lock();
        let link = link(from, to);
        if state.cut.contains(&link) {
            return Fate::Lost;
        }
        let quality = state.links.get(&link).copied().unwrap_or(state.usual);
        if quality.lost_per_million > 0
            && state.random.next_u64() % 1_000_000 < u64::from(quality.lost_per_million)
        {
            return Fate::Lost;
        }
        let jitter = u64::try_from(quality.jitter.as_nanos()).unwrap_or(u64::MAX);
        let jitter = if jitter == 0 { 0 } else { state.random.next_u64() % jitter };
        Fate::Arrives { after: quality.delay + Duration::from_nanos(jitter), reorder: quality.reorder }
    }

    fn log(&self, delivery: impl FnOnce() -> Delivery) {
        if let Some(log) = &mut self.state.lock().log {
            log.push(delivery());
        }
    }

    fn since_began(&self) -> Duration {
        self.env.now().saturating_duration_since(self.began)
    }
}

fn link(from: &str, to: &str) -> (String, String) {
    (host_of(from).to_owned(), host_of(to).to_owned())
}

/// The host of `host:port`, or the whole of a name without port.
fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

/// The transport of one host of a `MemoryNetwork`.
pub struct MemoryTransport {
    net: Arc<Net>,
    host: String,
}

impl fmt::Debug for MemoryTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryTransport({})", self.host)
    }
}

impl MemoryTransport {
    async fn cross(&self, from: &str, to: &str) {
        match self.net.fate(from, to) {
            // Nobody answers; the caller's deadline ends it.
            Fate::Lost => std::future::pending().await,
            Fate::Arrives { after, .. } if after.is_zero() => {}
            Fate::Arrives { after, .. } => self.net.env.sleep(after).await,
        }
    }
}

impl Transport for MemoryTransport {
    fn dial<'a>(&'a self, address: &'a str) -> BoxFuture<'a, Result<Duplex>> {
        Box::pin(async move {
            let there = host_of(address);
            self.cross(&self.host, there).await;
            let port = self.net.state.lock().ports.get(address).cloned();
            self.cross(there, &self.host).await;
            let refused = || {
                let source = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
                Error::io(format!("dialing {address}"), source)
            };
            let (near, far) = pipe::duplexes(&self.net, &self.host, there);
            port.ok_or_else(refused)?.arrive(far).map_err(|_closed| refused())?;
            Ok(near)
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let mut state = self.net.state.lock();
            let mut address = address.to_owned();
            if let Some(host) = address.strip_suffix(":0") {
                address = format!("{host}:{}", state.port_next);
                state.port_next = state.port_next.wrapping_add(1).max(1_024);
            }
            if host_of(&address) != self.host || state.ports.contains_key(&address) {
                let text = format!("listening on {address} at {}: address in use or not local", self.host);
                return Err(Error::new(ErrorKind::Io, text));
            }
            let port = Arc::new(Port::default());
            state.ports.insert(address.clone(), Arc::clone(&port));
            let net = Arc::clone(&self.net);
            Ok(Box::new(MemoryListener { net, address, port }) as Box<dyn Listener>)
        })
    }
}
