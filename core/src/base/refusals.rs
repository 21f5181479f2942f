//! What a node refused of what came from outside, counted by reason. Each is logged too, ever more rarely, so that a
//! hostile peer cannot fill a disk with complaints about it.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// Counts refusals by what was refused.
#[derive(Default, Debug)]
pub struct Refusals {
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl Refusals {
    /// Counts a refusal; says whether it is one to tell people of: the 1st, 2nd, 4th, 8th … of its kind.
    pub fn note(&self, what: &'static str, reason: &str) -> bool {
        let count = {
            let mut counts = self.counts.lock();
            let count = counts.entry(what).or_insert(0);
            *count += 1;
            *count
        };
        let telling = count.is_power_of_two();
        if telling {
            tracing::warn!(what, count, reason, "refused");
        }
        telling
    }

    /// How often each thing was refused, by name.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_counted_and_ever_fewer_are_told() {
        let refusals = Refusals::default();
        let told = (0..100).filter(|_| refusals.note("gossip_foreign", "of another cluster")).count();
        assert_eq!((told, refusals.counts()["gossip_foreign"]), (7, 100));
    }
}
