//! Reading the log back: every whole frame above what the tables hold, in order.
//! A tail that was being written when power or process ended is cut. A frame that cannot be read although it was on
//! disk once is damage, and an error: proof is a later frame that says so, the marker of a clean end, or, while the
//! operating system has run on, any later frame at all.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use super::directory::{LastRun, sync_directory};
use super::frame::{Frame, Framing, HEADER_BYTES};
use super::log::Segment;
use crate::base::error::{Error, Result};
use crate::storage::engine::{Lsn, Opening};

/// What reading the log back has found.
#[derive(Debug)]
pub(super) struct Replayed {
    /// The segments that are still needed, oldest first.
    pub(super) segments: Vec<Segment>,
    /// The number of the next batch.
    pub(super) next: Lsn,
    /// Bytes of a torn tail that were cut.
    pub(super) torn_bytes: u64,
}

/// What the reader knows before it starts.
#[derive(Debug)]
pub(super) struct Known {
    /// The last batch that is in tables.
    pub(super) persisted: Lsn,
    pub(super) last_run: LastRun,
    pub(super) opening: Opening,
}

#[derive(Debug)]
struct Loaded {
    number: u64,
    path: PathBuf,
    bytes: Vec<u8>,
    /// The first lsn, if the header is whole.
    first: Option<Lsn>,
}

/// Where a frame was expected and not found.
#[derive(Clone, Copy, Debug)]
struct Gap {
    segment: usize,
    offset: usize,
    expected: Lsn,
}

/// Reads the log, hands every needed frame to `apply`, and cuts a torn tail.
pub(super) fn replay(
    directory: &Path,
    known: &Known,
    apply: &mut dyn FnMut(&Frame<'_>) -> Result<()>,
) -> Result<Replayed> {
    let segments = load(directory, known.persisted)?;
    let mut expected = Lsn(known.persisted.0 + 1);
    if let Some(first) = segments.first().and_then(|segment| segment.first) {
        if first > expected {
            let found =
                segments.first().map(|segment| segment.path.display().to_string()).unwrap_or_default();
            return Err(Error::corrupt(format!(
                "a log file is missing: the tables end with batch {}, and {found} begins with {first}",
                known.persisted
            )));
        }
        expected = first;
    }
    let mut gap = None;
    for (index, segment) in segments.iter().enumerate() {
        let (end, next) = read_segment(segment, expected, known.persisted, apply)?;
        expected = next;
        let follows = segments.get(index + 1).and_then(|next| next.first);
        let whole = end == segment.bytes.len() && (index + 1 == segments.len() || follows == Some(expected));
        if !whole {
            gap = Some(Gap { segment: index, offset: end, expected });
            break;
        }
    }
    if let Some(gap) = gap
        && let Some(proof) = proof_of_damage(&segments, gap, known)
    {
        let path =
            segments.get(gap.segment).map(|segment| segment.path.display().to_string()).unwrap_or_default();
        return Err(Error::corrupt(format!(
            "log {path} is damaged at offset {}: batch {} cannot be read, {proof}",
            gap.offset, gap.expected
        )));
    }
    if let LastRun::Clean(last) = known.last_run
        && expected.0.max(known.persisted.0 + 1) <= last.0
    {
        return Err(Error::corrupt(format!(
            "the log in {} ends before batch {expected}, and was closed after {last}",
            directory.display()
        )));
    }
    keep(directory, &segments, gap, expected, known)
}

/// Reads the segments, and removes those that the tables have made needless.
fn load(directory: &Path, persisted: Lsn) -> Result<Vec<Loaded>> {
    let fault = |error| Error::io(format_args!("log {}", directory.display()), error);
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory).map_err(fault)? {
        numbers.extend(entry.map_err(fault)?.file_name().to_str().and_then(Segment::number_of));
    }
    numbers.sort_unstable();
    let mut loaded: Vec<Loaded> = Vec::new();
    for number in numbers {
        let path = Segment { number, first: Lsn(0), bytes: 0 }.path(directory);
        let bytes =
            fs::read(&path).map_err(|error| Error::io(format_args!("log {}", path.display()), error))?;
        let first = Framing::new(number).read_header(&bytes);
        if first.is_some_and(|first| first.0 <= persisted.0 + 1) {
            for spent in loaded.drain(..) {
                remove(&spent.path)?;
            }
        }
        loaded.push(Loaded { number, path, bytes, first });
    }
    Ok(loaded)
}

