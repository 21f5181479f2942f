//! Floor 2: where records are kept. The engine trait, its memory and disk implementations.
