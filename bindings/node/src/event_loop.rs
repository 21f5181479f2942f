//! One JavaScript thread: its completion queue, the buffer in which replies cross, and what it has to end with.
//! The queue wakes the thread once for a batch. When the thread ends, operations under way are canceled, no callback
//! follows, and its nodes are closed, so that their directories and ports are free again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use napi::bindgen_prelude::{Buffer, Env, Function};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;
use parking_lot::Mutex;
use ringkeep_surface::{ClusterHandle, Op, Queue, Result, Started, StoreHandle, Ticket, Wake, fork};

use crate::arguments;
use crate::cluster::Cluster;
use crate::guard::guard;
use crate::handles::Handles;
use crate::reply::{self, Reply};
use crate::store::Store;

/// How long a thread that ends waits for each of its nodes to close. What was acknowledged is safe without.
const LAST_CLOSE: Duration = Duration::from_secs(2);

/// What a thread's objects share.
pub(crate) struct Local {
    scratch: RefCell<Buffer>,
    // Kept from reply to reply for its memory.
    encoded: RefCell<Vec<u8>>,
    large: RefCell<Vec<u8>>,
    shared: Arc<Shared>,
}

/// What completions reach from the queue. Only the thread itself locks it while it runs; see `Queue::drain`.
struct Shared {
    queue: Arc<Queue>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    finished: Vec<u8>,
    tickets: BTreeMap<u32, Ticket>,
    handles: Handles,
    // A member does not leave because nobody holds it: nodes stay until they are closed.
    nodes: Vec<StoreHandle>,
}

impl Shared {
    /// Appends a completion: the operation's number, the length of its reply, the reply.
    fn finish<T: Reply>(&self, id: u32, result: Result<T>) {
        let State { finished, tickets, handles, .. } = &mut *self.state.lock();
        tickets.remove(&id);
        finished.extend_from_slice(&id.to_le_bytes());
        reply::framed(finished, |out| reply::write(result, id, handles, out));
    }

    /// The thread ends.
    fn end(&self) {
        self.queue.close();
        let nodes = std::mem::take(&mut self.state.lock().nodes);
        for node in nodes.into_iter().filter(|node| !node.is_closed()) {
            // Nobody is left to hear of a failure.
            let _unheard = node.close(Some(LAST_CLOSE)).wait(|| Ok(()));
        }
    }
}

impl Local {
    /// Starts an operation; `convert` makes the reply of its result. Faults and panics become replies too.
    pub(crate) fn start<T, R>(
        &self,
        id: u32,
        operation: impl FnOnce() -> Result<Op<T>>,
        convert: impl FnOnce(T) -> R + Clone + Send + 'static,
    ) -> i64
    where
        T: Send + 'static,
        R: Reply,
    {
        let shared = Arc::clone(&self.shared);
        let later = convert.clone();
        let done = move |result: Result<T>| shared.finish(id, result.map(later));
        match guard(|| Ok(operation()?.start(&self.shared.queue, done))) {
            Ok(Started::Ready(result)) => self.reply(id, result.map(convert)),
            Ok(Started::Pending(ticket)) => self.pending(id, ticket),
            Err(error) => self.reply::<()>(id, Err(error)),
        }
    }

    /// As `start`, for what begins with the disk: nothing of it is done on this thread.
    pub(crate) fn start_elsewhere<T>(&self, id: u32, operation: impl FnOnce() -> Result<Op<T>>) -> i64
    where
        T: Reply + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let done = move |result: Result<T>| shared.finish(id, result);
        match guard(|| Ok(operation()?.start_elsewhere(&self.shared.queue, done))) {
            Ok(Started::Ready(result)) => self.reply(id, result),
            Ok(Started::Pending(ticket)) => self.pending(id, ticket),
            Err(error) => self.reply::<()>(id, Err(error)),
        }
    }

    fn pending(&self, id: u32, ticket: Ticket) -> i64 {
        self.shared.state.lock().tickets.insert(id, ticket);
        0
    }

    /// Replies with what is known already.
    pub(crate) fn reply<T: Reply>(&self, id: u32, result: Result<T>) -> i64 {
        let mut encoded = self.encoded.borrow_mut();
        encoded.clear();
        reply::write(result, id, &mut self.shared.state.lock().handles, &mut encoded);
        self.pass(&mut encoded)
    }

    /// Puts bytes where JavaScript finds them, and says where that is by the sign of their length.
    fn pass(&self, bytes: &mut Vec<u8>) -> i64 {
        let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        if let Some(place) = self.scratch.borrow_mut().get_mut(..bytes.len()) {
            place.copy_from_slice(bytes);
            return length;
        }
        *self.large.borrow_mut() = std::mem::take(bytes);
        -length
    }

    /// Notes a node that lives until it is closed.
    pub(crate) fn keep(&self, store: &StoreHandle) {
        if store.node_id().is_some() {
            let nodes = &mut self.shared.state.lock().nodes;
            nodes.retain(|node| !node.is_closed());
            nodes.push(store.clone());
        }
    }
}

