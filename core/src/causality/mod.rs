//! Floor 1, pure: what happened before what. Versions, siblings, context tokens and their encodings.