/// Applies the whole frames of one segment; returns where they end, and the next lsn.
fn read_segment(
    segment: &Loaded,
    mut expected: Lsn,
    persisted: Lsn,
    apply: &mut dyn FnMut(&Frame<'_>) -> Result<()>,
) -> Result<(usize, Lsn)> {
    if segment.first != Some(expected) {
        return Ok((0, expected));
    }
    let framing = Framing::new(segment.number);
    let mut offset = HEADER_BYTES;
    while let Some(frame) = segment.bytes.get(offset..).and_then(|rest| framing.read(rest)) {
        if frame.lsn != expected {
            break;
        }
        if frame.lsn > persisted {
            apply(&frame).map_err(|error| {
                Error::corrupt(format!(
                    "log {} at offset {offset}: {}",
                    segment.path.display(),
                    error.message()
                ))
            })?;
        }
        offset += frame.len();
        expected = Lsn(expected.0 + 1);
    }
    Ok((offset, expected))
}

/// Why the frame that was expected at the gap must have been there, if there is a reason.
fn proof_of_damage(segments: &[Loaded], gap: Gap, known: &Known) -> Option<String> {
    if let LastRun::Clean(last) = known.last_run
        && gap.expected <= last
    {
        return Some(format!("and the log was closed in order after batch {last}"));
    }
    let later = segments.iter().enumerate().skip(gap.segment);
    for (index, segment) in later {
        let framing = Framing::new(segment.number);
        let mut offset = if index == gap.segment { gap.offset } else { 0 };
        while let Some((skipped, frame)) =
            segment.bytes.get(offset..).and_then(|rest| framing.find(rest, Lsn(gap.expected.0 - 1)))
        {
            // After a loss of power later blocks may have reached the disk before earlier ones: then only a frame
            // that was written after a sync proves anything.
            if known.opening.same_boot || frame.synced >= gap.expected {
                let at = offset + skipped;
                return Some(format!("though batch {} in {} at {at} can", frame.lsn, segment.path.display()));
            }
            offset += skipped + frame.len();
        }
    }
    None
}

/// Cuts the torn tail, removes what lies behind it, and makes sure that the rest is on disk.
fn keep(
    directory: &Path,
    segments: &[Loaded],
    gap: Option<Gap>,
    expected: Lsn,
    known: &Known,
) -> Result<Replayed> {
    let mut kept = Vec::new();
    let mut torn_bytes = 0;
    // Backwards: a crash in between leaves what the next start takes for the same torn tail.
    for (index, segment) in segments.iter().enumerate().rev() {
        let end = match gap {
            Some(gap) if index > gap.segment => 0,
            Some(gap) if index == gap.segment => gap.offset,
            _ => segment.bytes.len(),
        };
        torn_bytes += (segment.bytes.len() - end) as u64;
        match segment.first {
            Some(first) if end >= HEADER_BYTES => {
                // After a clean end everything was synced.
                if !known.opening.clean {
                    settle(&segment.path, end)
                        .map_err(|error| Error::io(format_args!("log {}", segment.path.display()), error))?;
                }
                kept.push(Segment { number: segment.number, first, bytes: end as u64 });
            }
            _ => remove(&segment.path)?,
        }
    }
    kept.reverse();
    sync_directory(directory)?;
    // Power may have taken more of the log than of the tables.
    let next = expected.max(Lsn(known.persisted.0 + 1));
    if expected < next {
        for segment in kept.drain(..) {
            remove(&segment.path(directory))?;
        }
    }
    Ok(Replayed { segments: kept, next, torn_bytes })
}

fn settle(path: &Path, end: usize) -> std::io::Result<()> {
    let file: File = OpenOptions::new().write(true).open(path)?;
    file.set_len(end as u64)?;
    file.sync_data()
}

fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).map_err(|error| Error::io(format_args!("log {}", path.display()), error))
}
