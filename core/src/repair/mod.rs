//! Floor 4: bringing copies together again. A plain ordered exchange of one copy with another owner's; Merkle trees take
//! its place when comparing must cost less than listing. Fallback copies are drained to the owners.

mod drain;
mod exchange;
mod settle;

pub use drain::Drain;
pub use exchange::{Exchange, Exchanged};
pub use settle::Settle;
