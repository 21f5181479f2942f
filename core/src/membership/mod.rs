//! Floor 3: who is a member, who of them is up, and how the members agree on the next topology. Pure deciders; `node`
//! drives them.

pub mod chain;
pub mod clocks;
pub mod detector;
pub mod gossip;
pub mod members;
pub mod messages;
pub mod state;
pub mod verdict;

pub use chain::{Chain, Decree, Founders};
pub use clocks::Clocks;
pub use detector::{Evidence, Timing};
pub use members::{Members, Refused, Standing, Turn};
pub use state::{Digest, State};

#[cfg(test)]
mod trials;
