//! Floor 3: agreement on one value (single-decree Paxos), pure.
