//! Floor 4: bringing copies together again. A plain ordered exchange of one copy with another owner's; Merkle trees take
//! its place when comparing must cost less than listing.

mod exchange;
mod settle;

pub use exchange::{Exchange, Exchanged};
pub use settle::Settle;
