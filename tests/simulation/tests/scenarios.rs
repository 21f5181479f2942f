//! Scenarios: what seeds meet too rarely, played once by hand and judged by the same checkers.

use std::time::Duration;

use bytes::Bytes;
use ringkeep::base::ids::{BucketId, NodeNumber};
use ringkeep::base::settings::Durability;
use ringkeep::storage::key::hint_key;
use ringkeep::storage::{Batch, Engine};
use ringkeep_simulation::World;
use ringkeep_simulation::checkers::check;
use ringkeep_simulation::client::Client;
use ringkeep_simulation::cluster::Plan;
use ringkeep_simulation::faults::Fault;
use ringkeep_simulation::history::{Key, Outcome, Space};
use ringkeep_simulation::workload::Action;

fn plan(durability: Durability) -> Plan {
    Plan { seed: 1, nodes: 3, durability }
}

fn links(delay_ms: u64) -> Fault {
    Fault::Links { delay_ms, jitter_ms: 0, lost_per_million: 0, reorder: false }
}

async fn act(world: &World, machine: u32, action: Action) -> Outcome {
    let mut client = Client::new(machine, world.cluster.clone(), world.recorder.clone());
    let place = world.cluster.inside(machine).expect("the machine runs");
    client.act(action, &place).await;
    let operations = world.recorder.book().history;
    operations.operations().last().expect("it did something").outcome.clone()
}

/// Waits until a call of a client of its own has begun, and leaves it under way.
async fn begin(world: &World, machine: u32, action: Action) {
    let mut client = Client::new(machine, world.cluster.clone(), world.recorder.clone());
    let place = world.cluster.inside(machine).expect("the machine runs");
    world.env.spawn(async move { client.act(action, &place).await });
    world.env.sleep(Duration::from_millis(1)).await;
}

fn nothing_is_broken(world: &World) {
    let broken = check(&world.recorder.book().history);
    assert!(broken.is_empty(), "{broken:?}\n{}", world.recorder.book().log.lines().join("\n"));
}

#[test]
fn a_read_that_saw_a_write_nobody_else_has_is_answered_only_once_others_have_it() {
    World::run(plan(Durability::Sync), async |world| {
        world.found().await.unwrap();
        let key = Key { space: Space::Siblings, number: 0 };
        // The first write of a cluster fixes the owners, which takes more than one of them.
        act(&world, 0, Action::PutBlind(Key { space: Space::Siblings, number: 1 })).await;
        // The write reaches nobody: its messages are lost, and its coordinator still waits for the answers.
        world.cluster.apply(&Fault::Isolate { node: 0 });
        begin(&world, 0, Action::PutBlind(key)).await;
        world.cluster.apply(&Fault::Heal);
        world.cluster.apply(&links(100));
        // Read where it is; whatever is under way to the others when the answer is there gets lost.
        let read = act(&world, 0, Action::Read(key)).await;
        world.cluster.apply(&Fault::Isolate { node: 0 });
        world.cluster.apply(&links(1));
        assert!(matches!(&read, Outcome::Shown { siblings, .. } if siblings.len() == 1), "{read:?}");
        let read = act(&world, 1, Action::Read(key)).await;
        assert!(matches!(read, Outcome::Shown { .. }), "{read:?}");
        nothing_is_broken(&world);
    });
}

#[test]
fn what_was_acknowledged_survives_the_loss_of_power_everywhere() {
    World::run(plan(Durability::Sync), async |world| {
        world.found().await.unwrap();
        let keys = (0..4).map(|number| Key { space: Space::Sets, number });
        for (key, machine) in keys.clone().zip([0, 1, 2, 0]) {
            let told = act(&world, machine, Action::PutBlind(key)).await;
            assert!(matches!(told, Outcome::Written { .. }), "{told:?}");
        }
        for node in world.cluster.numbers() {
            world.cluster.apply(&Fault::Crash { node, random: 0 });
        }
        for node in world.cluster.numbers() {
            world.cluster.apply(&Fault::Restart { node });
        }
        while !world.cluster.settled() {
            world.env.sleep(Duration::from_millis(100)).await;
            assert!(world.stopwatch.elapsed_ms() < 120_000, "{}", world.cluster.unsettled());
        }
        for key in keys {
            let read = act(&world, 1, Action::Read(key)).await;
            assert!(matches!(&read, Outcome::Shown { siblings, .. } if siblings.len() == 1), "{read:?}");
        }
        nothing_is_broken(&world);
    });
}

#[test]
fn a_copy_whose_existence_was_forgotten_does_not_count_before_it_was_compared() {
    World::run(plan(Durability::Interval), async |world| {
        world.found().await.unwrap();
        let key = Key { space: Space::Sets, number: 0 };
        // Two of three have it, and one of them forgets that it ever held the partition.
        world.cluster.apply(&Fault::Isolate { node: 2 });
        let told = act(&world, 0, Action::PutBlind(key)).await;
        assert!(matches!(told, Outcome::Written { .. }), "{told:?}");
        world.cluster.apply(&Fault::Crash { node: 1, random: 0 });
        world.cluster.apply(&Fault::Heal);
        world.cluster.apply(&Fault::Isolate { node: 0 });
        world.cluster.apply(&Fault::Restart { node: 1 });
        world.env.sleep(Duration::from_secs(2)).await;
        let read = act(&world, 2, Action::Read(key)).await;
        assert!(
            matches!(read, Outcome::Failed(_)),
            "two of three know nothing, and one of them knows it: {read:?}"
        );
        nothing_is_broken(&world);
    });
}

