//! Entries and receipts: what operations give. Bytes read from one are borrowed until it is freed.

use std::sync::OnceLock;

use bytes::Bytes;
use ringkeep_surface::{Context, Entry, Receipt, Result, Value};

use crate::guard::{free, quiet};
use crate::types::rk_bytes;

/// The siblings and the context of a key.
pub struct rk_entry {
    siblings: Vec<Value>,
    context: Token,
}

/// What a write did.
pub struct rk_receipt {
    context: Token,
    owners: i32,
    fallbacks: i32,
}

/// A context whose bytes are made when first asked for; most callers never ask.
struct Token {
    context: Option<Context>,
    bytes: OnceLock<Bytes>,
}

impl Token {
    fn new(context: Option<Context>) -> Self {
        Self { context, bytes: OnceLock::new() }
    }

    fn bytes(&self) -> rk_bytes {
        let made = || self.context.as_ref().map(Context::to_bytes).unwrap_or_default();
        borrowed(self.bytes.get_or_init(made))
    }
}

const EMPTY: rk_bytes = rk_bytes { data: std::ptr::null(), len: 0 };

pub(crate) fn borrowed(bytes: &Bytes) -> rk_bytes {
    rk_bytes { data: bytes.as_ptr().cast(), len: bytes.len() }
}

impl rk_entry {
    /// Every sibling.
    pub(crate) fn all(entry: &Entry) -> Self {
        Self { siblings: entry.siblings().to_vec(), context: Token::new(Some(entry.context().clone())) }
    }

    /// The value that the resolver picks.
    pub(crate) fn resolved(entry: &Entry) -> Result<Self> {
        let siblings = entry.value()?.cloned().into_iter().collect();
        Ok(Self { siblings, context: Token::new(Some(entry.context().clone())) })
    }

    /// One value with a context, or none.
    pub(crate) fn of(value: Option<Bytes>, context: Option<Context>) -> Self {
        let siblings = value.map(|bytes| Value { bytes, expires: None }).into_iter().collect();
        Self { siblings, context: Token::new(context) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.siblings.is_empty()
    }
}

impl rk_receipt {
    pub(crate) fn new(receipt: &Receipt) -> Self {
        let count = |owners: u32| i32::try_from(owners).unwrap_or(i32::MAX);
        Self {
            context: Token::new(Some(receipt.context().clone())),
            owners: count(receipt.owners()),
            fallbacks: count(receipt.fallbacks()),
        }
    }
}

/// How many siblings are live: 0 absent, 1 a value, more: a conflict.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_entry_count(e: *const rk_entry) -> usize {
    // SAFETY: as this function's own.
    unsafe { e.as_ref() }.map_or(0, |entry| entry.siblings.len())
}

/// The value of a sibling, oldest first; empty with NULL when there is no such sibling.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_entry_value(e: *const rk_entry, i: usize) -> rk_bytes {
    // SAFETY: as this function's own.
    let sibling = unsafe { e.as_ref() }.and_then(|entry| entry.siblings.get(i));
    sibling.map_or(EMPTY, |value| borrowed(&value.bytes))
}

/// When a sibling stops being shown, in Unix time; -1: never, or there is no such sibling.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_entry_expires_ms(e: *const rk_entry, i: usize) -> i64 {
    // SAFETY: as this function's own.
    let sibling = unsafe { e.as_ref() }.and_then(|entry| entry.siblings.get(i));
    sibling.and_then(|value| value.expires).map_or(-1, |at| i64::try_from(at).unwrap_or(i64::MAX))
}

/// The context that covers every sibling: opaque bytes to put with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_entry_context(e: *const rk_entry) -> rk_bytes {
    // SAFETY: as this function's own.
    quiet(EMPTY, || unsafe { e.as_ref() }.map_or(EMPTY, |entry| entry.context.bytes()))
}

/// Ends an entry.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_entry_free(e: *mut rk_entry) {
    // SAFETY: as this function's own.
    unsafe { free(e) }
}

/// The context that covers the write and what it superseded.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_receipt_context(r: *const rk_receipt) -> rk_bytes {
    // SAFETY: as this function's own.
    quiet(EMPTY, || unsafe { r.as_ref() }.map_or(EMPTY, |receipt| receipt.context.bytes()))
}

/// Owners that had stored the write when the call returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_receipt_owners(r: *const rk_receipt) -> i32 {
    // SAFETY: as this function's own.
    unsafe { r.as_ref() }.map_or(0, |receipt| receipt.owners)
}

/// Fallbacks that had stored the write in a marked copy.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_receipt_fallbacks(r: *const rk_receipt) -> i32 {
    // SAFETY: as this function's own.
    unsafe { r.as_ref() }.map_or(0, |receipt| receipt.fallbacks)
}

/// Ends a receipt.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_receipt_free(r: *mut rk_receipt) {
    // SAFETY: as this function's own.
    unsafe { free(r) }
}
