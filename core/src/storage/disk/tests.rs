//! What a disk engine promises about its directory: one holder, nothing foreign, no damage served or passed over, a full
//! or broken disk told from a working one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tempfile::TempDir;

use super::{DiskEngine, DiskSettings};
use crate::base::error::{Detail, ErrorKind, Result};
use crate::base::settings::{Durability, Settings};
use crate::storage::engine::{Batch, Cached, Engine, Lsn};

fn settings() -> DiskSettings {
    DiskSettings::new(&Settings { durability: Durability::Sync, ..Settings::default() }, "boot")
}

fn open(path: &Path) -> Result<DiskEngine> {
    DiskEngine::open(path, settings())
}

fn key(number: u32) -> Bytes {
    Bytes::from(format!("\x01key-{number:06}"))
}

fn value(number: u32) -> Bytes {
    Bytes::from(format!("value-{number}").repeat(5))
}

fn put(engine: &DiskEngine, number: u32) -> Result<Lsn> {
    let mut batch = Batch::new();
    batch.put(key(number), value(number));
    engine.apply(batch)
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A directory whose engine was killed after these puts, each of them synced.
fn killed(numbers: std::ops::Range<u32>) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let engine = open(&path).unwrap();
    for number in numbers {
        let lsn = put(&engine, number).unwrap();
        wait(engine.synced(lsn)).unwrap();
    }
    drop(engine);
    (directory, path)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 0x20;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_second_open_is_refused_with_the_holders_pid() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path()).unwrap();
    let refused = open(directory.path()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Locked);
    assert!(matches!(refused.detail(), Detail::Locked { pid } if *pid == std::process::id()), "{refused}");
    engine.close().unwrap();
    let again = open(directory.path()).unwrap();
    drop(engine);
    assert_eq!(
        open(directory.path()).unwrap_err().kind(),
        ErrorKind::Locked,
        "a closed engine holds no lock"
    );
    drop(again);
    open(directory.path()).unwrap();
}

#[test]
fn foreign_and_unusable_paths_are_refused_clearly() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("thesis.txt"), "mine").unwrap();
    let refused = open(directory.path()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    assert!(refused.message().contains("thesis.txt"), "{refused}");
    assert_eq!(files(directory.path()).len(), 1, "nothing was written into it");

    let file = directory.path().join("thesis.txt");
    assert_eq!(open(&file).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(open(&file.join("below")).unwrap_err().kind(), ErrorKind::Io);

    let (_directory, path) = killed(0..1);
    fs::write(path.join("FORMAT"), "ringkeep data 9\n").unwrap();
    assert_eq!(open(&path).unwrap_err().kind(), ErrorKind::VersionMismatch);
}

#[test]
fn nothing_is_readable_to_others() {
    use std::os::unix::fs::PermissionsExt;
    let (_directory, path) = killed(0..1);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
    for name in ["LOCK", "FORMAT", "STATE", "log", "tables"] {
        assert_eq!(fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o077, 0, "{name}");
    }
    for file in files(&path.join("log")) {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_killed_engine_comes_back_whole_and_knows_what_it_may_have_forgotten() {
    let (_directory, path) = killed(0..50);
    let mut elsewhere = settings();
    elsewhere.boot = "another boot".to_owned();
    let engine = DiskEngine::open(&path, elsewhere).unwrap();
    assert!(engine.opening().may_have_forgotten());
    engine.accept_opening().unwrap();
    drop(engine);
    let mut elsewhere = settings();
    elsewhere.boot = "another boot".to_owned();
    let engine = DiskEngine::open(&path, elsewhere).unwrap();
    assert!(!engine.opening().may_have_forgotten() && !engine.opening().clean);
    for number in 0..50 {
        assert_eq!(engine.get(&key(number)).unwrap(), Some(value(number)));
    }
    assert_eq!(engine.get_cached(&key(50)), Cached::Hit(None), "without tables absence is known");
    assert_eq!(put(&engine, 50).unwrap(), Lsn(51));
}

#[test]
fn every_byte_flipped_in_the_log_is_seen_or_harmless() {
    let (_directory, path) = killed(0..6);
    let log = files(&path.join("log"));
    assert_eq!(log.len(), 1);
    let whole = fs::read(&log[0]).unwrap();
    for offset in 0..whole.len() {
        // A start that is refused writes nothing, so each flip begins from the same bytes.
        fs::write(&log[0], &whole).unwrap();
        flip(&log[0], offset);
        match open(&path) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corruption, "offset {offset}: {error}");
                assert!(error.message().contains("0000000000000001.log"), "{error}");
            }
            Ok(engine) => {
                // Damage in the last frame cannot be told from a write that was cut short.
                for number in 0..5 {
                    assert_eq!(engine.get(&key(number)).unwrap(), Some(value(number)), "offset {offset}");
                }
                assert_eq!(engine.get(&key(5)).unwrap(), None, "offset {offset}");
                assert!(engine.stats().torn_bytes > 0);
                drop(engine);
                for file in files(&path.join("log")) {
                    fs::remove_file(file).unwrap();
                }
            }
        }
    }
}

