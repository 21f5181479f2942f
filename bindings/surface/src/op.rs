//! One operation: a future that is polled once on the caller's thread, because what is local ends there.
//! What does not end is waited for (`wait`), or goes on on the runtime and completes through a queue (`start`).
//! Dropping an operation cancels it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ringkeep::base::env::BoxFuture;
use ringkeep::base::error::{Error, ErrorKind, Result};

use crate::flights::Flights;
use crate::park::Parker;
use crate::queue::Queue;
use crate::scope::Scope;
use crate::{fork, runtime};

/// What an operation may do, as far as ending it early matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Changes nothing.
    Read,
    /// May have been applied although it was canceled.
    Write,
    /// Opening and closing: not itself ended by a close.
    Life,
}

/// An operation that has not been started yet.
#[must_use = "an operation that is dropped does nothing"]
pub struct Op<T>(Body<T>);

enum Body<T> {
    Ended(Result<T>),
    Open(Open<T>),
}

struct Open<T> {
    // Present until the future moves on, or is leaked in a child of fork.
    future: Option<BoxFuture<'static, Result<T>>>,
    scope: Arc<Scope>,
    kind: Kind,
}

impl<T> fmt::Debug for Op<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Op(…)")
    }
}

/// What `start` gives.
#[derive(Debug)]
pub enum Started<T> {
    /// It ended at its first poll; the queue was not touched and `done` was dropped.
    Ready(Result<T>),
    /// It goes on; `done` will run when the queue is drained.
    Pending(Ticket),
}

/// An operation under way. Dropping it changes nothing.
#[derive(Clone, Debug)]
pub struct Ticket(Option<(u32, tokio::task::AbortHandle)>);

impl Ticket {
    /// Asks the operation to end. Its completion still runs, once, with `Canceled` or with the result if that was sooner.
    pub fn cancel(&self) {
        if let Some((pid, abort)) = &self.0
            && *pid == fork::pid()
        {
            abort.abort();
        }
    }
}

