//! The requests of one connection that wait for their reply, each with its callback and deadline.
//! Pure: whoever takes an entry out runs its callback, outside the lock; an entry can be taken once, so a callback
//! runs once. Ids carry a generation, so that a late reply never meets a later request.

use super::response::Response;
use crate::base::env::Deadline;
use crate::base::error::Result;

/// What is to happen with a reply. Runs once, on whichever thread brings the reply, the deadline or the end; short.
pub type Done = Box<dyn FnOnce(Result<Response>) + Send>;

#[derive(Default)]
struct Slot {
    generation: u32,
    entry: Option<(Deadline, Done)>,
}

/// The table of waiting requests.
#[derive(Default)]
pub(super) struct Pending {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// When the sweeper will look next; a request with an earlier deadline must wake it.
    armed: Option<Deadline>,
    closed: bool,
}

/// The answer to a new request.
pub(super) enum Inserted {
    /// It waits under this id; `wake` if the sweeper would come too late for it.
    Waiting { id: u64, wake: bool },
    /// There are too many.
    Full(Done),
    /// The connection has ended.
    Closed(Done),
}

impl Pending {
    /// Requests that wait.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn insert(&mut self, deadline: Deadline, done: Done, requests_max: u32) -> Inserted {
        if self.closed {
            return Inserted::Closed(done);
        }
        let Ok(next) = u32::try_from(self.slots.len()) else { return Inserted::Full(done) };
        let index = match self.free.pop() {
            Some(index) => index,
            None if next >= requests_max => return Inserted::Full(done),
            None => {
                self.slots.push(Slot::default());
                next
            }
        };
        let slot = slot_mut(&mut self.slots, index).expect("the free list names slots");
        slot.entry = Some((deadline, done));
        let id = u64::from(slot.generation) << 32 | u64::from(index);
        let wake = self.armed.is_none_or(|armed| deadline < armed);
        if wake {
            self.armed = Some(deadline);
        }
        Inserted::Waiting { id, wake }
    }

    /// Takes the request with this id; none if it has ended, or never was.
    pub(super) fn take(&mut self, id: u64) -> Option<Done> {
        let (index, generation) = (u32::try_from(id & u64::from(u32::MAX)).ok()?, id >> 32);
        let slot =
            slot_mut(&mut self.slots, index).filter(|slot| u64::from(slot.generation) == generation)?;
        let (_, done) = slot.entry.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        Some(done)
    }

    /// Takes every request whose deadline has passed, and says when to look again.
    pub(super) fn expire(&mut self, now: Deadline) -> (Vec<Done>, Option<Deadline>) {
        let mut expired = Vec::new();
        let mut next: Option<Deadline> = None;
        for (index, slot) in (0..).zip(&mut self.slots) {
            match &slot.entry {
                Some((deadline, _)) if *deadline <= now => {
                    expired.extend(slot.entry.take().map(|(_, done)| done));
                    slot.generation = slot.generation.wrapping_add(1);
                    self.free.push(index);
                }
                Some((deadline, _)) => next = Some(next.map_or(*deadline, |next| next.min(*deadline))),
                None => {}
            }
        }
        self.armed = next;
        (expired, next)
    }

    /// Takes every request and lets none in any more.
    pub(super) fn close(&mut self) -> Vec<Done> {
        self.closed = true;
        self.free = Vec::new();
        let slots = std::mem::take(&mut self.slots);
        slots.into_iter().filter_map(|slot| slot.entry).map(|(_, done)| done).collect()
    }
}

fn slot_mut(slots: &mut [Slot], index: u32) -> Option<&mut Slot> {
    slots.get_mut(usize::try_from(index).ok()?)
}
