//! Stores and clusters that an operation has opened, until JavaScript fetches them by the operation's number.
//! A reply is bytes and cannot hold them.

use std::collections::BTreeMap;

use ringkeep_surface::{ClusterHandle, StoreHandle};

use crate::reply::Reply;

/// What waits to be fetched.
#[derive(Debug, Default)]
pub(crate) struct Handles {
    pub(crate) stores: BTreeMap<u32, StoreHandle>,
    pub(crate) clusters: BTreeMap<u32, ClusterHandle>,
}

impl Reply for StoreHandle {
    fn write(self, id: u32, handles: &mut Handles, out: &mut Vec<u8>) {
        handles.stores.insert(id, self);
        ().write(id, handles, out);
    }
}

impl Reply for ClusterHandle {
    fn write(self, id: u32, handles: &mut Handles, out: &mut Vec<u8>) {
        handles.clusters.insert(id, self);
        ().write(id, handles, out);
    }
}
