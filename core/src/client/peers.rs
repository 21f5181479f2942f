//! Members by number: where each is reached, and which of them others should be asked before.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::RwLock;

use super::circuit::{Circuit, USUAL};
use super::pool::Pool;
use crate::base::env::{Deadline, Env};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::NodeNumber;
use crate::wire::{Done, Request, Response};

/// What a request to a member showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sight {
    /// It answered, after requests that had failed.
    Answered,
    /// Nobody listens at its address, or another node.
    Refused,
    /// It did not answer in time, or the connection broke.
    Unanswered,
}

/// Who is told what requests to members show.
pub type Observer = Box<dyn Fn(NodeNumber, Sight, Option<&Error>) + Send + Sync>;

/// The members that this node or client can reach.
pub struct Peers {
    env: Env,
    pool: Arc<Pool>,
    members: RwLock<BTreeMap<NodeNumber, Member>>,
    origin: tokio::time::Instant,
    down: RwLock<BTreeSet<NodeNumber>>,
    observer: Arc<OnceLock<Observer>>,
}

/// One member.
#[derive(Clone, Debug)]
struct Member {
    address: Arc<str>,
    circuit: Arc<Circuit>,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers")
            .field("members", &self.members)
            .field("down", &self.down)
            .finish_non_exhaustive()
    }
}

impl Peers {
    /// Nobody yet.
    #[must_use]
    pub fn new(env: Env, pool: Arc<Pool>) -> Self {
        let origin = env.now();
        Self {
            env,
            pool,
            members: RwLock::default(),
            origin,
            down: RwLock::default(),
            observer: Arc::default(),
        }
    }

    /// Says who is told what requests to members show. Once, before the first request.
    pub fn observe(&self, observer: Observer) {
        // A second observer would be a bug of the node's; the first stays.
        let _first = self.observer.set(observer);
    }

    /// The connections underneath.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Says where a member is reached.
    pub fn locate(&self, node: NodeNumber, address: &str) {
        let known = self.members.read().get(&node).is_some_and(|known| *known.address == *address);
        if !known && !address.is_empty() {
            // Elsewhere it is tried anew, whatever it was like before.
            let member = Member { address: address.into(), circuit: Arc::default() };
            self.members.write().insert(node, member);
        }
    }

    /// Where a member is reached, if that is known.
    #[must_use]
    pub fn address(&self, node: NodeNumber) -> Option<Arc<str>> {
        self.members.read().get(&node).map(|member| Arc::clone(&member.address))
    }

    /// All known addresses.
    #[must_use]
    pub fn addresses(&self) -> Vec<(NodeNumber, Arc<str>)> {
        let members = self.members.read();
        members.iter().map(|(node, member)| (*node, Arc::clone(&member.address))).collect()
    }

    /// Says which members count as down: this node and enough others suspect them.
    pub fn set_down(&self, down: BTreeSet<NodeNumber>) {
        *self.down.write() = down;
    }

    /// Whether a member counts as down. Steers whom requests go to; never who owns what.
    #[must_use]
    pub fn is_down(&self, node: NodeNumber) -> bool {
        self.down.read().contains(&node)
    }

    /// Whether a member can be expected to answer: neither down nor failed lately.
    #[must_use]
    pub fn is_healthy(&self, node: NodeNumber) -> bool {
        !self.is_down(node) && !self.avoided(node)
    }

    /// Whether a member failed lately, or has been silent unusually long, and others should be asked first.
    #[must_use]
    pub fn avoided(&self, node: NodeNumber) -> bool {
        self.members.read().get(&node).is_some_and(|member| member.circuit.is_open(self.nanos()))
    }

    /// How long these members may take to answer before others are asked too: what the slowest of them usually takes.
    #[must_use]
    pub fn hedge(&self, nodes: &[NodeNumber]) -> Duration {
        let members = self.members.read();
        let usual = nodes.iter().filter_map(|node| members.get(node)).map(|member| member.circuit.hedge());
        usual.max().unwrap_or(USUAL)
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.env.now().saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Sends a request to a member; `done` runs once. A member that turns out to be another one is an error.
    pub fn submit(&self, node: NodeNumber, request: Request, deadline: Deadline, done: Done) {
        let Some(Member { address, circuit }) = self.members.read().get(&node).cloned() else {
            return done(Err(Error::new(ErrorKind::Io, format!("the address of n{node} is not known"))));
        };
        let check = move |hello: &crate::wire::Hello| match hello.number {
            Some(number) if number == node => Ok(()),
            Some(number) => Err(refused(format!("at its address n{number} answers"))),
            None => Err(refused("at its address no member answers".to_owned())),
        };
        let (env, origin, began) = (self.env.clone(), self.origin, self.nanos());
        circuit.begin(began);
        // What a control message takes says more of what it asks than of the member.
        let sent = if matches!(request, Request::Control(_)) { None } else { Some(began) };
        let observer = Arc::clone(&self.observer);
        let tell = move |sight, error: Option<&Error>| {
            if let Some(observer) = observer.get() {
                observer(node, sight, error);
            }
        };
        let watch: Done = Box::new(move |result: Result<Response>| {
            let passed = env.now().saturating_duration_since(origin);
            let now = u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX);
            match &result {
                // What this side could not send says nothing of the member.
                Err(error) if matches!(error.kind(), ErrorKind::Overloaded | ErrorKind::InvalidArgument) => {
                    circuit.withdrawn();
                }
                // Nor does an impatient caller's deadline.
                Err(error) if error.kind() == ErrorKind::Timeout && circuit.is_soon(began, now) => {
                    circuit.withdrawn();
                }
                Err(error) => {
                    circuit.failed(now);
                    tell(if error.is_refused() { Sight::Refused } else { Sight::Unanswered }, Some(error));
                }
                Ok(_) if circuit.answered(now, sent) => tell(Sight::Answered, None),
                Ok(_) => {}
            }
            done(result);
        });
        self.pool.submit(&address, request, deadline, check, watch);
    }

    /// Sends a request to a member and waits for the reply.
    ///
    /// # Errors
    /// As `Pool::call`.
    pub async fn call(&self, node: NodeNumber, request: Request, deadline: Deadline) -> Result<Response> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.submit(node, request, deadline, Box::new(move |result| drop(sender.send(result))));
        match deadline.limit(receiver).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => {
                Err(Error::new(ErrorKind::Closed, "the connections were closed").maybe_applied_if(true))
            }
            Err(error) => Err(error.maybe_applied_if(true)),
        }
    }
}

/// Somebody else listens where a member did: the member is not there.
fn refused(reason: String) -> Error {
    let source = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    Error::new(ErrorKind::Io, reason).with_source(source)
}