#[test]
fn damage_before_a_clean_end_is_seen_in_the_last_frame_too() {
    let (_directory, path) = killed(0..6);
    open(&path).unwrap().close().unwrap();
    let log = files(&path.join("log"));
    let whole = fs::read(&log[0]).unwrap();
    for offset in whole.len() - 40..whole.len() {
        fs::write(&log[0], &whole).unwrap();
        flip(&log[0], offset);
        assert_eq!(open(&path).unwrap_err().kind(), ErrorKind::Corruption, "offset {offset}");
    }
    fs::write(&log[0], &whole[..whole.len() - 1]).unwrap();
    assert_eq!(open(&path).unwrap_err().kind(), ErrorKind::Corruption, "a cut tail");
    fs::remove_file(&log[0]).unwrap();
    assert_eq!(open(&path).unwrap_err().kind(), ErrorKind::Corruption, "a missing file");
}

#[test]
fn a_tail_that_is_cut_anywhere_loses_only_what_was_cut() {
    let (_directory, path) = killed(0..4);
    let log = files(&path.join("log"))[0].clone();
    let whole = fs::read(&log).unwrap();
    let frame = (whole.len() - 32) / 4;
    for length in 0..whole.len() {
        for file in files(&path.join("log")) {
            fs::remove_file(file).unwrap();
        }
        fs::write(&log, &whole[..length]).unwrap();
        let engine = open(&path).unwrap();
        let kept = u32::try_from(length.saturating_sub(32) / frame).unwrap();
        for number in 0..4 {
            let expected = (number < kept).then(|| value(number));
            assert_eq!(engine.get(&key(number)).unwrap(), expected, "cut at {length}");
        }
        assert_eq!(put(&engine, 9).unwrap(), Lsn(u64::from(kept) + 1));
    }
}

#[test]
fn after_power_loss_only_a_synced_frame_proves_damage() {
    let cut = |synced: bool| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        let engine = open(&path).unwrap();
        for number in 0..3 {
            let lsn = put(&engine, number).unwrap();
            if synced {
                wait(engine.synced(lsn)).unwrap();
            }
        }
        drop(engine);
        // The block with the first frame never reached the disk, a later one did.
        let log = files(&path.join("log"))[0].clone();
        let mut bytes = fs::read(&log).unwrap();
        bytes[40..60].fill(0);
        fs::write(&log, bytes).unwrap();
        let mut after = settings();
        after.boot = "the boot after".to_owned();
        (DiskEngine::open(&path, after), directory)
    };
    let (opened, _directory) = cut(true);
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::Corruption);
    let (opened, _directory) = cut(false);
    let engine = opened.unwrap();
    assert!(engine.opening().may_have_forgotten());
    assert_eq!((0..3).filter_map(|number| engine.get(&key(number)).unwrap()).count(), 0);
    assert!(engine.stats().torn_bytes > 0);
}

#[test]
fn what_may_be_forgotten_stays_in_doubt_until_a_run_accepts_it() {
    let (_directory, path) = killed(0..5);
    let elsewhere = || {
        let mut settings = settings();
        settings.boot = "another boot".to_owned();
        DiskEngine::open(&path, settings).unwrap()
    };
    // One run is killed before it could do anything about it, one ends in order.
    drop(elsewhere());
    let engine = elsewhere();
    assert!(engine.opening().may_have_forgotten());
    put(&engine, 5).unwrap();
    engine.close().unwrap();
    drop(engine);
    let engine = elsewhere();
    assert!(engine.opening().may_have_forgotten());
    assert_eq!((0..6).filter_map(|number| engine.get(&key(number)).unwrap()).count(), 6);
    engine.accept_opening().unwrap();
    engine.close().unwrap();
    assert!(engine.accept_opening().is_err());
    drop(engine);
    assert!(elsewhere().opening().clean);
}

