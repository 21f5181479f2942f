//! One connection to each address, dialed when first needed and again after it has ended.
//! Requests that arrive while a dial is under way wait for it; a failed dial fails them, with nothing applied.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::base::env::{Deadline, Env};
use crate::base::error::{Error, ErrorKind, Result};
use crate::wire::{Connection, Done, Handler, Hello, Limits, Request, Response, Transport};

/// Makes the hello with which this side introduces itself.
pub type Introduce = Arc<dyn Fn() -> Hello + Send + Sync>;

/// Looks at the hello of whoever was dialed; an error ends the connection.
pub type Check = Arc<dyn Fn(&Hello) -> Result<()> + Send + Sync>;

/// The connections of a node or client.
pub struct Pool {
    env: Env,
    transport: Arc<dyn Transport>,
    introduce: Introduce,
    check: Check,
    handler: Option<Arc<dyn Handler>>,
    limits: Limits,
    connect_timeout: Duration,
    slots: Mutex<BTreeMap<String, Slot>>,
    lost: Arc<Lost>,
}

/// Addresses whose connections have ended since somebody asked.
#[derive(Default)]
struct Lost {
    addresses: Mutex<BTreeSet<String>>,
    added: Notify,
}

#[derive(Default)]
struct Slot {
    open: Option<Arc<Connection>>,
    dialing: bool,
    waiting: Vec<Waiting>,
}

/// What waits for a dial.
type Waiting = Box<dyn FnOnce(Result<&Arc<Connection>>) + Send>;

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("transport", &self.transport).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool without connections. `handler` answers what the other sides ask over them.
    #[must_use]
    pub fn new(
        env: Env,
        transport: Arc<dyn Transport>,
        introduce: Introduce,
        check: Check,
        handler: Option<Arc<dyn Handler>>,
        limits: Limits,
        connect_timeout: Duration,
    ) -> Arc<Self> {
        let slots = Mutex::new(BTreeMap::new());
        let lost = Arc::default();
        Arc::new(Self { env, transport, introduce, check, handler, limits, connect_timeout, slots, lost })
    }

    /// Sends a request to an address; `done` runs once. `check` may refuse the other side by its hello.
    pub fn submit(
        self: &Arc<Self>,
        address: &str,
        request: Request,
        deadline: Deadline,
        check: impl FnOnce(&Hello) -> Result<()> + Send + 'static,
        done: Done,
    ) {
        self.with_connection(address, move |connection| match connection {
            Ok(connection) => match check(connection.hello()) {
                Ok(()) => connection.submit(&request, deadline, done),
                Err(error) => {
                    // It may have become a member since it was dialed: the next request dials anew. One that is another
                    // member stays that, and the connection serves whoever means it.
                    if connection.hello().number.is_none() {
                        connection.close();
                    }
                    done(Err(error));
                }
            },
            Err(error) => done(Err(error)),
        });
    }

    /// Sends a request to an address and waits for the reply.
    ///
    /// # Errors
    /// That of the dial, `Timeout`, `Overloaded`, or `Closed`; `maybe_applied` tells whether it was sent.
    pub async fn call(
        self: &Arc<Self>,
        address: &str,
        request: Request,
        deadline: Deadline,
    ) -> Result<Response> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let done: Done = Box::new(move |result| drop(sender.send(result)));
        self.submit(address, request, deadline, |_| Ok(()), done);
        match deadline.limit(receiver).await? {
            Ok(result) => result,
            Err(_) => {
                Err(Error::new(ErrorKind::Closed, "the connections were closed").maybe_applied_if(true))
            }
        }
    }

    /// Whether there is an open connection to an address.
    #[must_use]
    pub fn is_open(&self, address: &str) -> bool {
        self.slots.lock().get(address).and_then(|slot| slot.open.as_ref()).is_some_and(|open| open.is_open())
    }

    /// Waits until a connection that was dialed has ended, and says to which addresses: once for each.
    pub async fn lost(&self) -> BTreeSet<String> {
        loop {
            let added = self.lost.added.notified();
            let lost = std::mem::take(&mut *self.lost.addresses.lock());
            if !lost.is_empty() {
                return lost;
            }
            added.await;
        }
    }

    /// Closes every connection.
    pub fn close(&self) {
        let slots = std::mem::take(&mut *self.slots.lock());
        for slot in slots.into_values() {
            if let Some(open) = slot.open {
                open.close();
            }
            for waiting in slot.waiting {
                waiting(Err(Error::new(ErrorKind::Closed, "the connections were closed")));
            }
        }
    }

    fn with_connection(
        self: &Arc<Self>,
        address: &str,
        then: impl FnOnce(Result<&Arc<Connection>>) + Send + 'static,
    ) {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get_mut(address) {
            if let Some(open) = slot.open.as_ref().filter(|open| open.is_open()).cloned() {
                drop(slots);
                return then(Ok(&open));
            }
            slot.open = None;
        }
        let slot = slots.entry(address.to_owned()).or_default();
        if slot.waiting.len() >= self.limits.requests_in_flight_max as usize {
            drop(slots);
            let text = format!("too many requests wait for a connection to {address}");
            return then(Err(Error::new(ErrorKind::Overloaded, text)));
        }
        slot.waiting.push(Box::new(then));
        if !std::mem::replace(&mut slot.dialing, true) {
            drop(slots);
            let pool = Arc::clone(self);
            let address = address.to_owned();
            self.env.spawn(async move { pool.dial(address).await });
        }
    }

    /// Notes the end of a connection.
    fn watch(&self, address: String, connection: Arc<Connection>) {
        let lost = Arc::clone(&self.lost);
        self.env.spawn(async move {
            connection.closed().await;
            lost.addresses.lock().insert(address);
            lost.added.notify_one();
        });
    }

    async fn dial(self: Arc<Self>, address: String) {
        let deadline = self.env.deadline(self.connect_timeout);
        let hello = (self.introduce)();
        let dialed = Connection::dial(
            &self.env,
            self.transport.as_ref(),
            &address,
            hello,
            self.handler.clone(),
            self.limits,
            deadline,
        );
        let result = match deadline.limit(dialed).await {
            Ok(result) => result.and_then(|connection| match (self.check)(connection.hello()) {
                Ok(()) => Ok(connection),
                Err(error) => {
                    connection.close();
                    Err(error)
                }
            }),
            Err(_) => Err(Error::new(ErrorKind::Timeout, format!("{address} did not answer in time"))),
        };
        if let Ok(connection) = &result {
            self.watch(address.clone(), Arc::clone(connection));
        }
        // A dial that failed has sent nothing.
        let result = result.map_err(|error| error.maybe_applied_if(false));
        let waiting = {
            let mut slots = self.slots.lock();
            let slot = slots.entry(address).or_default();
            slot.dialing = false;
            slot.open = result.as_ref().ok().cloned();
            std::mem::take(&mut slot.waiting)
        };
        for then in waiting {
            then(result.as_ref().map_err(Clone::clone));
        }
    }
}
