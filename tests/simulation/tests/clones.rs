//! Clones: a process that is started on an old image of a member's disk, in its place. What it forgot it does not know that
//! it forgot, so it must not be let in.

use std::time::Duration;

use ringkeep::base::settings::Durability;
use ringkeep_simulation::World;
use ringkeep_simulation::checkers::check;
use ringkeep_simulation::client::Client;
use ringkeep_simulation::cluster::Plan;
use ringkeep_simulation::faults::Fault;
use ringkeep_simulation::history::{Key, Outcome, Space};
use ringkeep_simulation::workload::Action;

const KEY: Key = Key { space: Space::Sets, number: 0 };

async fn act(world: &World, machine: u32, action: Action) -> Outcome {
    let mut client = Client::new(machine, world.cluster.clone(), world.recorder.clone());
    let place = world.cluster.inside(machine).expect("the machine runs");
    client.act(action, &place).await;
    world.recorder.book().history.operations().last().expect("it did something").outcome.clone()
}

async fn pause(world: &World) {
    world.env.sleep(Duration::from_secs(3)).await;
}

/// Member 1 is restarted so often after the image of its disk was taken; then it and member 0 have a write that neither
/// the image nor member 2 has.
async fn forget_by_an_image(world: &World, restarts: u32) {
    world.found().await.expect("nothing is in its way");
    act(world, 0, Action::PutBlind(KEY)).await;
    pause(world).await;
    world.cluster.apply(&Fault::Image { node: 1 });
    for _ in 0..restarts {
        world.cluster.apply(&Fault::Kill { node: 1 });
        world.cluster.apply(&Fault::Restart { node: 1 });
        pause(world).await;
    }
    world.cluster.apply(&Fault::Isolate { node: 2 });
    let told = act(world, 0, Action::PutBlind(KEY)).await;
    assert!(matches!(told, Outcome::Written { .. }), "{told:?}");
    world.cluster.apply(&Fault::Isolate { node: 0 });
    world.cluster.network().heal_both("m1", "m2");
}

/// The image is refused, and the member's own disk is not.
fn is_refused_after(restarts: u32) {
    World::run(Plan { seed: 1, nodes: 3, durability: Durability::Interval }, async |world| {
        forget_by_an_image(&world, restarts).await;
        world.cluster.apply(&Fault::Clone { node: 1 });
        pause(&world).await;
        for machine in [1, 2] {
            let read = act(&world, machine, Action::Read(KEY)).await;
            assert!(
                matches!(read, Outcome::Failed(_)),
                "m{machine} with the clone, after {restarts}: {read:?}"
            );
        }
        world.cluster.apply(&Fault::Restart { node: 1 });
        pause(&world).await;
        for machine in [1, 2] {
            let read = act(&world, machine, Action::Read(KEY)).await;
            let both = matches!(&read, Outcome::Shown { siblings, .. } if siblings.len() == 2);
            assert!(both, "m{machine} with the own disk, after {restarts}: {read:?}");
        }
        let broken = check(&world.recorder.book().history);
        assert!(broken.is_empty(), "{broken:?}");
    });
}

#[test]
fn an_image_of_the_start_before_is_refused() {
    is_refused_after(1);
}

#[test]
fn an_image_of_an_earlier_start_is_refused() {
    is_refused_after(2);
}