#[test]
fn a_missing_log_file_is_seen() {
    let (_directory, path) = killed(0..3);
    let engine = open(&path).unwrap();
    put(&engine, 3).unwrap();
    drop(engine);
    let log = files(&path.join("log"));
    assert_eq!(log.len(), 2);
    let first = fs::read(&log[0]).unwrap();
    fs::remove_file(&log[0]).unwrap();
    let refused = open(&path).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corruption);
    assert!(refused.message().contains("missing"), "{refused}");
    fs::write(&log[0], first).unwrap();
    assert_eq!(open(&path).unwrap().get(&key(3)).unwrap(), Some(value(3)));
}

#[test]
fn every_byte_flipped_in_tables_is_seen_or_harmless() {
    let (_directory, path) = killed(0..40);
    let engine = open(&path).unwrap();
    engine.flush().unwrap();
    engine.close().unwrap();
    drop(engine);
    let tables = path.join("tables");
    let mut damaged: Vec<_> = files(&tables).into_iter().filter(|path| path.is_file()).collect();
    damaged.extend(files(&tables.join("tables")));
    assert!(damaged.len() >= 3, "current, list and table: {damaged:?}");
    let mut refused = 0;
    for file in damaged {
        let whole = fs::read(&file).unwrap();
        // Every byte of the list, and every eleventh of the larger files.
        let step = if whole.len() > 1_000 { 11 } else { 1 };
        for offset in (0..whole.len()).step_by(step) {
            flip(&file, offset);
            let outcome = open(&path).and_then(|engine| {
                let read: Result<Vec<_>> = (0..40).map(|number| engine.get(&key(number))).collect();
                let scanned = engine.scan(&[1], &[2], 100, usize::MAX);
                engine.close().unwrap();
                Ok((read?, scanned?))
            });
            match outcome {
                Ok((read, scanned)) => {
                    let at = format!("{} at {offset}", file.display());
                    assert!(read == (0..40).map(|number| Some(value(number))).collect::<Vec<_>>(), "{at}");
                    assert!(scanned.items == (0..40).map(|n| (key(n), value(n))).collect::<Vec<_>>(), "{at}");
                }
                Err(error) => {
                    assert_eq!(
                        error.kind(),
                        ErrorKind::Corruption,
                        "{} at {offset}: {error}",
                        file.display()
                    );
                    refused += 1;
                }
            }
            fs::write(&file, &whole).unwrap();
        }
    }
    assert!(refused > 500, "{refused}");
}

#[test]
fn missing_and_foreign_files_among_the_tables_are_named() {
    let (_directory, path) = killed(0..4);
    let engine = open(&path).unwrap();
    engine.flush().unwrap();
    engine.close().unwrap();
    drop(engine);
    let tables = path.join("tables");
    let foreign = tables.join("tables").join("notes");
    fs::write(&foreign, "mine").unwrap();
    assert!(open(&path).unwrap_err().message().contains("notes"));
    fs::remove_file(&foreign).unwrap();
    let current = fs::read(tables.join("current")).unwrap();
    fs::remove_file(tables.join("current")).unwrap();
    assert_eq!(open(&path).unwrap_err().kind(), ErrorKind::Corruption);
    fs::write(tables.join("current"), current).unwrap();
    open(&path).unwrap().close().unwrap();
    fs::remove_file(&files(&tables.join("tables"))[0]).unwrap();
    assert_eq!(open(&path).unwrap_err().kind(), ErrorKind::Corruption);
}

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings();
    let faults = settings.faults.clone();
    let engine = DiskEngine::open(directory.path(), settings).unwrap();
    put(&engine, 0).unwrap();
    faults.planted().full.store(true, Ordering::Release);
    for number in 1..5 {
        assert_eq!(put(&engine, number).unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(engine.get(&key(number)).unwrap(), None);
    }
    assert_eq!(engine.get(&key(0)).unwrap(), Some(value(0)));
    faults.planted().full.store(false, Ordering::Release);
    let lsn = put(&engine, 1).unwrap();
    assert_eq!(lsn, Lsn(2), "what was refused took no number");
    wait(engine.synced(lsn)).unwrap();
    drop(engine);
    let engine = open(directory.path()).unwrap();
    assert_eq!(engine.get(&key(1)).unwrap(), Some(value(1)));
    assert_eq!(engine.get(&key(2)).unwrap(), None);
}

