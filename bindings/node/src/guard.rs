//! The guard around everything that JavaScript calls: a panic becomes an error and never unwinds into Node.js.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ringkeep_surface::{Error, ErrorKind, Result};

/// Runs the body of an export.
pub(crate) fn guard<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "a bug in Ringkeep: the call panicked")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_internal_error() {
        let error = guard(|| -> Result<()> { panic!("planted") }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
    }
}
