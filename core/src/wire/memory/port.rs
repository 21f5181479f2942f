//! A port of the network in memory: connections that have arrived and wait to be accepted.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Net;
use crate::base::env::BoxFuture;
use crate::base::error::Result;
use crate::wire::transport::{Duplex, Listener};

#[derive(Default)]
pub(super) struct Port {
    arrived: Mutex<Arrived>,
    wake: Notify,
}

#[derive(Default)]
struct Arrived {
    queue: VecDeque<Duplex>,
    closed: bool,
}

impl Port {
    /// Hands a connection over; gives it back if nobody listens any more.
    pub(super) fn arrive(&self, duplex: Duplex) -> Result<(), Box<Duplex>> {
        let mut arrived = self.arrived.lock();
        if arrived.closed {
            return Err(Box::new(duplex));
        }
        arrived.queue.push_back(duplex);
        drop(arrived);
        self.wake.notify_one();
        Ok(())
    }
}

pub(super) struct MemoryListener {
    pub(super) net: Arc<Net>,
    pub(super) address: String,
    pub(super) port: Arc<Port>,
}

impl Listener for MemoryListener {
    fn address(&self) -> String {
        self.address.clone()
    }

    fn accept(&mut self) -> BoxFuture<'_, Result<Duplex>> {
        Box::pin(async move {
            loop {
                let next = self.port.arrived.lock().queue.pop_front();
                match next {
                    Some(duplex) => return Ok(duplex),
                    None => self.port.wake.notified().await,
                }
            }
        })
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        self.net.state.lock().ports.remove(&self.address);
        let mut arrived = self.port.arrived.lock();
        arrived.closed = true;
        let waiting = std::mem::take(&mut arrived.queue);
        drop(arrived);
        drop(waiting);
    }
}
