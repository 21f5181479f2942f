//! Requests while a member stands still: a client's reads are answered by another within what answers usually take, and
//! the member is passed over before gossip knows.

use std::time::Duration;

use ringkeep::base::settings::Durability;
use ringkeep_simulation::World;
use ringkeep_simulation::cluster::{Place, Plan};
use ringkeep_simulation::faults::Fault;

fn links(delay_ms: u64) -> Fault {
    Fault::Links { delay_ms, jitter_ms: 0, lost_per_million: 0, reorder: false }
}

/// A client outside that has written and read keys, so that it knows what answers usually take.
async fn begin(world: &World) -> Place {
    world.found().await.expect("nothing is in its way");
    world.cluster.apply(&links(2));
    world.env.sleep(Duration::from_secs(2)).await;
    let place = world.cluster.outside(7).await.expect("a member answers");
    for number in 0..30 {
        place.store.bucket("sets").put(format!("k{number}"), "v").await.expect("all is well");
        place.store.bucket("sets").get(format!("k{number}")).await.expect("all is well");
    }
    place
}

#[test]
fn reads_through_a_member_that_stands_still_are_answered_by_another() {
    World::run(Plan { seed: 3, nodes: 3, durability: Durability::Interval }, async |world| {
        let place = begin(&world).await;
        world.cluster.apply(&Fault::Pause { node: 1 });
        let mut slowest = 0;
        for number in 0..30 {
            let began = world.stopwatch.elapsed_ms();
            let value =
                place.store.bucket("sets").get(format!("k{number}")).await.expect("two owners are well");
            assert_eq!(value.as_deref(), Some(&b"v"[..]));
            slowest = slowest.max(world.stopwatch.elapsed_ms() - began);
        }
        // One wait for the client and one for the coordinator, each of what an answer usually takes; a tenth of a second
        // at the most. Gossip takes seconds.
        assert!(slowest <= 200, "a read took {slowest} ms");
    });
}

#[test]
fn a_client_whose_member_was_killed_asks_another_at_once() {
    World::run(Plan { seed: 4, nodes: 3, durability: Durability::Interval }, async |world| {
        let place = begin(&world).await;
        world.cluster.apply(&Fault::Kill { node: 1 });
        world.env.sleep(Duration::from_millis(10)).await;
        for number in 0..30 {
            let began = world.stopwatch.elapsed_ms();
            place.store.bucket("sets").get(format!("k{number}")).await.expect("two owners are well");
            place.store.bucket("sets").put(format!("k{number}"), "w").await.expect("two owners are well");
            let took = world.stopwatch.elapsed_ms() - began;
            assert!(took < 300, "a read and a write took {took} ms");
        }
    });
}
