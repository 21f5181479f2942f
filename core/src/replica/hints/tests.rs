//! What is owed stays owed until it is paid, through collapses, notes meanwhile and restarts.

use super::*;
use crate::base::env::SystemClock;
use crate::base::settings::Durability;
use crate::storage::{MemoryDisk, MemoryEngine};

const OWNER: NodeNumber = NodeNumber(2);
const OTHER: NodeNumber = NodeNumber(3);
const PARTITION: PartitionId = PartitionId(7);
const BUCKET: BucketId = BucketId(0);
const ROOMY: HintLimits = HintLimits { keys_max: 1_000, bytes_max: 1 << 20 };

struct World {
    disk: MemoryDisk,
    engine: Arc<MemoryEngine>,
    events: Arc<Events>,
    hints: Hints,
}

impl World {
    fn over(disk: MemoryDisk, limits: HintLimits) -> Self {
        let engine = Arc::new(MemoryEngine::open(&disk, Durability::Interval).unwrap());
        let handle = tokio::runtime::Handle::current();
        let env = Env::new(handle, Arc::new(SystemClock), 1, String::new());
        let events = Arc::<Events>::default();
        let hints = Hints::load(Arc::clone(&engine) as _, limits, env, Arc::clone(&events)).unwrap();
        Self { disk, engine, events, hints }
    }

    fn new(limits: HintLimits) -> Self {
        Self::over(MemoryDisk::new(), limits)
    }

    fn note(&self, owner: NodeNumber, partition: PartitionId, key: &str) {
        self.hints.note(owner, partition, BUCKET, key.as_bytes());
    }

    fn restarted(self, limits: HintLimits) -> Self {
        self.disk.kill();
        Self::over(self.disk, limits)
    }

    fn on_disk(&self) -> usize {
        self.hints.store().unwrap();
        let bounds = prefix_bounds(&[HINTS]);
        self.engine.scan(&bounds.from, &bounds.to, 10_000, usize::MAX).unwrap().items.len()
    }

    fn owed(&self, owner: NodeNumber) -> Vec<(Hint, Noted)> {
        self.hints.keys_owed(owner, None, usize::MAX)
    }

    fn events(&self) -> Vec<(EventKind, Option<NodeNumber>)> {
        self.events.after(0, 100).events.into_iter().map(|event| (event.kind, event.node)).collect()
    }
}

#[tokio::test]
async fn a_key_is_owed_until_it_is_delivered() {
    let world = World::new(ROOMY);
    world.note(OWNER, PARTITION, "a");
    world.note(OWNER, PARTITION, "a");
    world.note(OTHER, PARTITION, "a");
    assert_eq!((world.hints.len(), world.hints.owed_to(OWNER), world.on_disk()), (2, 1, 2));
    let (hint, noted) = world.owed(OWNER).remove(0);
    assert_eq!(world.hints.owed_to(OWNER), 1, "what is on its way is still owed");
    world.hints.delivered(&hint, noted);
    assert_eq!((world.hints.len(), world.hints.owed_to(OWNER), world.on_disk()), (1, 0, 1));
    assert_eq!(world.hints.stats().delivered, 1);
    use EventKind::{HintsDelivered, HintsOwed};
    let told = [(HintsOwed, Some(OWNER)), (HintsOwed, Some(OTHER)), (HintsDelivered, Some(OWNER))];
    assert_eq!(world.events(), told);
}

#[tokio::test]
async fn what_is_noted_while_it_is_delivered_is_owed_again() {
    let world = World::new(ROOMY);
    world.note(OWNER, PARTITION, "a");
    let (hint, noted) = world.owed(OWNER).remove(0);
    world.note(OWNER, PARTITION, "a");
    world.hints.delivered(&hint, noted);
    assert_eq!((world.hints.owed_to(OWNER), world.on_disk()), (1, 1));
    let (hint, noted) = world.owed(OWNER).remove(0);
    world.hints.delivered(&hint, noted);
    assert_eq!((world.hints.owed_to(OWNER), world.on_disk()), (0, 0));
}

#[tokio::test]
async fn an_exchange_supersedes_what_was_noted_before_it_began() {
    let world = World::new(ROOMY);
    world.note(OWNER, PARTITION, "before");
    world.note(OWNER, PartitionId(8), "elsewhere");
    world.note(OTHER, PARTITION, "before");
    world.hints.note(OWNER, PARTITION, BucketId(1), b"not covered");
    world.hints.note_comparison(OWNER, PARTITION);
    let mark = world.hints.mark();
    world.note(OWNER, PARTITION, "during");
    world.hints.exchanged(OWNER, PARTITION, mark, |bucket| bucket == BUCKET);
    let keys: Vec<Bytes> = world.owed(OWNER).into_iter().map(|(hint, _)| hint.key).collect();
    assert_eq!(keys, ["during", "not covered", "elsewhere"]);
    assert!(world.hints.partitions_owed(OWNER).is_empty());
    assert_eq!((world.hints.owed_to(OTHER), world.on_disk()), (1, 4));
}

