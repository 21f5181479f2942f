//! What callers pass in, checked and copied: bytes, texts, options, ranges, handles.

use std::ffi::{CStr, c_char};

use bytes::Bytes;
use ringkeep_surface::{
    CallOptions, Consistency, Error, ReadOptions, Result, ScanOptions, WriteOptions, options,
};

use crate::guard::size_of_u32;
use crate::types::{rk_bytes, rk_opts, rk_range};

/// The levels in the order of the header's constants, from RK_ONE = 1.
const LEVELS: [Consistency; 6] = [
    Consistency::One,
    Consistency::Quorum,
    Consistency::All,
    Consistency::LocalOne,
    Consistency::LocalQuorum,
    Consistency::EachQuorum,
];

/// A handle that must not be NULL.
///
/// # Safety
/// `handle` is NULL or alive until the call returns.
pub(crate) unsafe fn handle<'a, T>(handle: *const T, what: &str) -> Result<&'a T> {
    // SAFETY: as this function's own.
    unsafe { handle.as_ref() }.ok_or_else(|| Error::invalid(format!("{what} is NULL")))
}

/// A copy of the caller's bytes.
///
/// # Safety
/// `given.data` is NULL or readable for `given.len` bytes.
pub(crate) unsafe fn bytes(given: rk_bytes, what: &str) -> Result<Bytes> {
    if given.len == 0 {
        return Ok(Bytes::new());
    }
    if given.data.is_null() {
        return Err(Error::invalid(format!("{what} is NULL with a length of {}", given.len)));
    }
    if isize::try_from(given.len).is_err() {
        return Err(Error::invalid(format!("{what} has the length {}, more than memory", given.len)));
    }
    // SAFETY: not NULL, of a length that a slice can have, readable as the caller promised.
    Ok(Bytes::copy_from_slice(unsafe { std::slice::from_raw_parts(given.data.cast(), given.len) }))
}

/// The caller's text; NULL is none.
///
/// # Safety
/// `given` is NULL or ended by a zero byte and unchanged until the call returns.
pub(crate) unsafe fn text<'a>(given: *const c_char, what: &str) -> Result<Option<&'a str>> {
    if given.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, ended as the caller promised.
    let text = unsafe { CStr::from_ptr(given) };
    text.to_str().map(Some).map_err(|_| Error::invalid(format!("{what} is not UTF-8")))
}

/// The elements of a caller's array; NULL is good for none of them only.
///
/// # Safety
/// `first` is NULL or readable for `count` elements until the call returns.
pub(crate) unsafe fn array<'a, T>(first: *const T, count: usize, what: &str) -> Result<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    if first.is_null() {
        return Err(Error::invalid(format!("{what} is NULL for {count} items")));
    }
    let fits = count.checked_mul(size_of::<T>()).is_some_and(|len| isize::try_from(len).is_ok());
    if !fits || !first.is_aligned() {
        return Err(Error::invalid(format!("{what} is no array of {count} items")));
    }
    // SAFETY: not NULL, aligned, of a length that a slice can have, readable as the caller promised.
    Ok(unsafe { std::slice::from_raw_parts(first, count) })
}

/// The options of a read; what only writes take is left aside, so that one struct can serve a whole program.
///
/// # Safety
/// `given` is NULL or readable, its context too.
pub(crate) unsafe fn read_options(given: *const rk_opts, event_loop: bool) -> Result<ReadOptions> {
    // SAFETY: as this function's own.
    let said = unsafe { Said::of(given)? };
    let common = said.common(event_loop)?;
    CallOptions { r: said.number("r", said.0.r)?, ..common }.read()
}

