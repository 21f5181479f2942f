//! Floor 3: one node's copies of partitions. Reads records, merges those that peers send, mints new versions, and lists
//! what a copy holds. Knows nothing of quorums: who may ask, and how many must answer, is decided above.

mod copies;
mod fallbacks;
mod lease;
mod mint;
mod missed;
mod page;
mod store;

pub use copies::{Copies, CopyId, CopyState, Holder};
pub use fallbacks::{FallbackMark, Fallbacks};
pub use lease::Lease;
pub use mint::{Basis, Mint, Minted, Refusal};
pub use missed::Missed;
pub use page::{CopySet, PageQuery, ReplicaItem, ReplicaPage};
pub use store::{Limits, Merged, Replica};