#[tokio::test]
async fn a_partition_that_is_noted_during_its_exchange_is_compared_again() {
    let world = World::new(ROOMY);
    world.hints.note_partition(OWNER, PARTITION);
    let mark = world.hints.mark();
    // Its keys are not kept one by one, so a key that is missed meanwhile is a note of the whole.
    world.note(OWNER, PARTITION, "during");
    world.hints.exchanged(OWNER, PARTITION, mark, |_| true);
    assert_eq!((world.hints.partitions_owed(OWNER), world.on_disk()), (vec![PARTITION], 1));
    let mark = world.hints.mark();
    world.hints.exchanged(OWNER, PARTITION, mark, |_| true);
    assert_eq!((world.hints.len(), world.on_disk()), (0, 0));
}

#[tokio::test]
async fn a_full_set_collapses_and_drops_no_debt() {
    let world = World::new(HintLimits { keys_max: 10, ..ROOMY });
    for number in 0..100 {
        world.note(OWNER, PartitionId(number % 3), &format!("key {number}"));
        let stats = world.hints.stats();
        assert!(stats.keys <= 10, "{stats:?}");
        for past in 0..=number {
            let partition = PartitionId(past % 3);
            let key = format!("key {past}");
            let by_itself = world.owed(OWNER).iter().any(|(hint, _)| hint.key == key);
            assert!(by_itself || world.hints.partitions_owed(OWNER).contains(&partition), "{key} is owed");
        }
    }
    assert!(world.hints.stats().collapsed > 1);
    let told = [(EventKind::HintsOwed, Some(OWNER)), (EventKind::HintsCollapsed, Some(OWNER))];
    assert_eq!(world.events(), told, "once, however many collapse");
    let (owed, on_disk) = (world.hints.len(), world.on_disk());
    assert_eq!(owed, on_disk as u64);
}

#[tokio::test]
async fn bytes_are_bounded_as_well_as_keys() {
    let world = World::new(HintLimits { bytes_max: 100, ..ROOMY });
    for number in 0..100 {
        world.note(OWNER, PARTITION, &format!("a key of some length, {number:08}"));
        assert!(world.hints.stats().bytes <= 100, "{:?}", world.hints.stats());
    }
    assert_eq!((world.hints.partitions_owed(OWNER), world.hints.stats().bytes), (vec![PARTITION], 0));
}

#[tokio::test]
async fn what_is_owed_outlives_the_process() {
    let world = World::new(ROOMY);
    for key in ["a", "b", "c"] {
        world.note(OWNER, PARTITION, key);
    }
    world.hints.note_partition(OTHER, PARTITION);
    world.hints.note_comparison(OTHER, PartitionId(8));
    let (hint, noted) = world.owed(OWNER).remove(1);
    world.hints.delivered(&hint, noted);
    world.hints.store().unwrap();
    let world = world.restarted(ROOMY);
    let keys: Vec<Bytes> = world.owed(OWNER).into_iter().map(|(hint, _)| hint.key).collect();
    assert_eq!(keys, ["a", "c"]);
    assert_eq!(world.hints.partitions_owed(OTHER), [PARTITION]);
    // With less room than before, what is too much collapses, on disk as well.
    let world = world.restarted(HintLimits { keys_max: 1, ..ROOMY });
    assert_eq!((world.hints.partitions_owed(OWNER), world.hints.stats().keys), (vec![PARTITION], 0));
    assert_eq!(world.on_disk(), 2);
}

#[tokio::test]
async fn a_full_disk_does_not_keep_a_key_from_being_owed() {
    let world = World::new(ROOMY);
    world.disk.set_full(true);
    world.note(OWNER, PARTITION, "a");
    assert!(world.hints.store().is_err());
    assert_eq!(world.hints.owed_to(OWNER), 1);
    world.disk.set_full(false);
    assert_eq!(world.on_disk(), 1);
}

#[tokio::test]
async fn a_damaged_entry_is_corruption() {
    let disk = MemoryDisk::new();
    let engine = MemoryEngine::open(&disk, Durability::Interval).unwrap();
    let mut batch = Batch::new();
    batch.put(Bytes::from_static(&[HINTS, 0, 0]), Bytes::new());
    engine.apply(batch).unwrap();
    drop(engine);
    let engine = Arc::new(MemoryEngine::open(&disk, Durability::Interval).unwrap());
    let env = Env::new(tokio::runtime::Handle::current(), Arc::new(SystemClock), 1, String::new());
    let error = Hints::load(engine, ROOMY, env, Arc::default()).unwrap_err();
    assert_eq!(error.kind(), crate::base::error::ErrorKind::Corruption);
}
