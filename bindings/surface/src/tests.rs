//! What operations and queues promise to the bindings, tried with plain futures.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};
use ringkeep::base::error::{Error, ErrorKind, Result};
use tokio::sync::oneshot;

use crate::op::{Kind, Op, Started, Ticket};
use crate::queue::{Queue, Wake};
use crate::scope::Scope;

/// A queue whose owner can wait until it is woken.
struct Owner {
    queue: Arc<Queue>,
    wakes: Arc<(Mutex<usize>, Condvar)>,
    results: Arc<Mutex<Vec<Result<u32>>>>,
}

impl Owner {
    fn new() -> Self {
        let wakes = Arc::new((Mutex::new(0), Condvar::new()));
        let of_queue = Arc::clone(&wakes);
        let wake = Wake::Callback(Box::new(move || {
            *of_queue.0.lock() += 1;
            of_queue.1.notify_all();
        }));
        Self { queue: Queue::new(wake).unwrap(), wakes, results: Arc::default() }
    }

    fn wait_for_wakes(&self, wanted: usize) {
        let mut wakes = self.wakes.0.lock();
        while *wakes < wanted {
            self.wakes.1.wait(&mut wakes);
        }
    }

    fn keep(&self) -> impl FnOnce(Result<u32>) + Send + 'static {
        let results = Arc::clone(&self.results);
        move |result| results.lock().push(result)
    }

    fn start(&self, op: Op<u32>) -> Ticket {
        match op.start(&self.queue, self.keep()) {
            Started::Pending(ticket) => ticket,
            Started::Ready(result) => panic!("ended at its first poll: {result:?}"),
        }
    }

    fn only_kind(&self) -> ErrorKind {
        let results = self.results.lock();
        assert_eq!(results.len(), 1, "{results:?}");
        results[0].as_ref().unwrap_err().kind()
    }
}

fn waiting(scope: &Arc<Scope>, kind: Kind) -> (oneshot::Sender<u32>, Op<u32>) {
    let (sender, receiver) = oneshot::channel();
    let gone = |_| Error::new(ErrorKind::Internal, "the sender is gone");
    (sender, Op::new(scope, kind, async move { receiver.await.map_err(gone) }))
}

#[test]
fn what_is_ready_at_its_first_poll_touches_no_queue() {
    let (scope, owner) = (Scope::new(0).unwrap(), Owner::new());
    let op = Op::new(&scope, Kind::Read, async { Ok(7) });
    match op.start(&owner.queue, |_| panic!("done is not for what is ready")) {
        Started::Ready(result) => assert_eq!(result.unwrap(), 7),
        Started::Pending(_) => panic!("it was ready"),
    }
    assert_eq!((*owner.wakes.0.lock(), owner.queue.drain(10)), (0, 0));
    assert_eq!(Op::new(&scope, Kind::Read, async { Ok(8) }).wait(|| Ok(())).unwrap(), 8);
}

#[test]
fn what_waits_completes_on_the_thread_that_drains() {
    let (scope, owner) = (Scope::new(0).unwrap(), Owner::new());
    let (sender, op) = waiting(&scope, Kind::Read);
    let this = std::thread::current().id();
    let keep = owner.keep();
    let started = op.start(&owner.queue, move |result| {
        assert_eq!(std::thread::current().id(), this);
        keep(result);
    });
    assert!(matches!(started, Started::Pending(_)));
    sender.send(3).unwrap();
    owner.wait_for_wakes(1);
    assert_eq!(owner.queue.drain(10), 1);
    assert!(matches!(owner.results.lock()[..], [Ok(3)]));
}

#[test]
fn a_queue_wakes_once_until_it_is_drained() {
    let (scope, owner) = (Scope::new(0).unwrap(), Owner::new());
    for number in 0..3 {
        Op::new(&scope, Kind::Read, async move { Ok(number) }).start_queued(&owner.queue, owner.keep());
    }
    assert_eq!(*owner.wakes.0.lock(), 1);
    assert_eq!(owner.queue.drain(2), 2);
    assert_eq!(*owner.wakes.0.lock(), 2, "a drain that leaves completions behind wakes again");
    assert_eq!(owner.queue.drain(2), 1);
    assert_eq!(*owner.wakes.0.lock(), 2);
}

#[test]
fn a_descriptor_is_readable_while_completions_wait() {
    let scope = Scope::new(0).unwrap();
    let queue = Queue::new(Wake::EventFd).unwrap();
    assert!(queue.fd().is_some());
    let readable = || queue.is_raised();
    assert!(!readable());
    for number in 0..2_u32 {
        Op::new(&scope, Kind::Read, async move { Ok(number) }).start_queued(&queue, |_| ());
    }
    assert!(readable());
    queue.drain(1);
    assert!(readable(), "one completion still waits");
    queue.drain(1);
    assert!(!readable());
}

