//! The bug bank: faults that the simulation plants, one at a time, to prove that its checkers see them.
//! They exist only with the feature `planted`, which no release build takes, and act only on the thread that chose one.

use std::cell::Cell;

#[cfg(not(debug_assertions))]
compile_error!("the feature `planted` puts faults into the store: it is for the simulation's tests alone");

/// A fault that can be planted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// A write is acknowledged as soon as its coordinator has it, whatever was asked for.
    AckBeforeQuorum,
    /// A copy that may have forgotten counts in quorum reads at once.
    ForgetfulCopyCounts,
    /// A merge keeps only the latest of several siblings.
    MergeDropsSibling,
    /// A merged read is answered without being written back.
    NoWriteBack,
    /// What an owner did not confirm is forgotten instead of owed.
    NothingOwed,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::AckBeforeQuorum,
        Self::ForgetfulCopyCounts,
        Self::MergeDropsSibling,
        Self::NoWriteBack,
        Self::NothingOwed,
    ];
}

thread_local! {
    static CHOSEN: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Plants a fault on this thread, or takes it out.
pub fn plant(bug: Option<Bug>) {
    CHOSEN.set(bug);
}

/// Whether this fault is planted on this thread.
pub(crate) fn is(bug: Bug) -> bool {
    CHOSEN.get() == Some(bug)
}
