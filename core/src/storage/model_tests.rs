//! Both engines against a model: random batches, reads, scans, flushes, merges, reopening, kills and crashes.
//! The model is an ordered map, plus the batches that a crash may take.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::disk::{DiskEngine, DiskSettings};
use super::engine::{Batch, Cached, Engine, Lsn};
use super::memory::{MemoryDisk, MemoryEngine};
use crate::base::settings::{Durability, Settings};

#[derive(Clone, Debug)]
enum Step {
    /// Changes of small numbered keys: `None` deletes.
    Apply(Vec<(u16, Option<u16>)>),
    /// Many keys at once, so that tables and merges come to exist.
    Fill(u16),
    Get(u16),
    Scan(u16, u16, usize, usize),
    Sync,
    Flush,
    Ingest(u16),
    /// Drops the keys of one generation and goes on with the next.
    Drop,
    Checkpoint,
    Close,
    Kill,
    Crash(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || 0_u16..64;
    let change = (key(), proptest::option::weighted(0.8, 0_u16..2_000));
    let step = prop_oneof![
        30 => proptest::collection::vec(change, 0..5).prop_map(Step::Apply),
        3 => (0_u16..1_000).prop_map(Step::Fill),
        20 => key().prop_map(Step::Get),
        10 => (key(), key(), 0_usize..20, 0_usize..3_000).prop_map(|(a, b, c, d)| Step::Scan(a, b, c, d)),
        3 => Just(Step::Sync),
        5 => Just(Step::Flush),
        1 => (0_u16..300).prop_map(Step::Ingest),
        1 => Just(Step::Drop),
        1 => Just(Step::Checkpoint),
        2 => Just(Step::Close),
        3 => Just(Step::Kill),
        2 => any::<u64>().prop_map(Step::Crash),
    ];
    proptest::collection::vec(step, 1..120)
}

/// What an engine lives on, and how it ends and begins again.
trait Ground {
    fn open(&mut self) -> Arc<dyn Engine>;
    /// The end of the process.
    fn kill(&mut self, engine: Arc<dyn Engine>);
    /// The end of the machine, where the ground can play that; false where it cannot.
    fn crash(&mut self, engine: Arc<dyn Engine>, random: u64);
    /// Opens a checkpoint of the engine, if it makes such.
    fn checkpoint(&mut self, engine: &dyn Engine) -> Option<Box<dyn Engine>>;
}

struct OnDisk {
    directory: tempfile::TempDir,
    checkpoints: u32,
}

fn disk_settings() -> DiskSettings {
    // Small, so that sealing, flushing and stalls happen all the time.
    let settings =
        Settings { memory_table_bytes: 64 << 10, block_cache_bytes: 1 << 20, ..Settings::default() };
    let mut settings = DiskSettings::new(&settings, "boot");
    settings.sync_interval = Duration::from_secs(3_600);
    settings
}

impl Ground for OnDisk {
    fn open(&mut self) -> Arc<dyn Engine> {
        Arc::new(DiskEngine::open(&self.directory.path().join("data"), disk_settings()).unwrap())
    }

    fn kill(&mut self, engine: Arc<dyn Engine>) {
        drop(engine);
    }

    fn crash(&mut self, engine: Arc<dyn Engine>, _random: u64) {
        drop(engine);
    }

    fn checkpoint(&mut self, engine: &dyn Engine) -> Option<Box<dyn Engine>> {
        self.checkpoints += 1;
        let path = self.directory.path().join(format!("checkpoint-{}", self.checkpoints));
        engine.checkpoint(&path).unwrap();
        let copy = DiskEngine::open(&path, disk_settings()).unwrap();
        assert!(copy.opening().may_have_forgotten(), "a restored copy has forgotten what came after it");
        Some(Box::new(copy))
    }
}

struct InMemory(MemoryDisk);

impl Ground for InMemory {
    fn open(&mut self) -> Arc<dyn Engine> {
        Arc::new(MemoryEngine::open(&self.0, Durability::Interval).unwrap())
    }

    fn kill(&mut self, _engine: Arc<dyn Engine>) {
        self.0.kill();
    }

    fn crash(&mut self, _engine: Arc<dyn Engine>, random: u64) {
        self.0.crash(random);
    }

    fn checkpoint(&mut self, _engine: &dyn Engine) -> Option<Box<dyn Engine>> {
        None
    }
}

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Default)]
struct Model {
    now: Map,
    generation: u8,
    /// The states after each batch since the last sync, with their numbers, oldest first.
    unsynced: Vec<(Lsn, Map)>,
    synced: Map,
}

impl Model {
    fn key(&self, number: u16) -> Bytes {
        Bytes::from([&[1, self.generation][..], &number.to_be_bytes()].concat())
    }

    fn applied(&mut self, lsn: Lsn) {
        self.unsynced.push((lsn, self.now.clone()));
    }

    fn sync(&mut self) {
        self.unsynced.clear();
        self.synced = self.now.clone();
    }
}

fn value(number: u16) -> Bytes {
    Bytes::from(vec![number.to_le_bytes()[0]; usize::from(number)])
}

