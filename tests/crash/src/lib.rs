//! A workload whose every state is known from one number: what a killed writer leaves must be one of those states, and
//! no older than the last that it reported as acknowledged.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use ringkeep::base::error::{Error, Result};
use ringkeep::base::settings::{Durability, Settings};
use ringkeep::storage::{Batch, DiskEngine, DiskSettings, Engine, Lsn};

/// Writers at the same time, each with keys of its own.
pub const WRITERS: u8 = 3;
/// Keys of each writer.
const KEYS: u64 = 400;

/// Opens the directory with small memory tables, so that a short run flushes and merges.
///
/// # Errors
/// As `DiskEngine::open`.
pub fn open(path: &Path, durability: Durability) -> Result<DiskEngine> {
    let settings = Settings { durability, memory_table_bytes: 128 << 10, ..Settings::default() };
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let mut settings = DiskSettings::new(&settings, boot.trim());
    settings.sync_interval = Duration::from_millis(20);
    DiskEngine::open(path, settings)
}

fn key(writer: u8, number: u64) -> Bytes {
    Bytes::from([&[1, writer][..], &(number % KEYS).to_be_bytes()].concat())
}

fn last_key(writer: u8) -> Bytes {
    Bytes::from(vec![1, writer, 0xff])
}

fn value(writer: u8, batch: u64) -> Bytes {
    let length = usize::try_from(batch * 37 % 701).unwrap_or_default();
    let mut value = batch.to_be_bytes().to_vec();
    value.resize(8 + length, writer ^ batch.to_le_bytes()[0]);
    Bytes::from(value)
}

/// Writes the batch with this number, which follows the one before: two puts, a delete, and the number itself.
///
/// # Errors
/// As `Engine::apply`.
pub fn write(engine: &dyn Engine, writer: u8, number: u64) -> Result<Lsn> {
    let mut batch = Batch::new();
    batch.put(key(writer, number), value(writer, number));
    batch.put(key(writer, number.wrapping_mul(31)), value(writer, number + 1));
    batch.delete(key(writer, number + KEYS / 2));
    batch.put(last_key(writer), Bytes::from(number.to_be_bytes().to_vec()));
    engine.apply(batch)
}

/// The last batch of a writer that is there; 0 for none.
///
/// # Errors
/// `Corruption` for a number that cannot be one.
pub fn last(engine: &dyn Engine, writer: u8) -> Result<u64> {
    let Some(value) = engine.get(&last_key(writer))? else { return Ok(0) };
    let bytes = value.first_chunk().ok_or_else(|| Error::corrupt("the writer's number is torn"))?;
    Ok(u64::from_be_bytes(*bytes))
}

/// Checks that a writer's keys are exactly what its batches up to the last one left.
///
/// # Errors
/// `Corruption` that says what differs.
pub fn check(engine: &dyn Engine, writer: u8, acknowledged: u64) -> Result<()> {
    let last = last(engine, writer)?;
    if last < acknowledged {
        return Err(Error::corrupt(format!(
            "writer {writer}: batch {acknowledged} was acknowledged, {last} is there"
        )));
    }
    let mut expected = BTreeMap::new();
    for number in 1..=last {
        expected.insert(key(writer, number), value(writer, number));
        expected.insert(key(writer, number.wrapping_mul(31)), value(writer, number + 1));
        expected.remove(&key(writer, number + KEYS / 2));
    }
    let page = engine.scan(&[1, writer], &last_key(writer), usize::MAX, usize::MAX)?;
    let found: BTreeMap<Bytes, Bytes> = page.items.into_iter().collect();
    if found != expected {
        let (there, due) = (found.len(), expected.len());
        return Err(Error::corrupt(format!(
            "writer {writer}: {there} keys after batch {last}, {due} expected, or others"
        )));
    }
    for (key, value) in expected {
        if engine.get(&key)? != Some(value) {
            return Err(Error::corrupt(format!(
                "writer {writer}: key {key:02x?} reads otherwise than it scans"
            )));
        }
    }
    Ok(())
}
