//! Floor 3: who is a member, and how the members agree on the next topology. Pure deciders; `node` drives them.

pub mod chain;
pub mod view;

pub use chain::{Chain, Decree, Founders};
pub use view::{Heard, View};

#[cfg(test)]
mod trials;