fn run(ground: &mut dyn Ground, steps: Vec<Step>, crashes: bool) {
    let mut engine = ground.open();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Kill => {
                ground.kill(engine);
                engine = ground.open();
                assert!(!engine.opening().clean && !engine.opening().may_have_forgotten());
            }
            Step::Close => {
                engine.close().unwrap();
                engine.close().unwrap();
                assert!(engine.apply(Batch::new()).is_err() && engine.get(b"\x01").is_err());
                drop(engine);
                engine = ground.open();
                assert!(engine.opening().clean);
                model.sync();
            }
            Step::Crash(random) if crashes => {
                ground.crash(engine, random);
                engine = ground.open();
                after_crash(&*engine, &mut model);
            }
            Step::Crash(_) => {}
            Step::Checkpoint => {
                if let Some(copy) = ground.checkpoint(&*engine) {
                    model.sync();
                    compare(&*copy, &model);
                }
            }
            step => live(&*engine, &mut model, step),
        }
    }
    compare(&*engine, &model);
}

fn live(engine: &dyn Engine, model: &mut Model, step: Step) {
    match step {
        Step::Apply(changes) => {
            let mut batch = Batch::new();
            for (number, content) in changes {
                let key = model.key(number);
                match content.map(value) {
                    Some(value) => {
                        model.now.insert(key.to_vec(), value.to_vec());
                        batch.put(key, value);
                    }
                    None => {
                        model.now.remove(&key[..]);
                        batch.delete(key);
                    }
                }
            }
            let lsn = engine.apply(batch).unwrap();
            model.applied(lsn);
        }
        Step::Fill(seed) => {
            for number in 0..200 {
                let key = model.key(number * 7 % 1_400);
                let mut batch = Batch::new();
                batch.put(key.clone(), value(seed));
                model.now.insert(key.to_vec(), value(seed).to_vec());
                let lsn = engine.apply(batch).unwrap();
                model.applied(lsn);
            }
        }
        Step::Get(number) => {
            let key = model.key(number);
            let expected = model.now.get(&key[..]).cloned();
            assert_eq!(engine.get(&key).unwrap().map(|value| value.to_vec()), expected);
            if let Cached::Hit(value) = engine.get_cached(&key) {
                assert_eq!(value.map(|value| value.to_vec()), expected);
            }
        }
        Step::Scan(from, to, items, bytes) => scan(engine, model, (from, to), items, bytes),
        Step::Sync => {
            let lsn = engine.stats().applied;
            futures_block_on(engine.synced(lsn)).unwrap();
            assert!(engine.stats().synced >= lsn);
            model.sync();
        }
        Step::Flush => {
            engine.flush().unwrap();
            model.sync();
        }
        Step::Ingest(count) => {
            let items: Vec<_> = (0..count).map(|number| (model.key(number * 3), value(number))).collect();
            model.now.extend(items.iter().map(|(key, value)| (key.to_vec(), value.to_vec())));
            engine.ingest(&mut items.into_iter()).unwrap();
            model.sync();
        }
        Step::Drop => {
            engine.drop_range(&[1, model.generation], &[1, model.generation + 1]).unwrap();
            model.now.retain(|key, _| key.get(1) != Some(&model.generation));
            model.applied(engine.stats().applied);
            model.generation += 1;
        }
        other => unreachable!("{other:?} is not for a live engine"),
    }
}

fn scan(engine: &dyn Engine, model: &Model, (from, to): (u16, u16), items: usize, bytes: usize) {
    let (from, to) = (model.key(from), model.key(to));
    let page = engine.scan(&from, &to, items, bytes).unwrap();
    let mut expected = Vec::new();
    let mut size = 0;
    let mut more = false;
    if from < to {
        for (key, value) in model.now.range::<[u8], _>((Bound::Included(&from[..]), Bound::Excluded(&to[..])))
        {
            if expected.len() >= items || (size >= bytes && !expected.is_empty()) {
                more = true;
                break;
            }
            size += key.len() + value.len();
            expected.push((Bytes::from(key.clone()), Bytes::from(value.clone())));
        }
    }
    assert_eq!(page.items, expected);
    assert!(page.more || !more, "a page with more behind it says so");
}

/// After a crash the engine holds the state after some batch that was not synced, or the last synced one.
fn after_crash(engine: &dyn Engine, model: &mut Model) {
    assert!(engine.opening().may_have_forgotten());
    engine.accept_opening().unwrap();
    let applied = engine.stats().applied;
    let kept = model.unsynced.iter().rev().find(|(lsn, _)| *lsn <= applied).map(|(_, map)| map.clone());
    model.now = kept.unwrap_or_else(|| model.synced.clone());
    model.generation += 1;
    model.sync();
    compare(engine, model);
}

fn compare(engine: &dyn Engine, model: &Model) {
    let page = engine.scan(&[1], &[2], usize::MAX, usize::MAX).unwrap();
    let found: Map = page.items.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
    assert!(found == model.now, "{} keys, expected {}", found.len(), model.now.len());
    for (key, value) in &model.now {
        assert_eq!(engine.get(key).unwrap().as_deref(), Some(&value[..]));
    }
}

fn futures_block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_memory_engine_keeps_to_the_model(steps in steps()) {
        run(&mut InMemory(MemoryDisk::new()), steps, true);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_disk_engine_keeps_to_the_model(steps in steps()) {
        let directory = tempfile::tempdir().unwrap();
        run(&mut OnDisk { directory, checkpoints: 0 }, steps, false);
    }
}
