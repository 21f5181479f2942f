//! The C ABI over `ringkeep-surface`. `include/ringkeep.h` is generated from this crate: what C's users read stands in
//! the comments here. Every export clears its out parameters, runs inside one guard that turns a panic into
//! `RK_INTERNAL`, and checks what can be checked of what it was given: misuse is a status, not undefined behaviour.

//!
//! Safety, of every export alike: a pointer is NULL or valid as the header says; an object is one that an out parameter
//! gave and that was not freed; bytes are readable, and places writable, until the call returns.

#![allow(clippy::missing_safety_doc, reason = "said once, above, and in the header for those who call")]
#![allow(non_camel_case_types, reason = "these are the names of the C API")]

pub mod admin;
pub mod asynchronous;
pub mod bucket;
pub mod cluster;
pub mod entry;
pub mod guard;
pub mod input;
pub mod many;
pub mod memory;
pub mod scan;
pub mod status;
pub mod store;
pub mod types;
pub mod update;
