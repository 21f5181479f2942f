//! The world of one run: a runtime with a paused clock, the machines, and the book in which everything is written down.

use std::sync::Arc;

use ringkeep::Result;
use ringkeep::base::Env;
use ringkeep::base::env::SystemClock;
use ringkeep::ring::{BucketSpec, Replicas, Resolver};

use crate::client::Recorder;
use crate::clock::{SkewedClock, Stopwatch};
use crate::cluster::{Cluster, Plan};
use crate::history::Space;

/// Everything that a run happens in.
#[derive(Debug)]
pub struct World {
    /// What decides it.
    pub plan: Plan,
    /// The environment of the simulation itself: clients run in it, and faults.
    pub env: Env,
    /// Since the beginning.
    pub stopwatch: Stopwatch,
    /// The machines.
    pub cluster: Cluster,
    /// The book.
    pub recorder: Recorder,
}

impl World {
    /// Runs something in a new world, on this thread, as fast as it goes.
    pub fn run<T>(plan: Plan, body: impl AsyncFnOnce(Self) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without a network driver needs nothing from the system");
        let handle = runtime.handle().clone();
        runtime.block_on(async {
            // The stopwatch needs an environment to tell the time by, and the environment's clock needs the stopwatch.
            let first = Env::new(handle.clone(), Arc::new(SystemClock), plan.seed, String::new());
            let stopwatch = Stopwatch::start(&first);
            let clock = Arc::new(SkewedClock::new(stopwatch.clone()));
            let env = Env::new(handle, clock, plan.seed, String::new());
            let cluster = Cluster::new(plan, &env, &stopwatch);
            let recorder = Recorder::new(stopwatch.clone());
            let ended = (env.clone(), cluster.clone());
            let result = body(Self { plan, env, stopwatch, cluster, recorder }).await;
            ended.1.end_all();
            ended.0.stop();
            result
        })
    }

    /// Starts the machines, and makes the buckets before anybody writes.
    ///
    /// # Errors
    /// What opening, joining or making a bucket reports.
    pub async fn found(&self) -> Result<()> {
        self.cluster.start_all().await?;
        for space in Space::ALL {
            let resolver = if space == Space::Registers { Resolver::Lww } else { Resolver::Siblings };
            let sloppy = space == Space::Sloppy;
            let spec = BucketSpec { resolver, sloppy, ..BucketSpec::named(space.name(), Replicas::Count(3)) };
            if let Some(first) = self.cluster.live(0) {
                first.node.create_bucket(spec).await?;
            }
        }
        Ok(())
    }
}