/// The options of a write; what only reads take is left aside.
///
/// # Safety
/// As for `read_options`.
pub(crate) unsafe fn write_options(given: *const rk_opts, event_loop: bool) -> Result<WriteOptions> {
    // SAFETY: as this function's own.
    let said = unsafe { Said::of(given)? };
    let common = said.common(event_loop)?;
    // SAFETY: the caller's bytes, readable as it promised.
    let context = options::context(unsafe { bytes(said.0.context, "context")? });
    let ttl_ms = said.time("ttl_ms", said.0.ttl_ms)?;
    CallOptions { w: said.number("w", said.0.w)?, ttl_ms, context, ..common }.write()
}

/// The options of a scan; a NULL range is every key.
///
/// # Safety
/// `range` and `given` are NULL or readable, the bytes in them too.
pub(crate) unsafe fn scan_options(range: *const rk_range, given: *const rk_opts) -> Result<ScanOptions> {
    // SAFETY: as this function's own.
    let read = unsafe { read_options(given, false)? };
    if range.is_null() {
        return Ok(ScanOptions { read, ..ScanOptions::default() });
    }
    // SAFETY: not NULL, readable as the caller promised.
    let range = unsafe { range.read_unaligned() };
    Ok(ScanOptions {
        // SAFETY: the caller's bytes, readable as it promised.
        prefix: unsafe { bytes(range.prefix, "prefix")? },
        // SAFETY: as above.
        start: unsafe { bytes(range.start, "start")? },
        // SAFETY: as above.
        end: unsafe { bytes(range.end, "end")? },
        limit: if range.limit == -1 { None } else { Some(options::limit(range.limit)?) },
        read,
    })
}

/// The caller's options, of the right size.
struct Said(rk_opts);

impl Said {
    unsafe fn of(given: *const rk_opts) -> Result<Self> {
        let size = size_of_u32::<rk_opts>();
        if given.is_null() {
            let none = rk_bytes { data: std::ptr::null(), len: 0 };
            let nothing = rk_opts {
                size,
                consistency: 0,
                r: -1,
                w: -1,
                sloppy: -1,
                timeout_ms: -1,
                ttl_ms: -1,
                context: none,
            };
            return Ok(Self(nothing));
        }
        // SAFETY: not NULL, so at least its size can be read as the caller promised.
        let said = unsafe { (&raw const (*given).size).read_unaligned() };
        if said != size {
            return Err(Error::invalid(format!(
                "rk_opts.size={said} is not {size}: start from RK_OPTS_INIT of this library's header"
            )));
        }
        // SAFETY: of the size that this library knows, readable as the caller promised.
        Ok(Self(unsafe { given.read_unaligned() }))
    }

    fn common(&self, event_loop: bool) -> Result<CallOptions<'static>> {
        let sloppy = match self.0.sloppy {
            -1 => None,
            0 => Some(false),
            1 => Some(true),
            other => return Err(Error::invalid(format!("sloppy={other} is not -1, 0 or 1"))),
        };
        let consistency = match usize::try_from(self.0.consistency) {
            Ok(0) => Ok(None),
            Ok(given) => LEVELS.get(given - 1).map(|level| Some(level.as_str())).ok_or(given.to_string()),
            Err(_) => Err(self.0.consistency.to_string()),
        };
        let consistency = match consistency {
            Ok(level) => level,
            Err(other) => return Err(Error::invalid(format!("consistency={other} is no level"))),
        };
        let timeout_ms = self.time("timeout_ms", self.0.timeout_ms)?;
        Ok(CallOptions { consistency, sloppy, timeout_ms, event_loop, ..CallOptions::default() })
    }

    fn number(&self, name: &str, given: i32) -> Result<Option<i64>> {
        match given {
            -1 => Ok(None),
            0.. => Ok(Some(given.into())),
            _ => Err(Error::invalid(format!("{name}={given} is negative; -1 means not given"))),
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "what is long enough to lose milliseconds is refused as too long"
    )]
    fn time(&self, name: &str, given: i64) -> Result<Option<f64>> {
        match given {
            -1 => Ok(None),
            0.. => Ok(Some(given as f64)),
            _ => Err(Error::invalid(format!("{name}={given} is negative; -1 means not given"))),
        }
    }
}
