//! The hybrid logical clock of a node: never behind what it has issued or absorbed, never past its persisted lease.
//! After Kulkarni et al., "Logical Physical Clocks" (2014); the lease makes it safe across crashes and clock jumps.

use std::sync::atomic::{AtomicU64, Ordering};

use super::ids::Time;

/// A clock that mints each time once. The owner persists a lease before times up to it may be issued.
#[derive(Debug)]
pub struct Hlc {
    last: AtomicU64,
    lease: AtomicU64,
}

/// A time that may not be issued before the lease covers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaseNeeded(pub Time);

impl Hlc {
    /// A clock that starts above a lease that an earlier run may have used up.
    #[must_use]
    pub fn above(lease: Time) -> Self {
        Self { last: AtomicU64::new(lease.0), lease: AtomicU64::new(lease.0) }
    }

    /// Mints a time later than the wall clock's, than `floor`, and than every time minted or absorbed before.
    ///
    /// # Errors
    /// `LeaseNeeded` when that time lies past the lease: extend it on disk, tell `extend`, and mint again.
    pub fn mint(&self, unix_ms: u64, floor: Time) -> Result<Time, LeaseNeeded> {
        let least = Time::from_unix_ms(unix_ms).0.max(floor.0.saturating_add(1));
        let mut last = self.last.load(Ordering::Acquire);
        loop {
            let next = least.max(last.saturating_add(1));
            if next > self.lease.load(Ordering::Acquire) {
                return Err(LeaseNeeded(Time(next)));
            }
            match self.last.compare_exchange_weak(last, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(Time(next)),
                Err(seen) => last = seen,
            }
        }
    }

    /// The clock's reading: the greater of the wall clock and the last time minted or absorbed. Issues nothing.
    #[must_use]
    pub fn read(&self, unix_ms: u64) -> Time {
        Time(Time::from_unix_ms(unix_ms).0.max(self.last.load(Ordering::Acquire)))
    }

    /// Raises the clock to a time heard from a peer or a handle, which the caller has checked against skew.
    pub fn absorb(&self, heard: Time) {
        self.last.fetch_max(heard.0, Ordering::AcqRel);
    }

    /// Raises the clock to a time heard from a peer, unless that is further ahead of the wall clock than is believed.
    pub fn absorb_believable(&self, heard: Time, unix_ms: u64, skew_max_ms: u64) {
        if heard.unix_ms() <= unix_ms.saturating_add(skew_max_ms) {
            self.absorb(heard);
        }
    }

    /// Says that a lease up to this time is on disk.
    pub fn extend(&self, lease: Time) {
        self.lease.fetch_max(lease.0, Ordering::AcqRel);
    }

    /// The lease that is on disk.
    #[must_use]
    pub fn lease(&self) -> Time {
        Time(self.lease.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minted_times_rise_whatever_the_wall_clock_does() {
        let hlc = Hlc::above(Time(0));
        hlc.extend(Time::from_unix_ms(10_000));
        let first = hlc.mint(5_000, Time(0)).unwrap();
        let second = hlc.mint(1, Time(0)).unwrap();
        let third = hlc.mint(1, Time::from_unix_ms(6_000)).unwrap();
        assert!(first < second && second < third);
        assert!(third > Time::from_unix_ms(6_000));
    }

    #[test]
    fn nothing_is_minted_past_the_lease() {
        let hlc = Hlc::above(Time::from_unix_ms(10));
        let LeaseNeeded(needed) = hlc.mint(20, Time(0)).unwrap_err();
        assert_eq!(needed, Time::from_unix_ms(20));
        hlc.extend(needed);
        assert_eq!(hlc.mint(20, Time(0)), Ok(needed));
    }

    #[test]
    fn a_clock_far_ahead_is_not_believed() {
        let hlc = Hlc::above(Time(0));
        hlc.absorb_believable(Time::from_unix_ms(1_501), 1_000, 500);
        assert_eq!(hlc.read(1_000), Time::from_unix_ms(1_000));
        hlc.absorb_believable(Time::from_unix_ms(1_500), 1_000, 500);
        assert_eq!(hlc.read(1_000), Time::from_unix_ms(1_500));
    }

    #[test]
    fn a_restarted_clock_starts_above_its_lease() {
        let hlc = Hlc::above(Time::from_unix_ms(1_000));
        hlc.extend(Time::from_unix_ms(9_000));
        assert!(hlc.mint(5, Time(0)).unwrap() > Time::from_unix_ms(1_000));
    }
}
