//! Floor 1: agreement on one value (single-decree Paxos), pure. What is agreed on, and how messages travel, is the
//! business of whoever drives it: the chain of topologies now, conditional writes later.

#[cfg(test)]
mod model;
pub mod register;

pub use register::{Acceptor, Ballot, Promise, Proposer, Step, Vote};
