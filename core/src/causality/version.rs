//! The version vector of a key: for each actor the greatest time of its writes that is accounted for.
//! Entries are sorted by actor and unique; up to three (the owners of a usual bucket) need no allocation.

use std::cmp::Ordering;
use std::fmt;

use bytes::Bytes;
use smallvec::SmallVec;

use super::cursor::{Cursor, ENTRY_LEN, put_entry, put_varint, varint_len};
use crate::base::{Actor, Dot, Error, Result, Time};

/// The version of the layout that `encode` writes.
const VERSION: u8 = 1;

/// A version vector. It covers a dot if its entry for the dot's actor is at least the dot's time.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Clock {
    entries: SmallVec<[(Actor, Time); 3]>,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(actor, time)| (actor.to_string(), time.0))).finish()
    }
}

impl FromIterator<Dot> for Clock {
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Self {
        let mut clock = Self::new();
        dots.into_iter().for_each(|dot| clock.observe(dot));
        clock
    }
}

impl Clock {
    /// A clock that covers nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The time up to which this actor's writes are covered.
    #[must_use]
    pub fn get(&self, actor: Actor) -> Option<Time> {
        self.find(actor).ok().and_then(|at| self.entries.get(at)).map(|&(_, time)| time)
    }

    /// Whether this write is accounted for.
    #[must_use]
    pub fn covers(&self, dot: Dot) -> bool {
        self.get(dot.actor).is_some_and(|time| time >= dot.time)
    }

    /// Raises every entry to the other clock's.
    pub fn join(&mut self, other: &Self) {
        if self.dominates(other) {
            return;
        }
        if other.dominates(self) {
            self.clone_from(other);
            return;
        }
        let mut joined = SmallVec::with_capacity(self.len() + other.len());
        pairs(&self.entries, &other.entries, |actor, left, right| {
            joined.push((actor, left.max(right).unwrap_or_default()));
            true
        });
        self.entries = joined;
    }

    /// Accounts for one write.
    pub fn observe(&mut self, dot: Dot) {
        match self.find(dot.actor) {
            Ok(at) => {
                if let Some((_, time)) = self.entries.get_mut(at) {
                    *time = dot.time.max(*time);
                }
            }
            Err(at) => self.entries.insert(at, (dot.actor, dot.time)),
        }
    }

    /// Whether everything that the other clock covers is covered here too.
    #[must_use]
    pub fn dominates(&self, other: &Self) -> bool {
        self.len() >= other.len() && pairs(&self.entries, &other.entries, |_, left, right| right <= left)
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it covers nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries, by actor.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Actor, Time)> + '_ {
        self.entries.iter().copied()
    }

    /// The greatest time of any entry; 0 for an empty clock.
    #[must_use]
    pub fn greatest(&self) -> Time {
        self.iter().map(|(_, time)| time).max().unwrap_or_default()
    }

    /// Keeps the entries that the predicate names.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(Actor, Time) -> bool) {
        self.entries.retain(|&mut (actor, time)| keep(actor, time));
    }

    /// The place of an actor's entry, for the encoding.
    pub(super) fn index_of(&self, actor: Actor) -> Option<usize> {
        self.find(actor).ok()
    }

    /// The entry at a place, for the decoding.
    pub(super) fn entry_at(&self, index: usize) -> Option<(Actor, Time)> {
        self.entries.get(index).copied()
    }

    /// The bytes of a clock by itself, as messages and context tokens carry it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(1 + varint_len(self.len()) + self.len() * ENTRY_LEN);
        out.push(VERSION);
        put_varint(&mut out, self.len());
        self.iter().for_each(|(actor, time)| put_entry(&mut out, actor, time));
        Bytes::from(out)
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// `Corruption` for another version, unsorted or repeated actors, times of 2^63 or more, and bytes too few or too many.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut cursor = Cursor::new(bytes);
        let version = cursor.u8("clock version")?;
        if version != VERSION {
            return Err(Error::corrupt(format!("clock version {version} is not {VERSION}")));
        }
        let count = cursor.varint("clock entries")?;
        let clock = Self::read(&mut cursor, count)?;
        match cursor.remaining() {
            0 => Ok(clock),
            left => Err(Error::corrupt(format!("{left} bytes follow the clock"))),
        }
    }

    /// Reads `count` entries. The count is checked against the input before anything is allocated.
    pub(super) fn read(cursor: &mut Cursor<'_>, count: usize) -> Result<Self> {
        if count.checked_mul(ENTRY_LEN).is_none_or(|needed| needed > cursor.remaining()) {
            return Err(Error::corrupt(format!(
                "{count} clock entries do not fit the {} bytes that are left",
                cursor.remaining()
            )));
        }
        let mut entries = SmallVec::with_capacity(count);
        let mut last = None;
        for _ in 0..count {
            let (actor, time) = cursor.entry()?;
            if last.is_some_and(|last| last >= actor) {
                return Err(Error::corrupt(format!("clock entry {actor} is out of order")));
            }
            last = Some(actor);
            entries.push((actor, time));
        }
        Ok(Self { entries })
    }

    fn find(&self, actor: Actor) -> Result<usize, usize> {
        // Clocks have a few entries: a scan beats a bisection until they are long.
        if self.entries.len() > 16 {
            return self.entries.binary_search_by(|(known, _)| known.cmp(&actor));
        }
        for (at, (known, _)) in self.entries.iter().enumerate() {
            match known.cmp(&actor) {
                Ordering::Less => {}
                Ordering::Equal => return Ok(at),
                Ordering::Greater => return Err(at),
            }
        }
        Err(self.entries.len())
    }
}