impl<T: Send + 'static> Op<T> {
    /// An operation that has ended already.
    pub fn ready(result: Result<T>) -> Self {
        Self(Body::Ended(result))
    }

    pub(crate) fn new(
        scope: &Arc<Scope>,
        kind: Kind,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Self {
        Self::boxed(scope, kind, Box::pin(future))
    }

    pub(crate) fn boxed(scope: &Arc<Scope>, kind: Kind, future: BoxFuture<'static, Result<T>>) -> Self {
        let allowed = if kind == Kind::Life { scope.check_process() } else { scope.check() };
        match allowed {
            Ok(()) => Self(Body::Open(Open { future: Some(future), scope: Arc::clone(scope), kind })),
            Err(error) => {
                leak_if_forked(scope, future);
                Self::ready(Err(error))
            }
        }
    }

    /// Runs the operation on this thread: in the runtime's context, but without a hop to it.
    /// While it waits, `interrupted` is asked at least every 50 ms; its error ends the operation and is given.
    ///
    /// # Errors
    /// The operation's, `Closed` when the store is closed meanwhile, `Forked`, or what `interrupted` gave.
    pub fn wait(self, mut interrupted: impl FnMut() -> Result<()>) -> Result<T> {
        let mut open = match self.0 {
            Body::Ended(result) => return result,
            Body::Open(open) => open,
        };
        open.check()?;
        let scope = Arc::clone(&open.scope);
        let _inside = scope.handle().enter();
        Parker::of_this_thread(|parker, waker| {
            let mut context = Context::from_waker(waker);
            loop {
                if let Poll::Ready(result) = open.poll(&mut context) {
                    return result;
                }
                if !parker.park() {
                    interrupted()?;
                    open.check_life()?;
                }
            }
        })
    }

    /// Polls the operation once on this thread and gives it back if it does not end there. For callers that hold an
    /// interpreter's lock: what is local ends here, and for the rest they let the lock go before they `wait`.
    ///
    /// # Errors
    /// The operation itself, to be waited for or started.
    pub fn now(self) -> Result<Result<T>, Self> {
        let mut open = match self.0 {
            Body::Ended(result) => return Ok(result),
            Body::Open(open) => open,
        };
        if let Err(error) = open.check() {
            return Ok(Err(error));
        }
        match open.poll_unwatched() {
            Poll::Ready(result) => Ok(result),
            Poll::Pending => Err(Self(Body::Open(open))),
        }
    }

    /// Polls the operation once on this thread; what is left of it goes on on the runtime, and `done` runs on the
    /// thread that drains the queue. It runs exactly once, unless the queue is closed first.
    pub fn start(self, queue: &Arc<Queue>, done: impl FnOnce(Result<T>) + Send + 'static) -> Started<T> {
        let mut open = match self.0 {
            Body::Ended(result) => return Started::Ready(result),
            Body::Open(open) => open,
        };
        match open.first_poll(queue) {
            Poll::Ready(result) => Started::Ready(result),
            Poll::Pending => match open.spawn(queue, done) {
                Ok(ticket) => Started::Pending(ticket),
                Err((error, _)) => Started::Ready(Err(error)),
            },
        }
    }

    /// As `start`, but the first poll is the runtime's too: for an event loop's thread and operations that begin with the
    /// disk, as opening and closing do.
    pub fn start_elsewhere(
        self,
        queue: &Arc<Queue>,
        done: impl FnOnce(Result<T>) + Send + 'static,
    ) -> Started<T> {
        let open = match self.0 {
            Body::Ended(result) => return Started::Ready(result),
            Body::Open(open) => open,
        };
        if let Err(error) = open.check() {
            return Started::Ready(Err(error));
        }
        match open.spawn(queue, done) {
            Ok(ticket) => Started::Pending(ticket),
            Err((error, _)) => Started::Ready(Err(error)),
        }
    }

    /// As `start`, but the completion goes through the queue in any case: for callers who want one way only.
    pub fn start_queued(self, queue: &Arc<Queue>, done: impl FnOnce(Result<T>) + Send + 'static) -> Ticket {
        self.queued(queue, done).unwrap_or_else(|(error, done)| {
            queue.push(Box::new(move || done(Err(error))));
            Ticket(None)
        })
    }

    /// As `start_queued`, but what cannot be started is refused here: what was started has completed before a close of
    /// the store ends.
    ///
    /// # Errors
    /// `Closed`, `Forked`, and whatever kept the operation from being made: nothing was started, `done` was dropped.
    pub fn try_start_queued(
        self,
        queue: &Arc<Queue>,
        done: impl FnOnce(Result<T>) + Send + 'static,
    ) -> Result<Ticket> {
        self.queued(queue, done).map_err(|(error, _)| error)
    }

    fn queued<F: FnOnce(Result<T>) + Send + 'static>(
        self,
        queue: &Arc<Queue>,
        done: F,
    ) -> Result<Ticket, (Error, F)> {
        let mut open = match self.0 {
            Body::Ended(Err(error)) => return Err((error, done)),
            Body::Ended(result) => {
                queue.push(Box::new(move || done(result)));
                return Ok(Ticket(None));
            }
            Body::Open(open) => open,
        };
        // Reserved before the check: a close that this misses has not ended, and sees the reservation.
        let scope = Arc::clone(&open.scope);
        let _place = (open.kind != Kind::Life).then(|| Place::take(&scope.flights));
        if let Err(error) = open.check() {
            return Err((error, done));
        }
        match open.first_poll(queue) {
            Poll::Ready(result) => {
                queue.push(Box::new(move || done(result)));
                Ok(Ticket(None))
            }
            Poll::Pending => open.spawn(queue, done),
        }
    }
}

impl<T: Send + 'static> Op<T> {
    /// The future within, for an operation that is part of another.
    pub(crate) fn into_future(self) -> BoxFuture<'static, Result<T>> {
        match self.0 {
            Body::Ended(result) => Box::pin(std::future::ready(result)),
            Body::Open(mut open) => match open.future.take() {
                Some(future) => future,
                None => Box::pin(std::future::pending()),
            },
        }
    }
}

impl<T> Open<T> {
    fn check(&self) -> Result<()> {
        if self.kind == Kind::Life { self.scope.check_process() } else { self.scope.check() }
    }

