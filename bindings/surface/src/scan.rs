//! A scan as languages hold it: one step at a time, from any thread, canceled steps included.

use std::sync::Arc;

use parking_lot::Mutex;
use ringkeep::base::error::{Error, Result};
use ringkeep::store::{Scan, ScanItem};

use crate::op::{Kind, Op, leak_if_forked};
use crate::store::Inner;

/// A stream of entries in key order.
#[derive(Clone, Debug)]
pub struct ScanHandle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    inner: Arc<Inner>,
    slot: Mutex<Slot>,
}

#[derive(Debug)]
enum Slot {
    Idle(Box<Scan>),
    Stepping,
    Refused(Error),
}

impl ScanHandle {
    pub(crate) fn new(inner: &Arc<Inner>, scan: Result<Scan>) -> Self {
        let slot = match scan {
            Ok(scan) => Slot::Idle(Box::new(scan)),
            Err(error) => Slot::Refused(error),
        };
        Self(Arc::new(Shared { inner: Arc::clone(inner), slot: Mutex::new(slot) }))
    }

    /// The next item, or none at the end. One step at a time; a step that failed or was canceled may be tried again.
    pub fn next(&self) -> Op<Option<ScanItem>> {
        if let Err(error) = self.0.inner.scope.check() {
            return Op::ready(Err(error));
        }
        let shared = Arc::clone(&self.0);
        Op::new(&self.0.inner.scope, Kind::Read, async move {
            let mut lease = Lease::take(shared)?;
            lease.next().await
        })
    }

    /// An item that is here already, if there is one: no waiting. None in a child of fork and after close.
    #[must_use]
    pub fn buffered(&self) -> Option<ScanItem> {
        self.0.inner.scope.check().ok()?;
        match &mut *self.0.slot.lock() {
            Slot::Idle(scan) => scan.buffered(),
            Slot::Stepping | Slot::Refused(_) => None,
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let slot = std::mem::replace(self.slot.get_mut(), Slot::Stepping);
        leak_if_forked(&self.inner.scope, slot);
    }
}

/// The scan for the time of one step; it goes back when the step ends, however it ends.
struct Lease {
    shared: Arc<Shared>,
    scan: Option<Box<Scan>>,
}

impl Lease {
    fn take(shared: Arc<Shared>) -> Result<Self> {
        let mut slot = shared.slot.lock();
        match std::mem::replace(&mut *slot, Slot::Stepping) {
            Slot::Idle(scan) => {
                drop(slot);
                Ok(Self { shared, scan: Some(scan) })
            }
            Slot::Stepping => Err(Error::invalid("a step of this scan is under way on another thread")),
            Slot::Refused(error) => {
                *slot = Slot::Refused(error.clone());
                Err(error)
            }
        }
    }

    async fn next(&mut self) -> Result<Option<ScanItem>> {
        match &mut self.scan {
            Some(scan) => scan.next().await,
            None => Ok(None),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(scan) = self.scan.take() {
            *self.shared.slot.lock() = Slot::Idle(scan);
        }
    }
}