/// The thread's queue, as `node/lib/operations.js` holds it.
#[napi]
pub struct EventLoop(Rc<Local>);

#[napi]
impl EventLoop {
    /// `wake` is called on the thread when completions wait. It does not keep the process alive.
    #[napi(constructor)]
    pub fn new(env: Env, scratch: Buffer, wake: Function<'_, (), ()>) -> napi::Result<Self> {
        // No JavaScript runs in a child of fork, Node.js only spawns: nothing has to ask the system which process it is.
        fork::watched();
        let wake = wake.build_threadsafe_function::<()>().weak::<true>().callee_handled::<false>().build()?;
        let callback = move || {
            // A thread that is ending has no use for it.
            let _ending = wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        };
        let queue = Queue::new(Wake::Callback(Box::new(callback)))
            .map_err(|error| napi::Error::from_reason(error.to_string()))?;
        let shared = Arc::new(Shared { queue, state: Mutex::default() });
        env.add_env_cleanup_hook(Arc::clone(&shared), |shared| {
            let _panic = guard(|| {
                shared.end();
                Ok(())
            });
        })?;
        Ok(Self(Rc::new(Local {
            scratch: RefCell::new(scratch),
            encoded: RefCell::default(),
            large: RefCell::default(),
            shared,
        })))
    }

    /// Runs at most so many completions and gives their replies, or 0 when there are none.
    #[napi]
    pub fn drain(&self, max: u32) -> i64 {
        let shared = &self.0.shared;
        // What panicked has said so in its reply; the others stand.
        let _panicked = guard(|| Ok(shared.queue.drain(usize::try_from(max).unwrap_or(usize::MAX))));
        let mut finished = std::mem::take(&mut shared.state.lock().finished);
        if finished.is_empty() {
            return 0;
        }
        let length = self.0.pass(&mut finished);
        finished.clear();
        shared.state.lock().finished = finished;
        length
    }

    /// The reply that did not fit into the shared buffer.
    #[napi]
    pub fn take_large(&self) -> Buffer {
        Buffer::from(std::mem::take(&mut *self.0.large.borrow_mut()))
    }

    /// Asks an operation to end; its completion says whether it did.
    #[napi]
    pub fn cancel(&self, id: u32) {
        if let Some(ticket) = self.0.shared.state.lock().tickets.get(&id) {
            ticket.cancel();
        }
    }

    /// Opens a node.
    #[napi]
    pub fn open(&self, id: u32, path: Option<String>, json: String, toml: Option<String>) -> i64 {
        let open = || Ok(StoreHandle::open(arguments::settings(path.as_deref(), &json, toml.as_deref())?));
        self.0.start_elsewhere(id, open)
    }

    /// Connects a client.
    #[napi]
    pub fn connect(&self, id: u32, uris: Vec<String>, json: Option<String>) -> i64 {
        let connect = || Ok(StoreHandle::connect(&uris, arguments::connect(json.as_deref())?));
        self.0.start_elsewhere(id, connect)
    }

    /// Starts a cluster in this process.
    #[napi]
    pub fn start_cluster(&self, id: u32, size: u32, n: u32, path: Option<String>) -> i64 {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        self.0.start_elsewhere(id, || Ok(ClusterHandle::start(size, n, path.as_deref())))
    }

    /// The store that an operation has opened.
    #[napi]
    pub fn take_store(&self, id: u32) -> Option<Store> {
        let store = self.0.shared.state.lock().handles.stores.remove(&id)?;
        self.0.keep(&store);
        Some(Store::new(Rc::clone(&self.0), store))
    }

    /// The cluster that an operation has started.
    #[napi]
    pub fn take_cluster(&self, id: u32) -> Option<Cluster> {
        let cluster = self.0.shared.state.lock().handles.clusters.remove(&id)?;
        Some(Cluster::new(Rc::clone(&self.0), cluster))
    }
}
