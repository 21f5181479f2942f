//! A connection: requests in both directions over one duplex, many in flight, matched to their replies by id.
//! A callback runs exactly once: on the reply, at the deadline, or when the connection ends. An error says that the
//! request may have been applied unless it was never handed to the sender.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::frame::{Frame, Kind, Outgoing};
use super::hello::{Hello, VERSION_NONE};
use super::limits::Limits;
use super::message::EMPTY;
pub use super::pending::Done;
use super::pending::{Inserted, Pending};
use super::request::Request;
use super::response::Response;
use super::transport::{Duplex, FrameReceiver, FrameSender, Transport};
use crate::base::env::{BoxFuture, Deadline, Env};
use crate::base::error::{Error, ErrorKind, Result};

/// Least time between two looks for passed deadlines: thousands that pass in one millisecond cost one look.
const SWEEP_INTERVAL: Duration = Duration::from_millis(2);

/// A scratch buffer that has grown past this is not kept.
const SCRATCH_BYTES_MAX: usize = 64 << 10;

/// Answers requests; the floor above implements it.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Polled once where it arrived, and moved to a task of its own if it has to wait.
    fn handle(&self, peer: &Arc<Connection>, request: Request) -> BoxFuture<'static, Response>;

    /// Looks at the hello of a side that dialed: our hello, or why it is turned away.
    ///
    /// # Errors
    /// The reason, which is sent to the other side.
    fn greet(&self, theirs: &Hello) -> Result<Hello>;
}

/// One end of a connection. It is open until either side closes it, a bad frame arrives, or the environment stops.
pub struct Connection {
    env: Env,
    limits: Limits,
    remote: String,
    version: u8,
    theirs: Hello,
    sender: Arc<dyn FrameSender>,
    handler: Option<Arc<dyn Handler>>,
    pending: Mutex<Pending>,
    /// Wakes the sweeper for a deadline earlier than it expects.
    sweep: Notify,
    open: AtomicBool,
    closing: CancellationToken,
    /// Why the connection ended.
    reason: Mutex<Option<Error>>,
    /// Requests of the other side that are being answered.
    answering: AtomicU32,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("remote", &self.remote)
            .field("open", &self.is_open())
            .field("waiting", &self.pending.lock().len())
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects and exchanges hellos. Whether the other side is the right one is for the caller to see from `hello()`.
    /// The connection stays open until it is closed, even if nobody holds it.
    ///
    /// # Errors
    /// `Timeout` at the deadline, `Io` if nobody listens, `VersionMismatch`, and the other side's reason if it refuses.
    pub async fn dial(
        env: &Env,
        transport: &dyn Transport,
        address: &str,
        hello: Hello,
        handler: Option<Arc<dyn Handler>>,
        limits: Limits,
        deadline: Deadline,
    ) -> Result<Arc<Self>> {
        let dialed = deadline.limit(async {
            let mut duplex = transport.dial(address).await?;
            let (theirs, version) = introduce(&mut duplex, &hello).await?;
            Ok::<_, Error>((duplex, theirs, version))
        });
        let (duplex, theirs, version) = match dialed.await {
            Ok(dialed) => dialed?,
            Err(_) => return Err(Error::new(ErrorKind::Timeout, format!("dialing {address} took too long"))),
        };
        Ok(Self::start(env, duplex, theirs, version, handler, limits))
    }

    /// Starts the tasks of a connection whose hellos are exchanged.
    pub(super) fn start(
        env: &Env,
        duplex: Duplex,
        theirs: Hello,
        version: u8,
        handler: Option<Arc<dyn Handler>>,
        limits: Limits,
    ) -> Arc<Self> {
        let connection = Arc::new(Self {
            env: env.clone(),
            limits,
            remote: duplex.remote,
            version,
            theirs,
            sender: duplex.sender,
            handler,
            pending: Mutex::default(),
            sweep: Notify::new(),
            open: AtomicBool::new(true),
            closing: CancellationToken::new(),
            reason: Mutex::new(None),
            answering: AtomicU32::new(0),
        });
        let end = EndOnDrop(Arc::clone(&connection));
        env.spawn(async move { end.0.read(duplex.receiver).await });
        let end = EndOnDrop(Arc::clone(&connection));
        env.spawn(async move { end.0.sweep_deadlines().await });
        connection
    }