#[test]
fn a_failed_fsync_ends_acknowledgements_and_the_trust_in_this_boot() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings();
    let faults = settings.faults.clone();
    let engine = DiskEngine::open(directory.path(), settings).unwrap();
    let before = put(&engine, 0).unwrap();
    wait(engine.synced(before)).unwrap();
    faults.planted().unsyncable.store(true, Ordering::Release);
    let lsn = put(&engine, 1).unwrap();
    assert_eq!(wait(engine.synced(lsn)).unwrap_err().kind(), ErrorKind::Io);
    faults.planted().unsyncable.store(false, Ordering::Release);
    assert_eq!(wait(engine.synced(lsn)).unwrap_err().kind(), ErrorKind::Io, "a later fsync proves nothing");
    wait(engine.synced(before)).unwrap();
    assert_eq!(put(&engine, 2).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(engine.get(&key(0)).unwrap(), Some(value(0)));
    assert!(engine.close().is_err());
    drop(engine);
    assert!(open(directory.path()).unwrap().opening().may_have_forgotten());
}

#[test]
fn bad_batches_are_refused_whole() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path()).unwrap();
    for bad in [Bytes::new(), Bytes::from(vec![1; 70_000]), Bytes::from_static(b"\xffd")] {
        let mut batch = Batch::new();
        batch.put(key(0), value(0));
        batch.put(bad.clone(), value(1));
        assert_eq!(engine.apply(batch).unwrap_err().kind(), ErrorKind::InvalidArgument);
        let mut items = [(bad, value(1))].into_iter();
        assert_eq!(engine.ingest(&mut items).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    let mut unordered = [(key(2), value(2)), (key(1), value(1))].into_iter();
    assert_eq!(engine.ingest(&mut unordered).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(engine.get(&key(0)).unwrap(), None);
    put(&engine, 0).unwrap();
    engine.flush().unwrap();
}

#[test]
fn a_dropped_range_stays_gone_and_its_space_comes_back() {
    let (_directory, path) = killed(0..3_000);
    let engine = open(&path).unwrap();
    engine.flush().unwrap();
    assert!(engine.stats().table_bytes > 50_000);
    put(&engine, 5_000).unwrap();
    engine.drop_range(&key(0), &key(4_000)).unwrap();
    let check = |engine: &DiskEngine| {
        assert_eq!(engine.get(&key(7)).unwrap(), None);
        assert_eq!(engine.scan(&[1], &[2], 10, usize::MAX).unwrap().items, [(key(5_000), value(5_000))]);
    };
    check(&engine);
    assert_eq!(put(&engine, 7).unwrap_err().kind(), ErrorKind::InvalidArgument);
    drop(engine);
    let engine = open(&path).unwrap();
    check(&engine);
    engine.flush().unwrap();
    engine.close().unwrap();
    let engine = open(&path).unwrap();
    check(&engine);
    // The merging thread gets to it after the next flush; each pass through here gives it one.
    for number in 6_000..6_100 {
        if engine.stats().table_bytes < 20_000 {
            break;
        }
        put(&engine, number).unwrap();
        engine.flush().unwrap();
    }
    assert!(engine.stats().table_bytes < 20_000, "{:?}", engine.stats());
    assert_eq!(engine.get(&key(7)).unwrap(), None);
}

#[test]
fn a_range_that_only_the_log_has_as_dropped_is_not_discarded_from_tables() {
    let (_directory, path) = killed(0..100);
    let engine = open(&path).unwrap();
    engine.flush().unwrap();
    engine.drop_range(&[1], &[2]).unwrap();
    engine.shared.tables.compact_all().unwrap();
    drop(engine);
    let engine = open(&path).unwrap();
    assert_eq!(engine.get(&key(7)).unwrap(), None);
    engine.flush().unwrap();
    engine.shared.tables.compact_all().unwrap();
    drop(engine);
    let engine = open(&path).unwrap();
    assert_eq!(engine.scan(&[1], &[2], 10, usize::MAX).unwrap().items, []);
}
