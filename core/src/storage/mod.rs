//! Floor 2: where records are kept. The engine trait, its memory and disk implementations.
//! An engine knows ordered bytes, batches and durability; what the bytes mean is `key`'s and the floors' above.

pub mod disk;
pub mod engine;
pub mod key;
pub mod memory;
#[cfg(test)]
mod model_tests;

pub use disk::{DiskEngine, DiskSettings};
pub use engine::{Batch, Cached, Engine, EngineStats, Lsn, Opening, Operation, ScanPage};
pub use memory::{MemoryDisk, MemoryEngine};
