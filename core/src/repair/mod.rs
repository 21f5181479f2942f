//! Floor 4: bringing copies together again. Keys that owners missed are handed over one by one; what is not known by key
//! is a plain ordered exchange of one copy with another owner's, until comparing must cost less than listing.

mod exchange;
mod handoff;
mod pace;
mod settle;

pub use exchange::{Exchange, Exchanged};
pub use handoff::{Handoff, Round};
pub use settle::Settle;