fn metric(world: &World, machine: u32, name: &str) -> f64 {
    let live = world.cluster.live(machine).expect("the machine runs");
    live.node.metrics().get(name).copied().unwrap_or_default()
}

async fn until(world: &World, what: &str, mut holds: impl FnMut() -> bool) {
    let began = world.stopwatch.elapsed_ms();
    while !holds() {
        world.env.sleep(Duration::from_millis(10)).await;
        assert!(world.stopwatch.elapsed_ms() < began + 120_000, "{what}: {}", world.cluster.unsettled());
    }
}

const MISSED: u32 = 100;

/// The last machine is cut off while the first one writes, until the first owes it every key.
async fn miss(world: &World) {
    world.found().await.expect("a cluster comes up");
    act(world, 0, Action::PutBlind(Key { space: Space::Sets, number: 0 })).await;
    until(world, "the cluster settles", || world.cluster.settled()).await;
    world.cluster.apply(&Fault::Isolate { node: 2 });
    let writer = world.cluster.live(0).expect("the machine runs").node;
    for number in 0..MISSED {
        let put = writer.default_bucket().put(format!("key {number}"), format!("value {number}"));
        put.await.expect("two of three have it");
    }
    until(world, "every key is owed", || metric(world, 0, "hints_owed") == f64::from(MISSED)).await;
}

async fn has_everything(world: &World, machine: u32) {
    let node = world.cluster.live(machine).expect("the machine runs").node;
    for number in 0..MISSED {
        let held = node.default_bucket().get(format!("key {number}")).r(1).await;
        assert_eq!(held.expect("it is read here"), Some(format!("value {number}").into()));
    }
}

#[test]
fn what_an_owner_missed_reaches_it_by_hints_alone() {
    World::run(plan(Durability::Interval), async |world| {
        miss(&world).await;
        let exchanged = |machine| metric(&world, machine, "exchange_compared");
        let before: Vec<f64> = world.cluster.numbers().map(exchanged).collect();
        world.cluster.apply(&Fault::Heal);
        until(&world, "the cluster settles", || world.cluster.settled()).await;
        assert_eq!(world.cluster.numbers().map(exchanged).collect::<Vec<_>>(), before);
        assert!(metric(&world, 0, "hints_delivered") >= f64::from(MISSED));
        has_everything(&world, 2).await;
    });
}

#[test]
fn a_holder_killed_in_the_middle_of_delivery_loses_nothing() {
    World::run(plan(Durability::Interval), async |world| {
        miss(&world).await;
        // A window of records takes one round trip, so that the middle lasts for some of them.
        world.cluster.apply(&links(100));
        world.cluster.apply(&Fault::Heal);
        until(&world, "delivery is under way", || metric(&world, 0, "hints_delivered") > 0.0).await;
        let left = metric(&world, 0, "hints_owed");
        assert!(left > 0.0, "it is in the middle");
        world.cluster.apply(&Fault::Kill { node: 0 });
        world.cluster.apply(&Fault::Restart { node: 0 });
        until(&world, "the holder is back", || world.cluster.live(0).is_some()).await;
        let (owed, delivered) = (metric(&world, 0, "hints_owed"), metric(&world, 0, "hints_delivered"));
        assert!(owed + delivered >= left, "{left} were owed, {owed} are and {delivered} came since");
        until(&world, "the cluster settles", || world.cluster.settled()).await;
        has_everything(&world, 2).await;
    });
}

#[test]
fn an_owner_whose_clock_is_a_day_ahead_gets_what_it_missed() {
    World::run(plan(Durability::Interval), async |world| {
        miss(&world).await;
        // A clock that jumps is not believed, one that was wrong from the start is.
        world.cluster.apply(&Fault::Skew { node: 2, ahead_ms: 86_400_000 });
        world.cluster.apply(&Fault::Kill { node: 2 });
        world.cluster.apply(&Fault::Restart { node: 2 });
        world.cluster.apply(&Fault::Heal);
        until(&world, "the cluster settles", || world.cluster.settled()).await;
        assert!(metric(&world, 2, "refused_stale_record") > 0.0);
        has_everything(&world, 2).await;
    });
}

#[test]
fn a_hint_for_an_owner_that_is_no_more_goes_to_the_owners_there_are() {
    World::run(plan(Durability::Interval), async |world| {
        world.found().await.unwrap();
        let holder = world.cluster.live(0).expect("the machine runs").node;
        holder.default_bucket().put("key", "value").w(3).await.unwrap();
        until(&world, "the cluster settles", || world.cluster.settled()).await;
        let partition = holder.topology().expect("it is a member").partition_of(BucketId(0), b"key");
        let mut batch = Batch::new();
        batch.put(hint_key(NodeNumber(77), partition, Some((BucketId(0), b"key"))), Bytes::new());
        let engine = world.cluster.engine(0).expect("the machine runs");
        engine.apply(batch).unwrap();
        world.cluster.apply(&Fault::Kill { node: 0 });
        world.cluster.apply(&Fault::Restart { node: 0 });
        until(&world, "the holder is back", || world.cluster.live(0).is_some()).await;
        until(&world, "the cluster settles", || world.cluster.settled()).await;
        assert!(
            (metric(&world, 0, "hints_delivered") - 2.0).abs() < 0.1,
            "both other owners are sent the key"
        );
    });
}
