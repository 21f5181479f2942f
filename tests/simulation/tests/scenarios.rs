//! Scenarios: what seeds meet too rarely, played once by hand and judged by the same checkers.

use std::time::Duration;

use ringkeep::base::settings::Durability;
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