#[test]
fn a_canceled_operation_completes_once_as_canceled() {
    let (scope, owner) = (Scope::new(0).unwrap(), Owner::new());
    let (sender, op) = waiting(&scope, Kind::Write);
    let ticket = owner.start(op);
    ticket.cancel();
    ticket.cancel();
    owner.wait_for_wakes(1);
    owner.queue.drain(10);
    assert_eq!(owner.only_kind(), ErrorKind::Canceled);
    assert!(owner.results.lock()[0].as_ref().unwrap_err().maybe_applied(), "it was a write");
    assert!(sender.is_closed(), "the operation itself is gone");
}

#[test]
fn a_panic_in_an_operation_is_an_internal_error() {
    let (scope, owner) = (Scope::new(0).unwrap(), Owner::new());
    let (sender, receiver) = oneshot::channel::<()>();
    let op = Op::new(&scope, Kind::Read, async move {
        let _started = receiver.await;
        panic!("planted")
    });
    let _ticket = owner.start(op);
    sender.send(()).unwrap();
    owner.wait_for_wakes(1);
    owner.queue.drain(10);
    assert_eq!(owner.only_kind(), ErrorKind::Internal);
}

#[test]
fn dropping_an_operation_cancels_it() {
    let scope = Scope::new(0).unwrap();
    let (sender, op) = waiting(&scope, Kind::Read);
    drop(op);
    assert!(sender.is_closed());
}

#[test]
fn a_wait_is_interrupted_between_slices() {
    let scope = Scope::new(0).unwrap();
    let (sender, op) = waiting(&scope, Kind::Read);
    let mut asked = 0;
    let result = op.wait(|| {
        asked += 1;
        if asked == 2 { Err(Error::new(ErrorKind::Canceled, "interrupted")) } else { Ok(()) }
    });
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Canceled);
    assert!(sender.is_closed());
}

#[test]
fn a_wait_is_woken_by_another_thread() {
    let scope = Scope::new(0).unwrap();
    let (sender, op) = waiting(&scope, Kind::Read);
    std::thread::scope(|threads| {
        threads.spawn(move || sender.send(5).unwrap());
        assert_eq!(op.wait(|| Ok(())).unwrap(), 5);
    });
}

#[test]
fn the_end_of_a_store_completes_what_is_under_way_as_closed() {
    let (scope, owner) = (Scope::new(0).unwrap(), Owner::new());
    let (_sender, op) = waiting(&scope, Kind::Read);
    let _ticket = owner.start(op);
    let (_other, waiter) = waiting(&scope, Kind::Read);
    std::thread::scope(|threads| {
        let waiter = threads.spawn(move || waiter.wait(|| Ok(())).unwrap_err().kind());
        scope.begin_close();
        let refused = Op::new(&scope, Kind::Read, async { Ok(1) }).wait(|| Ok(())).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Closed);
        let ending = Arc::clone(&scope);
        let end = async move {
            ending.end().await;
            Ok(())
        };
        Op::new(&scope, Kind::Life, end).wait(|| Ok(())).unwrap();
        assert_eq!(waiter.join().unwrap(), ErrorKind::Closed);
    });
    assert_eq!(owner.queue.drain(10), 1, "it is in the queue before the close ends");
    assert_eq!(owner.only_kind(), ErrorKind::Closed);
}

#[test]
fn no_completion_runs_after_its_queue_was_closed() {
    let (scope, owner) = (Scope::new(0).unwrap(), Owner::new());
    let (_sender, op) = waiting(&scope, Kind::Read);
    let _ticket = owner.start(op);
    Op::new(&scope, Kind::Read, async { Ok(1) }).start_queued(&owner.queue, owner.keep());
    owner.queue.close();
    owner.queue.flights.wait();
    assert_eq!(owner.queue.drain(10), 0);
    assert!(owner.results.lock().is_empty());
}

#[test]
fn cancel_and_drain_runs_every_completion_on_this_thread() {
    let (scope, owner) = (Scope::new(0).unwrap(), Owner::new());
    let mut senders = Vec::new();
    for _ in 0..20 {
        let (sender, op) = waiting(&scope, Kind::Read);
        senders.push(sender);
        let _ticket = owner.start(op);
    }
    owner.queue.cancel_and_drain();
    let results = owner.results.lock();
    assert_eq!(results.len(), 20);
    assert!(results.iter().all(|result| result.as_ref().unwrap_err().kind() == ErrorKind::Canceled));
}

#[test]
fn the_librarys_thread_runs_completions_until_it_is_ended() {
    let scope = Scope::new(0).unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let this = std::thread::current().id();
    for number in 0..100_u32 {
        let ran = Arc::clone(&ran);
        let queue = scope.delivery().unwrap();
        let op = Op::new(&scope, Kind::Read, async move { Ok(number) });
        op.start_queued(&queue, move |_| {
            assert_ne!(std::thread::current().id(), this);
            ran.fetch_add(1, Ordering::Relaxed);
        });
    }
    scope.end_delivery();
    assert_eq!(ran.load(Ordering::Relaxed), 100);
}
