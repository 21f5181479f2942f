//! Scenarios: what seeds meet too rarely, played once by hand and judged by the same checkers.

use std::time::Duration;

use ringkeep::base::settings::Durability;
use ringkeep_simulation::World;
use ringkeep_simulation::checkers::check;
use ringkeep_simulation::client::Client;
use ringkeep_simulation::cluster::Plan;
use ringkeep_simulation::faults::Fault;
use ringkeep_simulation::history::{Key, Outcome, Space, writes};
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

#[test]
fn sloppy_writes_on_both_sides_of_a_cut_meet_as_siblings_on_every_node() {
    World::run(Plan { nodes: 5, ..plan(Durability::Sync) }, async |world| {
        world.found().await.unwrap();
        let key = Key { space: Space::Sloppy, number: 0 };
        act(&world, 0, Action::PutBlind(Key { space: Space::Siblings, number: 1 })).await;
        for from in [0, 1] {
            for to in [2, 3, 4] {
                world.cluster.apply(&Fault::Cut { from, to });
                world.cluster.apply(&Fault::Cut { from: to, to: from });
            }
        }
        // Whoever is cut off is found out by waiting for its answer: the first writes may run into their deadline.
        for machine in [0, 2] {
            let mut tries = 0;
            while !matches!(act(&world, machine, Action::PutBlind(key)).await, Outcome::Written { .. }) {
                tries += 1;
                assert!(tries < 10, "{}", world.recorder.book().log.lines().join("\n"));
            }
        }
        world.cluster.apply(&Fault::Heal);
        while !world.cluster.settled() {
            world.env.sleep(Duration::from_millis(100)).await;
            assert!(world.stopwatch.elapsed_ms() < 120_000, "{}", world.cluster.unsettled());
        }
        for machine in world.cluster.numbers() {
            let mut auditor = Client::new(9, world.cluster.clone(), world.recorder.clone());
            let place = world.cluster.inside(machine).expect("the machine runs");
            // Each value is a set of the write that made it: two of them are two siblings.
            let shown = auditor.audit(key, &place).await.unwrap();
            let history = world.recorder.book().history;
            let acked = history.operations().iter().filter(|one| one.key == key && one.acked());
            assert_eq!(acked.clone().count(), 2);
            for write in writes(&acked.collect::<Vec<_>>()) {
                assert!(shown.contains(&write.write), "m{machine} lacks {}: {shown:?}", write.write);
            }
            nothing_is_broken(&world);
        }
    });
}
