//! Blind writes in `lww`: an acknowledged one is the one that readers see, whatever the clocks say.
//! An owner's acknowledgement names the winner that it now holds; one above the new dot calls for a second, higher dot.

use crate::base::{Dot, Time};

/// Decides, once W owners have acknowledged a blind write, whether it must be minted once more, and above what.
///
/// `dot` is the write's, `winners` what the W acknowledging owners hold as the winner. None: the write is the winner
/// at each of them, so acknowledge it. Some: merge those winners, mint above this time, send the result to the
/// owners, and acknowledge after W of them have it, whatever winners they then name: any write that had been
/// acknowledged before this one began was among the first W answers (W is a majority), so what is above the second
/// dot is concurrent with this write.
#[must_use]
pub fn remint(dot: Dot, winners: impl IntoIterator<Item = Dot>) -> Option<Time> {
    winners.into_iter().filter(|winner| *winner > dot).max().map(|winner| winner.time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causality::siblings::tests::dot;

    #[test]
    fn a_write_that_wins_everywhere_is_acknowledged() {
        assert_eq!(remint(dot(2, 5), [dot(2, 5), dot(2, 5)]), None);
        assert_eq!(remint(dot(2, 5), []), None);
    }

    #[test]
    fn a_write_that_loses_somewhere_is_minted_above_the_greatest_winner() {
        assert_eq!(remint(dot(2, 5), [dot(1, 9), dot(3, 7), dot(2, 5)]), Some(Time(9)));
        assert_eq!(
            remint(dot(2, 5), [dot(3, 5)]),
            Some(Time(5)),
            "an equal time with a greater actor wins too"
        );
    }
}
