//! One run: a cluster is founded, clients work while faults happen, everything heals, and what is left is judged.

use std::collections::BTreeMap;
use std::time::Duration;

use ringkeep::base::settings::Durability;
use ringkeep::base::{BucketId, NodeNumber};
use ringkeep::storage::Engine;
use ringkeep::storage::key::{DATA, split_data_key};
use ringkeep::{Result, ring};

use crate::checkers::convergence::{Holding, owners_agree};
use crate::checkers::{Violation, check};
use crate::client::{Client, Recorder};
use crate::clock::Stopwatch;
use crate::cluster::{Cluster, PARTITIONS, Plan};
use crate::faults::{Extent, Fault, Jump, schedule};
use crate::history::{History, Key, Space};
use crate::log::Log;
use crate::workload::{Shape, Workload};
use crate::world::World;

/// How much happens in a run.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// The machines.
    pub nodes: u32,
    /// The clients.
    pub clients: u32,
    /// How many of them are no members' processes.
    pub outsiders: u32,
    /// How long clients work and faults happen, in simulated milliseconds.
    pub duration_ms: u64,
    /// The longest time between two faults.
    pub gap_ms_max: u64,
    /// What clients do.
    pub shape: Shape,
}

impl Default for Scale {
    fn default() -> Self {
        let shape = Shape { keys: 4, pause_ms_max: 250 };
        Self { nodes: 5, clients: 7, outsiders: 2, duration_ms: 20_000, gap_ms_max: 600, shape }
    }
}

impl Scale {
    /// Many clients on few keys, and a fault at every turn, for a short time.
    #[must_use]
    pub fn storm() -> Self {
        let shape = Shape { keys: 2, pause_ms_max: 40 };
        Self { clients: 10, duration_ms: 5_000, gap_ms_max: 120, shape, ..Self::default() }
    }

    /// What a seed runs at: every second one is a storm.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        if seed % 2 == 1 { Self::storm() } else { Self::default() }
    }
}

/// How long everything may take to settle once it has healed.
const SETTLE_MS_MAX: u64 = 120_000;

/// How much of a finding a failure shows.
const FOUND_CHARS_MAX: usize = 400;

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Everything that happened.
    pub log: Log,
    /// What clients asked and were told.
    pub history: History,
    /// What was broken.
    pub violations: Vec<Violation>,
}

impl Report {
    /// How many operations succeeded.
    #[must_use]
    pub fn succeeded(&self) -> usize {
        self.history.operations().iter().filter(|one| one.acked() || one.shown().is_some()).count()
    }

    /// How often each promise was broken, with the first finding, and how to see it again; none if none was.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        if self.violations.is_empty() {
            return None;
        }
        let mut promises: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
        for violation in &self.violations {
            promises.entry(violation.promise).or_insert((0, &violation.found)).0 += 1;
        }
        let line = |(promise, (count, found)): (&str, (usize, &str))| {
            let found: String = found.chars().take(FOUND_CHARS_MAX).collect();
            format!("\n  {promise}: {count} times, first {found}")
        };
        let found: String = promises.into_iter().map(line).collect();
        let seed = self.seed;
        Some(format!("seed {seed} (RINGKEEP_SEED={seed} shows its log){found}"))
    }
}

/// Runs a seed on a thread of its own time.
#[must_use]
pub fn run(seed: u64, scale: Scale) -> Report {
    // Two of three seeds sync before each acknowledgement and may lose power often; the others may lose it once.
    let durability = if seed % 3 == 2 { Durability::Interval } else { Durability::Sync };
    World::run(Plan { seed, nodes: scale.nodes, durability }, async |world| simulate(&world, scale).await)
}

async fn simulate(world: &World, scale: Scale) -> Report {
    let World { cluster, recorder, .. } = world;
    let mut violations = Vec::new();
    if let Err(error) = world.found().await {
        violations.push(Violation { promise: "a cluster comes up", found: error.to_string() });
    } else {
        cluster.network().record();
        disturb(world, scale).await;
        violations.extend(settle(world).await);
        violations.extend(converged(cluster));
        violations.extend(audit(cluster, recorder, scale).await);
    }
    for delivery in cluster.network().take_log() {
        recorder.note(&format!("{delivery:?}"));
    }
    violations.extend(check(&recorder.book().history));
    violations.iter().for_each(|violation| recorder.note(&violation.to_string()));
    let book = recorder.book();
    Report { seed: world.plan.seed, log: book.log, history: book.history, violations }
}

/// Clients work while faults happen.
async fn disturb(world: &World, scale: Scale) {
    let World { plan: Plan { seed, durability, .. }, env, cluster, recorder, .. } = world;
    let seed = *seed;
    let stopwatch = Stopwatch::start(env);
    for number in 0..scale.clients {
        let client = Client::new(number, cluster.clone(), recorder.clone());
        let workload = Workload::new(seed, number, scale.shape);
        let outsider = number + scale.outsiders >= scale.clients;
        env.spawn(client.work(env.clone(), workload, stopwatch.clone(), scale.duration_ms, outsider));
    }
    for timed in schedule(seed, extent(seed, scale, *durability)) {
        let wait = timed.at_ms.saturating_sub(stopwatch.elapsed_ms());
        env.sleep(Duration::from_millis(wait)).await;
        recorder.note(&format!("fault {:?}", timed.fault));
        cluster.apply(&timed.fault);
    }
    // Clients that still wait for an answer get one or run into their deadline.
    let wait = scale.duration_ms.saturating_sub(stopwatch.elapsed_ms()) + 10_000;
    env.sleep(Duration::from_millis(wait)).await;
}

