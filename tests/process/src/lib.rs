//! Rings of real processes. `network` gives each a machine of its own (a network namespace) and cuts the links between
//! them, `talk` starts a process and speaks with it by lines, `member` is a node of the ring in some language, `load` a
//! client that writes all the time and knows what was acknowledged. `tests/process.rs` is what happens to them.

pub mod load;
pub mod member;
pub mod network;
pub mod program;
pub mod talk;

/// What went wrong, in words.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The value that a client stores under a key: whoever reads the key knows what must be there.
#[must_use]
pub fn value_of(key: &str) -> String {
    format!("{key} is stored here, and nothing else. ").repeat(3)
}
