//! Floor 1, pure: which nodes own a key. Hashing, placement, the topology record, preference lists.
