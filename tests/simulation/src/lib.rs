//! The simulation: the shipped node on one thread with a paused clock, an in-memory network that delays, loses and
//! cuts, and disks that forget what was not synced. One seed gives one log.
//! `history` says what clients did and saw, `checkers` judge it, `workload` and `faults` decide what happens next,
//! `cluster` has the machines, `harm` does them what a fault says, and `run` puts them together.

pub mod checkers;
pub mod client;
pub mod clock;
pub mod cluster;
pub mod faults;
mod harm;
pub mod history;
pub mod log;
pub mod run;
pub mod workload;
pub mod world;

pub use run::{Report, Scale, run};
pub use world::World;
