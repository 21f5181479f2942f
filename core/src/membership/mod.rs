//! Floor 3: who is a member, and how the members agree on the next topology.