    /// Fails once a close that began during the operation is through.
    fn check_life(&self) -> Result<()> {
        if self.kind != Kind::Life && self.scope.has_ended() {
            return Err(runtime::closed().maybe_applied_if(self.kind == Kind::Write));
        }
        Ok(())
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<T>> {
        match &mut self.future {
            Some(future) => future.as_mut().poll(context),
            None => Poll::Ready(Err(Error::new(ErrorKind::Internal, "the operation has no future"))),
        }
    }

    fn first_poll(&mut self, queue: &Queue) -> Poll<Result<T>> {
        if let Err(error) = self.check() {
            return Poll::Ready(Err(error));
        }
        if queue.is_forked() {
            return Poll::Ready(Err(runtime::forked()));
        }
        self.poll_unwatched()
    }

    /// A poll that nothing wakes: whoever goes on polls again at once, so nothing that happens in between is missed.
    fn poll_unwatched(&mut self) -> Poll<Result<T>> {
        let scope = Arc::clone(&self.scope);
        let _inside = scope.handle().enter();
        self.poll(&mut Context::from_waker(Waker::noop()))
    }
}

impl<T: Send + 'static> Open<T> {
    fn spawn<F: FnOnce(Result<T>) + Send + 'static>(
        mut self,
        queue: &Arc<Queue>,
        done: F,
    ) -> Result<Ticket, (Error, F)> {
        // Reserved before the checks: a close that this misses has not ended, and sees the reservation.
        let scope = Arc::clone(&self.scope);
        let _in_queue = Place::take(&queue.flights);
        let _in_scope = (self.kind != Kind::Life).then(|| Place::take(&scope.flights));
        if queue.is_closed() {
            return Err((Error::new(ErrorKind::Closed, "the completion queue was closed"), done));
        }
        if let Err(error) = self.check_life() {
            return Err((error, done));
        }
        let Some(future) = self.future.take() else { return Ok(Ticket(None)) };
        let completion = Completion {
            done: Some(done),
            kind: self.kind,
            in_queue: queue.flights.begin(),
            in_scope: (self.kind != Kind::Life).then(|| self.scope.flights.begin()),
            queue: Arc::clone(queue),
            scope: Arc::clone(&self.scope),
            result: std::marker::PhantomData,
        };
        let (in_queue, in_scope) = (completion.in_queue, completion.in_scope);
        let task = self.scope.handle().spawn(async move {
            // Declared first, so dropped last: the operation's own parts are gone when its completion is queued.
            let completion = completion;
            let result = future.await;
            completion.finish(result);
        });
        let abort = task.abort_handle();
        queue.flights.took_off(in_queue, abort.clone());
        if let Some(in_scope) = in_scope {
            self.scope.flights.took_off(in_scope, abort.clone());
        }
        // A close meanwhile has canceled what it knew of, which this was not.
        if queue.is_closed() || self.check_life().is_err() {
            abort.abort();
        }
        Ok(Ticket(Some((fork::pid(), abort))))
    }
}

/// A reservation among operations under way, for the time of a start.
struct Place<'a>(&'a Flights, u64);

impl<'a> Place<'a> {
    fn take(flights: &'a Flights) -> Self {
        Self(flights, flights.begin())
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.land(self.1);
    }
}

impl<T> Drop for Open<T> {
    fn drop(&mut self) {
        if let Some(future) = self.future.take() {
            leak_if_forked(&self.scope, future);
        }
    }
}

/// Drops a part of a store, except in a child of fork: there its locks may be held by threads that do not exist.
pub(crate) fn leak_if_forked<P>(scope: &Scope, part: P) {
    if scope.is_forked() {
        std::mem::forget(part);
    }
}

/// Sees to it that `done` is queued once, whatever becomes of the task: its end, a cancel, a panic.
struct Completion<T: Send + 'static, F: FnOnce(Result<T>) + Send + 'static> {
    done: Option<F>,
    kind: Kind,
    in_queue: u64,
    in_scope: Option<u64>,
    queue: Arc<Queue>,
    scope: Arc<Scope>,
    result: std::marker::PhantomData<fn(T)>,
}

impl<T: Send + 'static, F: FnOnce(Result<T>) + Send + 'static> Completion<T, F> {
    fn finish(mut self, result: Result<T>) {
        self.complete(result);
    }

    fn complete(&mut self, result: Result<T>) {
        let Some(done) = self.done.take() else { return };
        self.queue.push(Box::new(move || done(result)));
        self.queue.flights.land(self.in_queue);
        if let Some(in_scope) = self.in_scope {
            self.scope.flights.land(in_scope);
        }
    }

    fn reason(&self) -> Error {
        if std::thread::panicking() {
            Error::new(ErrorKind::Internal, "the operation panicked")
        } else if self.scope.has_ended() {
            runtime::closed()
        } else {
            Error::new(ErrorKind::Canceled, "the operation was canceled")
        }
    }
}

impl<T: Send + 'static, F: FnOnce(Result<T>) + Send + 'static> Drop for Completion<T, F> {
    fn drop(&mut self) {
        if self.done.is_some() {
            let error = self.reason().maybe_applied_if(self.kind == Kind::Write);
            self.complete(Err(error));
        }
    }
}
