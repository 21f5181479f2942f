//! Floor 0: what every other floor stands on. Errors, settings, ids, the hybrid logical clock, and the seams
//! through which time, randomness and tasks enter. Nothing here knows what a ring or a replica is.

pub mod env;
pub mod error;
pub mod events;
pub mod hlc;
pub mod ids;
#[cfg(feature = "planted")]
pub mod planted;
pub mod refusals;
pub mod settings;
#[cfg(feature = "testing")]
pub mod standstill;
pub mod trusted;

pub use env::{Deadline, Env};
pub use error::{Error, ErrorKind, Result};
pub use events::{Event, EventKind, EventPage, Events};
pub use ids::{Actor, BucketId, ClusterId, CopyNumber, Dot, Epoch, NodeNumber, PartitionId, Time};
pub use refusals::Refusals;
pub use settings::Settings;
pub use trusted::TrustedClock;
