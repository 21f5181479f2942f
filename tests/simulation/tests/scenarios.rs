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
    let own = operations.operations().iter().rfind(|one| one.client == machine);
    own.expect("it did something").outcome.clone()
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

/// Founds the cluster, and waits until its members have heard of each other.
async fn found(world: &World) {
    world.found().await.expect("nothing is in its way");
    world.env.sleep(Duration::from_secs(2)).await;
}

/// Waits until the cluster has nothing left to do.
async fn settle(world: &World) {
    let began = world.stopwatch.elapsed_ms();
    while !world.cluster.settled() {
        world.env.sleep(Duration::from_millis(100)).await;
        assert!(world.stopwatch.elapsed_ms() < began + 120_000, "{}", world.cluster.unsettled());
    }
}

async fn put(world: &World, machine: u32, key: Key) {
    let told = act(world, machine, Action::PutBlind(key)).await;
    assert!(matches!(told, Outcome::Written { .. }), "m{machine} {key}: {told:?}");
}

async fn shows(world: &World, machine: u32, key: Key, values: usize) {
    let read = act(world, machine, Action::Read(key)).await;
    let shown = matches!(&read, Outcome::Shown { siblings, .. } if siblings.len() == values);
    assert!(shown, "m{machine} {key}: {read:?} instead of {values} values");
}

fn keys(count: u32) -> impl Iterator<Item = Key> {
    (0..count).map(|number| Key { space: Space::Sets, number })
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
        for (key, machine) in keys(4).zip([0, 1, 2, 0]) {
            put(&world, machine, key).await;
        }
        for node in world.cluster.numbers() {
            world.cluster.apply(&Fault::Crash { node, random: 0 });
        }
        for node in world.cluster.numbers() {
            world.cluster.apply(&Fault::Restart { node });
        }
        settle(&world).await;
        for key in keys(4) {
            shows(&world, 1, key, 1).await;
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

#[test]
fn losses_of_power_one_after_the_other_cost_no_acknowledged_write() {
    World::run(plan(Durability::Sync), async |world| {
        found(&world).await;
        for (key, node) in keys(3).zip([0, 1, 2]) {
            put(&world, node, key).await;
            // The next one is on before it has settled, so copies that may have forgotten meet each other.
            world.cluster.apply(&Fault::Crash { node, random: 0 });
            world.cluster.apply(&Fault::Restart { node });
            world.env.sleep(Duration::from_millis(700)).await;
        }
        settle(&world).await;
        for (key, machine) in keys(3).zip([1, 2, 0]) {
            shows(&world, machine, key, 1).await;
        }
        nothing_is_broken(&world);
    });
}

#[test]
fn a_process_that_stood_still_goes_on_as_one_that_missed_something() {
    World::run(plan(Durability::Interval), async |world| {
        found(&world).await;
        for key in keys(2) {
            put(&world, 0, key).await;
        }
        world.cluster.apply(&Fault::Pause { node: 2 });
        let mut keys = keys(2);
        let (changed, begun) = (keys.next().unwrap(), keys.next().unwrap());
        put(&world, 0, changed).await;
        shows(&world, 1, changed, 2).await;
        // This client works in the process that stands still, so its read waits with it.
        let place = world.cluster.inside(2).unwrap();
        let mut client = Client::new(9, world.cluster.clone(), world.recorder.clone());
        let standstill = place.standstill.clone();
        let read = standstill.hold(async move { client.act(Action::Read(begun), &place).await });
        world.env.spawn(read);
        world.env.sleep(Duration::from_secs(20)).await;
        let history = world.recorder.book().history;
        assert!(history.operations().last().is_some_and(|last| last.key == changed));
        world.cluster.apply(&Fault::Resume { node: 2 });
        shows(&world, 2, changed, 2).await;
        settle(&world).await;
        let history = world.recorder.book().history;
        let late = history.operations().iter().find(|one| one.client == 9);
        assert!(late.is_some_and(|read| read.ended.is_some()));
        nothing_is_broken(&world);
    });
}

#[test]
fn a_lost_disk_costs_no_acknowledged_write_and_its_machine_joins_as_another_member() {
    World::run(plan(Durability::Interval), async |world| {
        found(&world).await;
        for (key, machine) in keys(3).zip([0, 1, 2]) {
            put(&world, machine, key).await;
        }
        let lost = world.cluster.live(0).unwrap().node.id().to_owned();
        world.cluster.apply(&Fault::Wipe { node: 0 });
        for key in keys(3) {
            shows(&world, 1, key, 1).await;
        }
        world.cluster.apply(&Fault::Restart { node: 0 });
        world.env.sleep(Duration::from_secs(1)).await;
        settle(&world).await;
        let new = world.cluster.live(0).unwrap().node;
        let members = new.status().await.unwrap().members;
        let of = |id: &str| members.iter().find(|member| member.id == id).map(|member| member.owns > 0.0);
        assert_eq!((members.len(), of(&lost), of(new.id())), (4, Some(true), Some(false)));
        // It is reached where the lost one was: what is still sent to that one does not get in its way.
        for _ in 0..50 {
            world.env.sleep(Duration::from_millis(100)).await;
            let members = world.cluster.live(1).unwrap().node.status().await.unwrap().members;
            let state = members.into_iter().find(|member| member.id == new.id()).map(|member| member.state);
            assert_eq!(state.as_deref(), Some("up"));
        }
        for (key, machine) in keys(3).zip([0, 1, 2]) {
            shows(&world, machine, key, 1).await;
            put(&world, machine, key).await;
            shows(&world, 0, key, 2).await;
        }
        nothing_is_broken(&world);
    });
}

#[test]
fn a_split_lets_the_majority_go_on_and_the_minority_answers_nothing_old() {
    World::run(plan(Durability::Interval), async |world| {
        found(&world).await;
        let key = keys(1).next().unwrap();
        put(&world, 0, key).await;
        world.cluster.apply(&Fault::Split { groups: vec![0, 1, 1] });
        put(&world, 1, key).await;
        shows(&world, 2, key, 2).await;
        let read = act(&world, 0, Action::Read(key)).await;
        assert!(matches!(read, Outcome::Failed(_)), "{read:?}");
        world.cluster.apply(&Fault::Heal);
        settle(&world).await;
        shows(&world, 0, key, 2).await;
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
