//! The numbers of the C API and their names. The constants themselves stand in cbindgen.toml, as the enum that C
//! readers expect; a test holds them against `ringkeep_surface::errors`.

use std::ffi::{CStr, c_char};

use ringkeep_surface::errors;

use crate::types::rk_status;

/// The version of this API. It grows when something is added; nothing is taken away.
const API_VERSION: u32 = 1;

/// The RK_API_VERSION of the library that is loaded.
#[unsafe(no_mangle)]
pub extern "C" fn rk_api_version() -> u32 {
    API_VERSION
}

/// The name of a status, without RK_: "TIMEOUT". The same codes as in other languages; never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn rk_status_name(s: rk_status) -> *const c_char {
    name(s).as_ptr()
}

pub(crate) fn name(status: rk_status) -> &'static CStr {
    match status {
        errors::OK => c"OK",
        errors::NOT_FOUND => c"NOT_FOUND",
        errors::CONFLICT => c"CONFLICT",
        errors::END => c"END",
        -1 => c"TIMEOUT",
        -2 => c"QUORUM_UNAVAILABLE",
        -3 => c"INVALID_ARGUMENT",
        -4 => c"CLOSED",
        -5 => c"LOCKED",
        -6 => c"FORKED",
        -7 => c"OVERLOADED",
        -8 => c"CORRUPTION",
        -9 => c"IO",
        -10 => c"UNAUTHORIZED",
        -11 => c"VERSION_MISMATCH",
        -12 => c"CANCELED",
        errors::NOMEM => c"NOMEM",
        -14 => c"TOO_MANY_SIBLINGS",
        -15 => c"STORAGE_FULL",
        -16 => c"NO_SUCH_BUCKET",
        -17 => c"CLOCK_SKEW",
        -18 => c"PARTIAL",
        errors::INTERNAL => c"INTERNAL",
        _ => c"UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_other_languages() {
        for status in -200..200 {
            assert_eq!(name(status).to_str().unwrap(), errors::name(status), "{status}");
        }
    }
}
