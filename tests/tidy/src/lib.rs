//! The rules of shape that no compiler checks: floors, sizes, headers, names, what may not stand in a tracked file.
//! Each rule is a pure function from a file to findings, with a unit test of a bad sample that it must catch;
//! `tests/repository.rs` runs all of them over every file that git knows.

pub mod floors;
pub mod functions;
pub mod source;
pub mod text;

pub use source::{Finding, Language, Source};

/// Every rule, in the order in which findings are listed.
pub const RULES: [fn(&Source) -> Vec<Finding>; 10] = [
    floors::imports,
    functions::file_length,
    functions::function_length,
    text::header,
    text::unfinished,
    text::module_name,
    text::machine,
    text::unbiased_select,
    text::foreign_unsafe,
    text::ignored,
];
