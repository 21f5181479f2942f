//! Floor 3: one node's copies of partitions. Reads records, merges those that peers send, mints new versions, and lists
//! what a copy holds. Knows nothing of quorums: who may ask, and how many must answer, is decided above.

mod copies;
mod mint;
mod page;
mod store;

pub use copies::{CopyState, Copies};
pub use mint::{Basis, Mint, Minted, Refusal};
pub use page::{PageQuery, ReplicaPage, ReplicaItem};
pub use store::{Limits, Merged, Replica};
