//! Where a node stands: a path `cloud/region/zone`, widest part first.
//! The whole path is the zone, the part before the last names the data centre, and what stands before that is the cloud.

use std::fmt;

use crate::base::{Error, Result};

/// The data centre of locations that name none.
pub const DATA_CENTRE_DEFAULT: &str = "default";

/// The most bytes of a location.
pub const LOCATION_BYTES_MAX: usize = 256;

/// The most parts of a location.
pub const LOCATION_PARTS_MAX: usize = 8;

/// A node's location. With fewer parts the narrower ones are kept: `region/zone` has no cloud, `zone` alone stands in the
/// data centre `default`, and an empty location is a zone of its own there, so that nodes without one spread like zones.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Location(String);

impl Location {
    /// Parses a path.
    ///
    /// # Errors
    /// `InvalidArgument` for more than 256 bytes or 8 parts, an empty part, or a control character.
    pub fn parse(path: &str) -> Result<Self> {
        if path.len() > LOCATION_BYTES_MAX || path.split('/').count() > LOCATION_PARTS_MAX {
            return Err(Error::invalid(format!(
                "location is longer than {LOCATION_BYTES_MAX} bytes or {LOCATION_PARTS_MAX} parts"
            )));
        }
        if !path.is_empty() && path.split('/').any(str::is_empty) {
            return Err(Error::invalid(format!("location {path:?} has an empty part")));
        }
        if path.chars().any(char::is_control) {
            return Err(Error::invalid("location has a control character"));
        }
        Ok(Self(path.to_owned()))
    }

    /// The path as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the data centre: the next-to-last part, or `default`.
    #[must_use]
    pub fn data_centre(&self) -> &str {
        self.0.rsplit('/').nth(1).unwrap_or(DATA_CENTRE_DEFAULT)
    }

    /// What stands before the data centre; empty if nothing does.
    #[must_use]
    pub fn cloud(&self) -> &str {
        let mut parts = self.0.rsplitn(3, '/');
        parts.nth(2).unwrap_or("")
    }

    /// The zone: the whole path. None for an empty location, whose node is a zone of its own.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        if self.0.is_empty() { None } else { Some(&self.0) }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_from_the_narrow_end() {
        let parts = |path: &str| {
            let location = Location::parse(path).unwrap();
            (
                location.cloud().to_owned(),
                location.data_centre().to_owned(),
                location.zone().map(str::to_owned),
            )
        };
        let expect = |a: &str, b: &str, c: Option<&str>| (a.to_owned(), b.to_owned(), c.map(str::to_owned));
        assert_eq!(parts(""), expect("", "default", None));
        assert_eq!(parts("a"), expect("", "default", Some("a")));
        assert_eq!(parts("eu/a"), expect("", "eu", Some("eu/a")));
        assert_eq!(parts("aws/eu/a"), expect("aws", "eu", Some("aws/eu/a")));
        assert_eq!(parts("x/aws/eu/a"), expect("x/aws", "eu", Some("x/aws/eu/a")));
    }

    #[test]
    fn malformed_paths_are_refused() {
        for bad in ["/", "a//b", "a/", "/a", "1/2/3/4/5/6/7/8/9", "a\nb", &"x".repeat(257)] {
            assert!(Location::parse(bad).is_err(), "{bad:?}");
        }
    }
}