/// Walks two sorted lists of entries together, for as long as the visitor says so; returns whether it reached the end.
fn pairs(
    left: &[(Actor, Time)],
    right: &[(Actor, Time)],
    mut visit: impl FnMut(Actor, Option<Time>, Option<Time>) -> bool,
) -> bool {
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some((a, _)), Some((b, _))) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return true,
        };
        let from_left = if order.is_le() { left.next() } else { None };
        let from_right = if order.is_ge() { right.next() } else { None };
        let Some(&(actor, _)) = from_left.or(from_right) else { return true };
        if !visit(actor, from_left.map(|&(_, time)| time), from_right.map(|&(_, time)| time)) {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causality::siblings::tests::{actor, dot};

    #[test]
    fn a_clock_covers_what_it_has_observed_and_everything_before_it() {
        let clock: Clock = [dot(1, 5), dot(2, 3)].into_iter().collect();
        assert!(clock.covers(dot(1, 5)) && clock.covers(dot(1, 4)) && clock.covers(dot(2, 3)));
        assert!(!clock.covers(dot(1, 6)) && !clock.covers(dot(3, 1)));
        assert_eq!(clock.greatest(), Time(5));
        assert_eq!(Clock::new().greatest(), Time(0));
    }

    #[test]
    fn join_takes_the_greater_time_of_each_actor() {
        let mut clock: Clock = [dot(1, 5), dot(2, 3)].into_iter().collect();
        clock.join(&[dot(2, 9), dot(4, 1)].into_iter().collect());
        let entries: Vec<_> = clock.iter().collect();
        assert_eq!(entries, [(actor(1), Time(5)), (actor(2), Time(9)), (actor(4), Time(1))]);
    }

    #[test]
    fn dominance_is_a_partial_order() {
        let small: Clock = [dot(1, 5)].into_iter().collect();
        let large: Clock = [dot(1, 5), dot(2, 1)].into_iter().collect();
        let other: Clock = [dot(3, 9)].into_iter().collect();
        assert!(large.dominates(&small) && !small.dominates(&large) && small.dominates(&small));
        assert!(!large.dominates(&other) && !other.dominates(&large));
    }

    #[test]
    fn long_clocks_are_found_by_bisection() {
        let clock: Clock = (1..=100).rev().map(|node| dot(node, u64::from(node))).collect();
        assert_eq!(clock.len(), 100);
        assert!((1..=100).all(|node| clock.get(actor(node)) == Some(Time(u64::from(node)))));
        assert_eq!(clock.get(actor(101)), None);
    }

    #[test]
    fn a_clock_round_trips_and_damage_is_refused() {
        let clock: Clock = [dot(1, 5), dot(2, 3)].into_iter().collect();
        let bytes = clock.encode();
        assert_eq!(Clock::decode(&bytes).unwrap(), clock);
        assert_eq!(Clock::decode(&Clock::new().encode()).unwrap(), Clock::new());
        let mut swapped = bytes.to_vec();
        swapped[2] = 9;
        let mut late = bytes.to_vec();
        late[21] = 0x80;
        for bad in [
            &bytes[..bytes.len() - 1],
            &[&bytes[..], &[0]].concat(),
            &swapped,
            &late,
            &[1, 0xff, 0xff, 3],
            &[2, 0],
            &[],
        ] {
            assert!(Clock::decode(bad).is_err(), "{bad:?}");
        }
    }
}
