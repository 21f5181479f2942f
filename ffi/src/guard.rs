//! The one guard that every export runs in: failures become statuses and a filled `rk_error`, panics `RK_INTERNAL`.
//! Out parameters are cleared before anything else, so that a caller who frees them after a failure frees NULL.

use std::any::Any;
use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ringkeep_surface::{Detail, Error, ErrorKind, Result, errors};

use crate::types::{rk_error, rk_status};

/// Runs an export's body. A wrong `err->size` is itself an invalid argument, and nothing runs.
///
/// # Safety
/// `err` is NULL or points to a writable `rk_error` of at least `err->size` bytes.
pub(crate) unsafe fn guard(err: *mut rk_error, body: impl FnOnce() -> Result<rk_status>) -> rk_status {
    // SAFETY: as this function's own.
    let Some(report) = (unsafe { Report::of(err) }) else {
        return errors::status(ErrorKind::InvalidArgument);
    };
    let outcome = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(internal(panic)));
    match outcome {
        Ok(status) => report.done(status),
        Err(error) => report.failed(&error),
    }
}

/// Runs the body of an export that gives no status; a panic gives the value for "nothing".
pub(crate) fn quiet<T>(nothing: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        // Dropping a payload may panic again.
        std::mem::forget(panic);
        nothing
    })
}

/// An error as the operation of this name reports it, where that is made of another one.
pub(crate) fn renamed(operation: &'static str) -> impl Fn(Error) -> Error {
    move |error| {
        Error::new(error.kind(), error.message())
            .maybe_applied_if(error.maybe_applied())
            .with_detail(error.detail().clone())
            .during(operation)
    }
}

fn internal(panic: Box<dyn Any + Send>) -> Error {
    let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "a panic".to_owned(),
    };
    std::mem::forget(panic);
    Error::new(ErrorKind::Internal, format!("a bug in Ringkeep: {text}")).maybe_applied_if(true)
}

/// An error in the form that callbacks get: filled like a caller's own.
pub(crate) fn error_struct(error: &Error) -> Box<rk_error> {
    let mut made = Box::new(empty());
    fill(&mut made, error);
    made
}

fn empty() -> rk_error {
    rk_error {
        size: size_of_u32::<rk_error>(),
        code: errors::OK,
        needed: 0,
        received: 0,
        maybe_applied: 0,
        retryable: 0,
        message: [0; 512],
    }
}

pub(crate) fn size_of_u32<T>() -> u32 {
    u32::try_from(size_of::<T>()).unwrap_or(u32::MAX)
}

fn fill(into: &mut rk_error, error: &Error) -> rk_status {
    into.code = errors::status(error.kind());
    (into.needed, into.received) = match error.detail() {
        Detail::Quorum { needed, received, .. } => {
            (i32::try_from(*needed).unwrap_or(i32::MAX), i32::try_from(*received).unwrap_or(i32::MAX))
        }
        _ => (0, 0),
    };
    into.maybe_applied = error.maybe_applied().into();
    into.retryable = error.retryable().into();
    write_message(&mut into.message, &error.to_string());
    into.code
}

fn write_message(into: &mut [c_char], text: &str) {
    // A zero byte from a key in the text would end the message early.
    let text = text.replace('\0', "\\0");
    let most = into.len().saturating_sub(1);
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let bytes = text.bytes().take(end).chain(std::iter::once(0));
    for (place, byte) in into.iter_mut().zip(bytes) {
        *place = byte.cast_signed() as c_char;
    }
}

/// The caller's `rk_error`, checked.
struct Report(*mut rk_error);

impl Report {
    /// None: its size is not one that this library knows.
    ///
    /// # Safety
    /// As for `guard`.
    unsafe fn of(err: *mut rk_error) -> Option<Self> {
        if err.is_null() {
            return Some(Self(err));
        }
        if !err.is_aligned() {
            return None;
        }
        // SAFETY: not NULL and aligned, so readable as the caller promised; the size is its first field.
        let size = unsafe { (&raw const (*err).size).read() };
        // A later header's struct is longer; its first fields are these.
        (size >= size_of_u32::<rk_error>()).then_some(Self(err))
    }

    fn done(self, status: rk_status) -> rk_status {
        if !self.0.is_null() {
            // SAFETY: checked by `of`; the caller lends it for the call.
            let err = unsafe { &mut *self.0 };
            err.code = status;
            (err.needed, err.received, err.maybe_applied, err.retryable) = (0, 0, 0, 0);
            if let Some(first) = err.message.first_mut() {
                *first = 0;
            }
        }
        status
    }

    fn failed(self, error: &Error) -> rk_status {
        if self.0.is_null() {
            return errors::status(error.kind());
        }
        // SAFETY: checked by `of`; the caller lends it for the call.
        fill(unsafe { &mut *self.0 }, error)
    }
}

/// An out parameter, cleared at once.
pub(crate) struct Out<T>(*mut *mut T);

impl<T> Out<T> {
    /// # Safety
    /// `place` is NULL or writable.
    pub(crate) unsafe fn clear(place: *mut *mut T) -> Self {
        if !place.is_null() {
            // SAFETY: not NULL, so writable as the caller promised.
            unsafe { place.write_unaligned(std::ptr::null_mut()) };
        }
        Self(place)
    }

    /// Fails when the caller gave no place.
    pub(crate) fn required(self) -> Result<Self> {
        if self.0.is_null() {
            Err(Error::invalid("out is NULL: there is no place for the result"))
        } else {
            Ok(self)
        }
    }

    /// Whether the caller wants the result.
    pub(crate) fn wanted(&self) -> bool {
        !self.0.is_null()
    }

    /// Gives the object to the caller, who ends it by the `_free` of its type.
    pub(crate) fn give(self, object: T) {
        if self.wanted() {
            // SAFETY: not NULL, so writable as `clear`'s caller promised.
            unsafe { self.0.write_unaligned(Box::into_raw(Box::new(object))) };
        }
    }
}

/// Ends an object that an out parameter gave.
///
/// # Safety
/// `object` is NULL or came from `Out::give` and is not used again.
pub(crate) unsafe fn free<T>(object: *mut T) {
    if !object.is_null() {
        quiet((), || {
            // SAFETY: it came from a box, and the caller gives it back.
            drop(unsafe { Box::from_raw(object) });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_internal_error_with_its_text() {
        let mut err = empty();
        // SAFETY: a local.
        let status = unsafe { guard(&raw mut err, || panic!("planted {}", 7)) };
        assert_eq!((status, err.code), (errors::INTERNAL, errors::INTERNAL));
        let text: Vec<u8> =
            err.message.iter().map(|byte| byte.cast_unsigned()).take_while(|byte| *byte != 0).collect();
        assert!(String::from_utf8(text).unwrap().contains("planted 7"));
        assert_eq!(quiet(5, || panic!("planted")), 5);
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let mut err = empty();
        fill(&mut err, &Error::invalid("ü".repeat(400)));
        let text: Vec<u8> =
            err.message.iter().map(|byte| byte.cast_unsigned()).take_while(|byte| *byte != 0).collect();
        assert_eq!(text.len(), 510);
        assert!(String::from_utf8(text).is_ok());
    }

    #[test]
    fn an_error_of_the_wrong_size_is_refused_untouched() {
        let mut err = rk_error { size: 8, code: 77, ..empty() };
        // SAFETY: a local.
        let status = unsafe { guard(&raw mut err, || panic!("must not run")) };
        assert_eq!((status, err.code), (errors::status(ErrorKind::InvalidArgument), 77));
    }
}