    /// Sends a request. `done` runs once: with the reply, at the deadline, or when the connection ends. From any thread.
    pub fn submit(&self, request: &Request, deadline: Deadline, done: Done) {
        let requests_max = self.limits.requests_in_flight_max;
        let inserted = self.pending.lock().insert(deadline, done, requests_max);
        let (id, wake) = match inserted {
            Inserted::Waiting { id, wake } => (id, wake),
            Inserted::Full(done) => {
                let text = format!("{requests_max} requests are under way to {}", self.remote);
                return done(Err(Error::new(ErrorKind::Overloaded, text)));
            }
            Inserted::Closed(done) => return done(Err(self.ended())),
        };
        if wake {
            self.sweep.notify_one();
        }
        let sent = with_scratch(|head| {
            let tail = request.encode(head);
            self.send(request.kind(), id, head, tail)
        });
        if let Err(error) = sent {
            // The end of the connection may have taken it in between; then its callback has run.
            let done = self.pending.lock().take(id);
            let ended = error.kind() == ErrorKind::Closed;
            if let Some(done) = done {
                done(Err(error));
            }
            // The sender knew before the reader: whoever pools connections must not take this one again.
            if ended {
                self.end(None);
            }
        }
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// `Timeout`, `Overloaded`, or `Closed`; an answered failure is a `Response::Failed`.
    pub async fn call(&self, request: &Request, deadline: Deadline) -> Result<Response> {
        let (sender, receiver) = oneshot::channel();
        self.submit(
            request,
            deadline,
            Box::new(move |result| {
                // The caller may have gone.
                let _unsent = sender.send(result);
            }),
        );
        receiver.await.unwrap_or_else(|_| Err(self.ended().maybe_applied_if(true)))
    }

    /// How the other side introduced itself.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.theirs
    }

    /// The other end, for messages.
    #[must_use]
    pub fn remote(&self) -> &str {
        &self.remote
    }

    /// The version that both ends agreed on.
    #[must_use]
    pub fn version(&self) -> u8 {
        self.version
    }

    /// Requests that wait for a reply.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.pending.lock().len()
    }

    /// Whether requests are taken.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Waits until the connection has ended.
    pub async fn closed(&self) {
        self.closing.cancelled().await;
    }

    /// Ends the connection: what is queued is still sent, what waits fails.
    pub fn close(&self) {
        self.end(None);
    }

    /// Ends the connection for this reason; the first one stays.
    fn end(&self, reason: Option<Error>) {
        if let Some(reason) = reason {
            self.reason.lock().get_or_insert(reason);
        }
        self.open.store(false, Ordering::Release);
        let waiting = self.pending.lock().close();
        self.closing.cancel();
        self.sender.close();
        for done in waiting {
            done(Err(self.ended().maybe_applied_if(true)));
        }
    }

    /// The error of a request on a connection that has ended.
    fn ended(&self) -> Error {
        let text = match &*self.reason.lock() {
            None => format!("the connection to {} is closed", self.remote),
            Some(reason) => format!("the connection to {} is closed: {}", self.remote, reason.message()),
        };
        Error::new(ErrorKind::Closed, text)
    }

    fn send(&self, kind: Kind, id: u64, head: &[u8], tail: &Bytes) -> Result<()> {
        let frame = Outgoing { version: self.version, kind, id, head, tail };
        let (bytes, most) = (frame.byte_len(), self.limits.frame_bytes_max);
        if u32::try_from(bytes).is_ok_and(|bytes| bytes <= most) {
            return self.sender.send(frame);
        }
        Err(Error::invalid(format!("a message of {bytes} bytes exceeds the frame limit of {most}")))
    }

    async fn read(self: &Arc<Self>, mut receiver: Box<dyn FrameReceiver>) {
        let mut frames = Vec::new();
        let mut closing = std::pin::pin!(self.closing.cancelled());
        loop {
            let received = tokio::select! {
                biased;
                received = receiver.receive(&mut frames) => received,
                () = &mut closing => return,
            };
            // Whole frames before a bad one count; then it ends.
            for frame in frames.drain(..) {
                if !self.is_open() {
                    return;
                }
                if let Err(error) = self.take_frame(frame) {
                    return self.end(Some(error));
                }
            }
            match received {
                Ok(true) => {}
                Ok(false) => return self.end(None),
                Err(error) => return self.end(Some(error)),
            }
        }
    }

    fn take_frame(self: &Arc<Self>, frame: Frame) -> Result<()> {
        if frame.version != self.version {
            let (found, agreed) = (frame.version, self.version);
            return Err(Error::corrupt(format!("frame of version {found} where {agreed} was agreed")));
        }
        if !frame.kind.is_response() {
            let request = Request::decode(frame.kind, frame.body)?;
            self.answer(frame.id, request);
            return Ok(());
        }
        // A reply may come after its request's deadline; then nobody waits for it.
        let done = self.pending.lock().take(frame.id);
        let Some(done) = done else { return Ok(()) };
        match Response::decode(frame.kind, frame.body) {
            Ok(response) => {
                done(Ok(response));
                Ok(())
            }
            Err(error) => {
                done(Err(error.clone().maybe_applied_if(true)));
                Err(error)
            }
        }
    }

    fn answer(self: &Arc<Self>, id: u64, request: Request) {
        let Some(handler) = &self.handler else {
            return self.reply(id, &Response::Failed(Error::invalid("this side answers no requests")));
        };
        let requests_max = self.limits.requests_in_flight_max;
        let mut answer = Answer { connection: Arc::clone(self), id, given: false };
        if self.answering.fetch_add(1, Ordering::Relaxed) >= requests_max {
            let text = format!("{requests_max} requests of this connection are under way");
            return answer.give(&Response::Failed(Error::new(ErrorKind::Overloaded, text)));
        }
        let mut response = handler.handle(self, request);
        // Whatever this poll registers is polled again by the task below, so that no wake-up is lost.
        match response.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(response) => answer.give(&response),
            Poll::Pending => self.env.spawn(async move { answer.give(&response.await) }),
        }
    }

    fn reply(&self, id: u64, response: &Response) {
        let sent = with_scratch(|head| {
            let tail = response.encode(head);
            self.send(response.kind(), id, head, tail)
        });
        let Err(error) = sent else { return };
        if error.kind() == ErrorKind::Closed {
            return self.end(Some(error));
        }
        // Too long, or behind too much: say so in a few bytes. A peer that does not even take those is cut off.
        let failed = Response::Failed(error.maybe_applied_if(true));
        let sent = with_scratch(|head| {
            let tail = failed.encode(head);
            self.send(failed.kind(), id, head, tail)
        });
        if let Err(error) = sent {
            self.end(Some(error));
        }
    }

    async fn sweep_deadlines(&self) {
        let mut closing = std::pin::pin!(self.closing.cancelled());
        loop {
            let (expired, next) = self.pending.lock().expire(self.env.deadline(Duration::ZERO));
            for done in expired {
                let text = format!("{} did not answer in time", self.remote);
                done(Err(Error::new(ErrorKind::Timeout, text).maybe_applied_if(true)));
            }
            let wait = async {
                match next {
                    Some(next) => self.env.sleep(next.remaining().max(SWEEP_INTERVAL)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = &mut closing => return,
                () = self.sweep.notified() => {}
                () = wait => {}
            }
        }
    }
}

/// Ends the connection when one of its tasks ends, by whatever way: return, panic, or the environment's stop.
struct EndOnDrop(Arc<Connection>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end(None);
    }
}

