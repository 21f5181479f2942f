//! Floor 3: reaching others. Connections by address, members by number, and routing of an operation to a node that
//! can coordinate it, with failover. Nodes use it for what they do not own, clients for everything.

mod circuit;
mod events;
mod explanation;
mod peers;
mod pool;
mod request;
mod router;
mod source;

pub(crate) use events::PAGE_MAX as EVENTS_PAGE_MAX;
pub use events::{ClusterEvent, EventsPage, EventsRequest};
pub use explanation::{ExplainRequest, Explanation, HeldRecord, ReadAnswer, ReplicaInfo, role};
pub use peers::{Observer, Peers, Sight};
pub use pool::{Check, Introduce, Pool};
pub use request::{Caller, ReadRequest, ScanRequest, ScannedPage, WriteRequest, Written};
pub use router::{Routed, Router, level_of, need_of};
pub use source::TopologySource;
pub(crate) use source::{current, no_cluster};
