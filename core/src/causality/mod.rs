//! Floor 1, pure: what happened before what. Versions, siblings, context tokens and their encodings.
//! Nothing here reads a clock, does I/O or awaits; every rule is a function of records, so that it can be model-checked.

pub mod blind;
pub mod context;
mod cursor;
pub mod encoding;
pub mod limits;
#[cfg(test)]
mod properties;
pub mod siblings;
pub mod truncation;
pub mod version;

pub use blind::remint;
pub use context::{ContextKey, open, seal};
pub use encoding::{Merged, decode, encode, hash_of, winner_of};
pub use siblings::{Payload, Record, RecordHash, Sibling, Siblings};
pub use truncation::{truncate_forced, truncate_settled};
pub use version::Clock;
