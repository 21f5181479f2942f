//! The log of a run: one line for each event, in order, with a hash over all of them.
//! Two runs of one seed must have the same log; the first line that differs says where they parted.

use xxhash_rust::xxh3::xxh3_64;

/// The lines of a run.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Log {
    lines: Vec<String>,
}

impl Log {
    /// Adds an event.
    pub fn push(&mut self, line: String) {
        self.lines.push(line);
    }

    /// The events.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The hash over all events.
    #[must_use]
    pub fn hash(&self) -> u64 {
        xxh3_64(self.lines.join("\n").as_bytes())
    }

    /// The first event that the other log does not have in the same place, as a message.
    #[must_use]
    pub fn first_difference(&self, other: &Self) -> Option<String> {
        let longest = self.lines.len().max(other.lines.len());
        let at = |log: &Self, line| log.lines.get(line).map_or("(the end)", String::as_str).to_owned();
        let line = (0..longest).find(|line| self.lines.get(*line) != other.lines.get(*line))?;
        Some(format!("line {}:\n  {}\n  {}", line + 1, at(self, line), at(other, line)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[&str]) -> Log {
        Log { lines: lines.iter().map(|line| (*line).to_owned()).collect() }
    }

    #[test]
    fn equal_logs_have_equal_hashes_and_no_difference() {
        let (one, other) = (log(&["a", "b"]), log(&["a", "b"]));
        assert_eq!((one.hash(), one.first_difference(&other)), (other.hash(), None));
    }

    #[test]
    fn the_first_difference_is_shown_with_both_lines() {
        let message = log(&["a", "b", "c"]).first_difference(&log(&["a", "x", "c"]));
        assert_eq!(message.as_deref(), Some("line 2:\n  b\n  x"));
        let message = log(&["a"]).first_difference(&log(&["a", "b"]));
        assert_eq!(message.as_deref(), Some("line 2:\n  (the end)\n  b"));
        assert_ne!(log(&["a"]).hash(), log(&["a", "b"]).hash());
    }
}