/// What may go wrong in the run of a seed.
fn extent(seed: u64, scale: Scale, durability: Durability) -> Extent {
    // Writes are acknowledged by two owners, so one machine may lose its disk.
    let wipes_max = usize::from(seed % 4 == 3 && scale.nodes > 2);
    Extent {
        nodes: scale.nodes,
        duration_ms: scale.duration_ms,
        down_max: 2,
        crashes_max: if wipes_max > 0 { 0 } else { crashes_max(scale, durability) },
        wipes_max,
        pause_ms_max: 20_000,
        skew_ms_max: 20_000,
        jump: match seed % 10 {
            4 if scale.nodes > 1 => Jump::DayAhead,
            9 if scale.nodes > 1 => Jump::Year,
            _ => Jump::None,
        },
        gap_ms_max: scale.gap_ms_max,
    }
}

/// How often machines may lose power. Without a sync before each acknowledgement a write is promised to survive only as
/// long as no second owner forgets, so it may happen once, and not where there are no other owners. Not beside a lost
/// disk either: a copy that forgot counts again once it has met two others, and where one is gone for good it never does.
fn crashes_max(scale: Scale, durability: Durability) -> usize {
    match durability {
        Durability::Sync => 8,
        Durability::Interval if scale.nodes < 3 => 0,
        Durability::Interval => 1,
    }
}

/// Everything heals; waits until every node is done with what it owes.
async fn settle(world: &World) -> Option<Violation> {
    let World { env, cluster, recorder, .. } = world;
    cluster.apply(&Fault::Heal);
    cluster.apply(&Fault::Links { delay_ms: 1, jitter_ms: 0, lost_per_million: 0, reorder: false });
    cluster.numbers().for_each(|node| cluster.apply(&Fault::Resume { node }));
    if cluster.has_lost_disks() {
        // What only a coordinator that lost its disk knew to be owed is found by the comparison that follows a start.
        cluster.numbers().for_each(|node| cluster.apply(&Fault::Kill { node }));
    }
    for node in cluster.numbers().filter(|node| cluster.live(*node).is_none()) {
        cluster.apply(&Fault::Restart { node });
    }
    // A connection that was begun across a cut and is still waited for would fail the first reads.
    env.sleep(Duration::from_secs(5)).await;
    let stopwatch = Stopwatch::start(env);
    while stopwatch.elapsed_ms() < SETTLE_MS_MAX {
        env.sleep(Duration::from_millis(500)).await;
        if cluster.settled() {
            recorder.note(&format!("settled after {} ms", stopwatch.elapsed_ms()));
            return None;
        }
    }
    let found = cluster.unsettled();
    recorder.note(&format!("not settled: {found}"));
    Some(Violation { promise: "a healed cluster settles", found })
}

/// Compares what the owners hold, before any read could mend it. An owner that lost its disk runs no more, and what
/// runs on its machine is another member: neither is compared.
fn converged(cluster: &Cluster) -> Vec<Violation> {
    let mut holdings = BTreeMap::new();
    let mut numbers = BTreeMap::new();
    for machine in cluster.numbers() {
        let (Some(live), Some(engine)) = (cluster.live(machine), cluster.engine(machine)) else { continue };
        numbers.insert(live.node.id().to_owned(), NodeNumber(machine));
        match holding(engine.as_ref()) {
            Ok(held) => drop(holdings.insert(NodeNumber(machine), held)),
            Err(error) => {
                return vec![Violation { promise: "what is stored can be read", found: error.to_string() }];
            }
        }
    }
    let Some(table) = cluster.live(0).and_then(|live| live.node.ring().ok()) else {
        return vec![Violation { promise: "a healed cluster settles", found: "m0 is down".to_owned() }];
    };
    let owners = |bucket, key: &[u8]| {
        let partition = ring::partition(ring::token(BucketId(bucket), key), PARTITIONS);
        let ids = table.get(usize::from(partition.0)).cloned().unwrap_or_default();
        ids.iter().filter_map(|id| numbers.get(id).copied()).collect()
    };
    owners_agree(&holdings, owners)
}

fn holding(engine: &dyn Engine) -> Result<Holding> {
    let mut held = Holding::new();
    let mut from = vec![DATA];
    loop {
        let page = engine.scan(&from, &[DATA + 1], 1_000, 1 << 20)?;
        for (key, record) in &page.items {
            let parts = split_data_key(key)?;
            held.insert((parts.bucket.0, parts.key), record.clone());
        }
        match page.items.last() {
            Some((last, _)) if page.more => from = [last, &[0][..]].concat(),
            _ => return Ok(held),
        }
    }
}

/// Reads every key once more, each at another node; the checkers judge these reads like all others. All must succeed.
async fn audit(cluster: &Cluster, recorder: &Recorder, scale: Scale) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut auditor = Client::new(scale.clients, cluster.clone(), recorder.clone());
    for space in Space::ALL {
        for number in 0..scale.shape.keys {
            let node = number % scale.nodes;
            let Some(place) = cluster.inside(node) else { continue };
            let key = Key { space, number };
            if auditor.audit(key, &place).await.is_none() {
                let found = format!("{key} cannot be read at m{node}");
                violations.push(Violation { promise: "a settled cluster answers", found });
            }
        }
    }
    violations
}
