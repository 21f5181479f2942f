//! Floor 1, pure: which nodes own a key. Hashing, locations, placement, the topology record, preference lists.
//! Everything here is a function of its arguments: no clock, no randomness, no I/O.

pub mod bucket;
pub mod hash;
pub mod location;
pub mod placement;
pub mod preference;
pub mod topology;
#[cfg(test)]
mod vectors;
pub mod voters;

pub use bucket::{BucketSpec, Consistency, Level, Replicas, Resolver, majority};
pub use hash::{partition, token};
pub use location::Location;
pub use placement::Placement;
pub use topology::{Member, Topology};
