//! Floor 2: how nodes and clients speak. Frames, messages, transports.
pub mod control;
