//! Floor 3: one node's copies of partitions. Reads records, merges those that peers send, mints new versions, and lists
//! what a copy holds. Knows nothing of quorums: who may ask, and how many must answer, is decided above.

mod copies;
mod lease;
mod mint;
mod missed;
mod page;
mod store;

pub use copies::{Copies, CopyState};
pub use lease::Lease;
pub use mint::{Basis, Mint, Minted, Refusal};
pub use missed::Missed;
pub use page::{PageQuery, ReplicaItem, ReplicaPage};
pub use store::{Limits, Merged, Replica};
