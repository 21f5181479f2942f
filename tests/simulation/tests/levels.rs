//! Levels: what a write and a read at each is promised, while one owner or two of three cannot be reached.

use std::time::Duration;

use ringkeep::base::settings::Durability;
use ringkeep::ring::Consistency;
use ringkeep::{Bucket, ErrorKind};
use ringkeep_simulation::World;
use ringkeep_simulation::cluster::Plan;
use ringkeep_simulation::faults::Fault;
use ringkeep_simulation::history::Space;

/// Runs something in a ring of three whose owners are fixed and whose members have heard of each other.
fn in_a_ring_of_three(body: impl AsyncFnOnce(&World)) {
    World::run(Plan { seed: 1, nodes: 3, durability: Durability::Interval }, async |world| {
        world.found().await.expect("nothing is in its way");
        bucket(&world, 0).put("first", "").await.expect("nothing is in its way");
        world.env.sleep(Duration::from_secs(2)).await;
        body(&world).await;
    });
}

fn bucket(world: &World, machine: u32) -> Bucket {
    world.cluster.inside(machine).expect("the machine runs").store.bucket(Space::Registers.name())
}

async fn put(world: &World, machine: u32, value: &'static str, level: Consistency) -> Option<ErrorKind> {
    let told = bucket(world, machine).put("key", value).consistency(level).await;
    told.err().map(|error| error.kind())
}

async fn get(world: &World, machine: u32, level: Consistency) -> Result<Option<String>, ErrorKind> {
    let told = bucket(world, machine).get("key").consistency(level).await;
    let text = |value: bytes::Bytes| String::from_utf8_lossy(&value).into_owned();
    told.map(|value| value.map(text)).map_err(|error| error.kind())
}

fn some(value: &str) -> Result<Option<String>, ErrorKind> {
    Ok(Some(value.to_owned()))
}

#[test]
fn at_level_one_an_owner_alone_answers_and_all_have_it_in_the_end() {
    in_a_ring_of_three(async |world| {
        world.cluster.apply(&Fault::Isolate { node: 0 });
        assert_eq!(put(world, 0, "alone", Consistency::One).await, None);
        assert_eq!(get(world, 0, Consistency::One).await, some("alone"));
        // Nobody promised that others see it meanwhile.
        assert_eq!(get(world, 1, Consistency::One).await, Ok(None));
        assert!(get(world, 0, Consistency::Quorum).await.is_err());
        world.cluster.apply(&Fault::Heal);
        while !world.cluster.settled() {
            world.env.sleep(Duration::from_millis(100)).await;
        }
        for machine in world.cluster.numbers() {
            assert_eq!(get(world, machine, Consistency::One).await, some("alone"));
        }
    });
}

#[test]
fn at_level_quorum_one_owner_may_be_away_and_a_read_sees_every_write_acknowledged_before() {
    in_a_ring_of_three(async |world| {
        for (away, value) in [(0, "one"), (1, "two"), (2, "three")] {
            let (writer, reader) = ((away + 1) % 3, (away + 2) % 3);
            world.cluster.apply(&Fault::Isolate { node: away });
            assert_eq!(put(world, writer, value, Consistency::Quorum).await, None);
            assert_eq!(get(world, reader, Consistency::Quorum).await, some(value));
            world.cluster.apply(&Fault::Heal);
            // Whoever was away is asked by others too, and has not been brought up to date by waiting.
            assert_eq!(get(world, reader, Consistency::Quorum).await, some(value));
        }
    });
}

#[test]
fn at_level_all_every_owner_has_it_and_none_may_be_away() {
    in_a_ring_of_three(async |world| {
        assert_eq!(put(world, 0, "everywhere", Consistency::All).await, None);
        world.cluster.apply(&Fault::Split { groups: vec![0, 1, 2] });
        for machine in world.cluster.numbers() {
            assert_eq!(get(world, machine, Consistency::One).await, some("everywhere"));
        }
        world.cluster.apply(&Fault::Heal);
        world.cluster.apply(&Fault::Isolate { node: 2 });
        assert!(put(world, 0, "not everywhere", Consistency::All).await.is_some());
        assert!(get(world, 0, Consistency::All).await.is_err());
    });
}

#[test]
fn owners_read_and_written_that_overlap_see_what_was_acknowledged() {
    in_a_ring_of_three(async |world| {
        world.cluster.apply(&Fault::Isolate { node: 0 });
        let told = bucket(world, 0).put("key", "at one").w(1).await;
        assert!(told.is_ok(), "{told:?}");
        world.cluster.apply(&Fault::Heal);
        // One owner has it, and a read of all three sees it wherever it is asked.
        let told = bucket(world, 2).get("key").r(3).await.map_err(|error| error.kind());
        assert_eq!(told.map(|value| value.is_some()), Ok(true));
    });
}
