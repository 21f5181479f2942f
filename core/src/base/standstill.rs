//! A process that stands still, as after SIGSTOP: none of its tasks is polled, while its connections stay open, what is
//! sent to it waits in them, and time goes on. Once it continues, all that became due meanwhile is due at once.
//! True to SIGSTOP at every await; between two awaits a task cannot be stopped, as one thread's simulation has no such moment.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// Whether a process stands still. Clones are the same process.
#[derive(Clone, Default, Debug)]
pub struct Standstill(Arc<Mutex<State>>);

#[derive(Default, Debug)]
struct State {
    still: bool,
    /// Who was to be polled meanwhile, in that order.
    held: Vec<Waker>,
}

impl Standstill {
    /// From now on nothing that is held is polled.
    pub fn begin(&self) {
        self.0.lock().still = true;
    }

    /// Continues.
    pub fn end(&self) {
        let held = {
            let mut state = self.0.lock();
            state.still = false;
            std::mem::take(&mut state.held)
        };
        held.into_iter().for_each(Waker::wake);
    }

    /// Whether it stands still.
    #[must_use]
    pub fn is_still(&self) -> bool {
        self.0.lock().still
    }

    /// A future of the process: it is not polled while that stands still.
    pub fn hold<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        Held { standstill: self.clone(), future: Box::pin(future) }
    }

    fn let_pass(&self, waker: &Waker) -> bool {
        let mut state = self.0.lock();
        if state.still && !state.held.iter().any(|held| held.will_wake(waker)) {
            state.held.push(waker.clone());
        }
        !state.still
    }
}

struct Held<F> {
    standstill: Standstill,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Held<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if !self.standstill.let_pass(context.waker()) {
            return Poll::Pending;
        }
        self.future.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::Standstill;
    use crate::base::Env;
    use crate::base::env::SystemClock;

    #[tokio::test(start_paused = true)]
    async fn tasks_stand_still_while_time_goes_on_and_all_that_was_due_comes_after() {
        let standstill = Standstill::default();
        let env = Env::new(tokio::runtime::Handle::current(), Arc::new(SystemClock), 1, String::new())
            .with_standstill(standstill.clone());
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        for seconds in [1, 2] {
            let (env, sender) = (env.clone(), sender.clone());
            env.clone().spawn(async move {
                env.sleep(Duration::from_secs(seconds)).await;
                sender.send((seconds, env.now())).unwrap();
            });
        }
        let began = env.now();
        // Both tasks have begun to sleep when the process stops.
        env.sleep(Duration::from_millis(500)).await;
        standstill.begin();
        env.sleep(Duration::from_millis(9_500)).await;
        assert!(receiver.try_recv().is_err());
        standstill.end();
        for seconds in [1, 2] {
            let (which, when) = receiver.recv().await.unwrap();
            assert_eq!((which, when - began), (seconds, Duration::from_secs(10)));
        }
    }
}
