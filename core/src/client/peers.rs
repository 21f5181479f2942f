//! Members by number: where each is reached, and which of them failed so lately that others are asked first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::RwLock;

use super::pool::Pool;
use crate::base::env::{Deadline, Env};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::NodeNumber;
use crate::wire::{Done, Request, Response};

/// How long a member that could not be reached is asked last. Short: a restarted one is tried again soon.
const AVOID: Duration = Duration::from_millis(500);

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
    addresses: RwLock<BTreeMap<NodeNumber, Arc<str>>>,
    avoided: Arc<RwLock<BTreeMap<NodeNumber, Deadline>>>,
    down: RwLock<BTreeSet<NodeNumber>>,
    observer: Arc<OnceLock<Observer>>,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers")
            .field("addresses", &self.addresses)
            .field("down", &self.down)
            .finish_non_exhaustive()
    }
}

impl Peers {
    /// Nobody yet.
    #[must_use]
    pub fn new(env: Env, pool: Arc<Pool>) -> Self {
        Self {
            env,
            pool,
            addresses: RwLock::default(),
            avoided: Arc::default(),
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
        let known = self.addresses.read().get(&node).is_some_and(|known| **known == *address);
        if !known && !address.is_empty() {
            self.addresses.write().insert(node, address.into());
            self.avoided.write().remove(&node);
        }
    }

    /// Where a member is reached, if that is known.
    #[must_use]
    pub fn address(&self, node: NodeNumber) -> Option<Arc<str>> {
        self.addresses.read().get(&node).cloned()
    }

    /// All known addresses.
    #[must_use]
    pub fn addresses(&self) -> Vec<(NodeNumber, Arc<str>)> {
        self.addresses.read().iter().map(|(node, address)| (*node, Arc::clone(address))).collect()
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

    /// Whether a member failed lately and others should be asked first.
    #[must_use]
    pub fn avoided(&self, node: NodeNumber) -> bool {
        let avoided = self.avoided.read();
        !avoided.is_empty() && avoided.get(&node).is_some_and(|until| !until.passed())
    }

    /// Sends a request to a member; `done` runs once. A member that turns out to be another one is an error.
    pub fn submit(&self, node: NodeNumber, request: Request, deadline: Deadline, done: Done) {
        let Some(address) = self.address(node) else {
            return done(Err(Error::new(ErrorKind::Io, format!("the address of n{node} is not known"))));
        };
        let check = move |hello: &crate::wire::Hello| match hello.number {
            Some(number) if number == node => Ok(()),
            Some(number) => Err(refused(format!("at its address n{number} answers"))),
            None => Err(refused("at its address no member answers".to_owned())),
        };
        let avoided = Arc::clone(&self.avoided);
        let env = self.env.clone();
        let observer = Arc::clone(&self.observer);
        let tell = move |sight, error: Option<&Error>| {
            if let Some(observer) = observer.get() {
                observer(node, sight, error);
            }
        };
        let watch: Done = Box::new(move |result: Result<Response>| {
            if let Err(error) = &result {
                if error.kind() != ErrorKind::Overloaded {
                    avoided.write().insert(node, env.deadline(AVOID));
                    tell(if error.is_refused() { Sight::Refused } else { Sight::Unanswered }, Some(error));
                }
            } else if !avoided.read().is_empty() && avoided.write().remove(&node).is_some() {
                tell(Sight::Answered, None);
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