/// The duty to answer one request; dropped without an answer, it answers that the request failed.
struct Answer {
    connection: Arc<Connection>,
    id: u64,
    given: bool,
}

impl Answer {
    fn give(&mut self, response: &Response) {
        self.given = true;
        self.connection.reply(self.id, response);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.connection.answering.fetch_sub(1, Ordering::Relaxed);
        if !self.given && self.connection.is_open() {
            let error = Error::new(ErrorKind::Internal, "the request was dropped").maybe_applied_if(true);
            self.connection.reply(self.id, &Response::Failed(error));
        }
    }
}

/// The dialing side's hello: say who we are, hear who they are.
async fn introduce(duplex: &mut Duplex, hello: &Hello) -> Result<(Hello, u8)> {
    send_hello(&*duplex.sender, hello)?;
    let frame = duplex.receiver.receive_hello().await?.ok_or_else(|| {
        Error::new(ErrorKind::Closed, format!("{} closed the connection before its hello", duplex.remote))
    })?;
    match frame.kind {
        Kind::Hello => {
            let theirs = Hello::decode(frame.body)?;
            let version = hello.versions.agree(theirs.versions)?;
            Ok((theirs, version))
        }
        Kind::Failed => {
            Response::decode(frame.kind, frame.body)?.into_result()?;
            Err(Error::corrupt("a failure without an error"))
        }
        other => Err(Error::corrupt(format!("{other:?} where a hello was due"))),
    }
}

pub(super) fn send_hello(sender: &dyn FrameSender, hello: &Hello) -> Result<()> {
    let mut head = Vec::new();
    hello.encode(&mut head);
    sender.send(Outgoing { version: VERSION_NONE, kind: Kind::Hello, id: 0, head: &head, tail: &EMPTY })
}

thread_local! {
    /// Where messages are encoded before the sender takes them; spares an allocation for each.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

fn with_scratch<T>(encode: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let mut scratch = SCRATCH.take();
    scratch.clear();
    let result = encode(&mut scratch);
    if scratch.capacity() <= SCRATCH_BYTES_MAX {
        SCRATCH.set(scratch);
    }
    result
}
