//! Floor 3: one node's copies of partitions. Reads records, merges those that peers send, mints new versions, lists what
//! a copy holds, and keeps what its other owners missed. Knows nothing of quorums: who may ask, and how many must answer, is decided above.

mod copies;
mod hints;
mod lease;
mod mint;
mod page;
mod store;

pub use copies::{Copies, CopyState};
pub use hints::{Hint, HintLimits, HintStats, Hints, Noted};
pub use lease::Lease;
pub use mint::{Basis, Mint, Minted, Refusal};
pub use page::{PageQuery, ReplicaItem, ReplicaPage};
pub use store::{Limits, Merged, Replica};
