//! What a bucket is: its name, how many replicas it has and where, its defaults for reads and writes, its resolver.
//! Plain values with their names and limits; nothing here knows which nodes there are.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::base::{BucketId, Error, Result};

/// The most replicas of a bucket in one data centre, and of a bucket whose replica count is a number.
pub const REPLICAS_MAX: u8 = 7;

/// The most data centres that a bucket's replica map may name.
pub const REPLICA_DATA_CENTRES_MAX: usize = 16;

/// The most bytes of a bucket's name.
pub const BUCKET_NAME_BYTES_MAX: usize = 128;

/// The name of the bucket that every cluster has.
pub const BUCKET_DEFAULT: &str = "default";

/// How many replicas must answer, by name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Consistency {
    /// One replica, anywhere.
    One,
    /// A majority of all replicas.
    Quorum,
    /// Every replica.
    All,
    /// One replica in the caller's data centre.
    LocalOne,
    /// A majority of the replicas in the caller's data centre.
    LocalQuorum,
    /// A majority of the replicas in each data centre.
    EachQuorum,
}

impl Consistency {
    /// Every level, in the order of its code.
    pub const ALL: [Self; 6] =
        [Self::One, Self::Quorum, Self::All, Self::LocalOne, Self::LocalQuorum, Self::EachQuorum];

    /// The name, as in every language.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Quorum => "quorum",
            Self::All => "all",
            Self::LocalOne => "local_one",
            Self::LocalQuorum => "local_quorum",
            Self::EachQuorum => "each_quorum",
        }
    }

    /// The number on the wire, from 1.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Quorum => 2,
            Self::All => 3,
            Self::LocalOne => 4,
            Self::LocalQuorum => 5,
            Self::EachQuorum => 6,
        }
    }

    /// The level of a number on the wire.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.code() == code)
    }
}

impl FromStr for Consistency {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.into_iter().map(Self::as_str).collect();
            Error::invalid(format!("consistency {name:?} is none of {}", names.join(", ")))
        })
    }
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many replicas must answer: a number, or a level that follows the replica count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// So many, from 1 to the bucket's replica count.
    Count(u8),
    /// By name.
    Consistency(Consistency),
}

impl Level {
    /// Whether it counts within a data centre, or within each.
    #[must_use]
    pub fn is_local(self) -> bool {
        use Consistency::{EachQuorum, LocalOne, LocalQuorum};
        matches!(self, Self::Consistency(LocalOne | LocalQuorum | EachQuorum))
    }

    /// Refuses what fallbacks cannot give.
    ///
    /// # Errors
    /// `InvalidArgument` for `all`, which waits for each of the owners, while a fallback is there because one is away.
    pub fn check_sloppy(self) -> Result<()> {
        if self == Self::Consistency(Consistency::All) {
            return Err(Error::invalid(
                "sloppy with consistency all: all waits for every owner, and no fallback can stand in for one; \
                 give a number, or sloppy=false",
            ));
        }
        Ok(())
    }

    /// Checks that a number is one that a bucket can meet.
    ///
    /// # Errors
    /// `InvalidArgument` for 0 or more than the bucket's owners; `what` is the option's name, `"r"` or `"w"`.
    pub fn validate(self, what: &str, n: &Replicas) -> Result<()> {
        match self {
            Self::Count(0) => Err(Error::invalid(format!("{what}=0 waits for nobody; the least is 1"))),
            Self::Count(count) if usize::from(count) > n.total() => {
                Err(Error::invalid(format!("{what}={count} exceeds the bucket's {} owners", n.total())))
            }
            Self::Count(_) | Self::Consistency(_) => Ok(()),
        }
    }
}

/// More than half.
#[must_use]
pub fn majority(of: usize) -> usize {
    of / 2 + 1
}

/// How many replicas a bucket has, and where.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Replicas {
    /// So many in all, spread over clouds, data centres and zones.
    Count(u8),
    /// So many in each named data centre.
    PerDc(BTreeMap<String, u8>),
}

impl Replicas {
    /// The replicas in all, before they are limited by the nodes there are.
    #[must_use]
    pub fn total(&self) -> usize {
        match self {
            Self::Count(count) => usize::from(*count),
            Self::PerDc(counts) => counts.values().map(|count| usize::from(*count)).sum(),
        }
    }

    /// Checks ranges and names.
    ///
    /// # Errors
    /// `InvalidArgument` that shows the first fault.
    pub fn validate(&self) -> Result<()> {
        let range = |count: u8| {
            if count == 0 || count > REPLICAS_MAX {
                return Err(Error::invalid(format!("n={count} is not between 1 and {REPLICAS_MAX}")));
            }
            Ok(())
        };
        match self {
            Self::Count(count) => range(*count),
            Self::PerDc(counts) => {
                if counts.is_empty() || counts.len() > REPLICA_DATA_CENTRES_MAX {
                    return Err(Error::invalid(format!(
                        "n names {} data centres, not 1 to {REPLICA_DATA_CENTRES_MAX}",
                        counts.len()
                    )));
                }
                counts.iter().try_for_each(|(name, count)| {
                    validate_data_centre(name)?;
                    range(*count)
                })
            }
        }
    }
}

/// Checks the name of a data centre: one part of a location.
pub(crate) fn validate_data_centre(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > 256 || name.contains('/') || name.chars().any(char::is_control) {
        return Err(Error::invalid(format!("data centre {name:?} is not one part of a location")));
    }
    Ok(())
}

/// What `get` shows of several concurrent versions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Resolver {
    /// The greatest time, then actor.
    #[default]
    Lww,
    /// All of them; `get` raises Conflict when more than one value is live.
    Siblings,
}

impl Resolver {
    /// The name, as in every language.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lww => "lww",
            Self::Siblings => "siblings",
        }
    }
}

impl FromStr for Resolver {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "lww" => Ok(Self::Lww),
            "siblings" => Ok(Self::Siblings),
            _ => Err(Error::invalid(format!("resolver {name:?} is neither lww nor siblings"))),
        }
    }
}

/// A bucket as the topology holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BucketSpec {
    /// Its number, given by the topology.
    pub id: BucketId,
    /// Its name, unique in the cluster: 1 to 128 bytes without control characters.
    pub name: String,
    /// How many replicas it has, and where.
    pub n: Replicas,
    /// How many owners a read asks unless the call says otherwise.
    pub r: Level,
    /// How many owners a write waits for unless the call says otherwise.
    pub w: Level,
    /// Whether fallbacks count by default.
    pub sloppy: bool,
    /// What `get` shows of several versions.
    pub resolver: Resolver,
    /// How long values live unless the call says otherwise, in milliseconds; none: for ever.
    pub ttl_ms: Option<u64>,
}

impl BucketSpec {
    /// A bucket with quorum reads and writes, last-writer-wins and no expiry; the topology gives its number.
    #[must_use]
    pub fn named(name: impl Into<String>, n: Replicas) -> Self {
        Self {
            id: BucketId(0),
            name: name.into(),
            n,
            r: Level::Consistency(Consistency::Quorum),
            w: Level::Consistency(Consistency::Quorum),
            sloppy: false,
            resolver: Resolver::Lww,
            ttl_ms: None,
        }
    }

    /// Checks every value and their combination.
    ///
    /// # Errors
    /// `InvalidArgument` that shows the first fault.
    pub fn validate(&self) -> Result<()> {
        if self.name.is_empty()
            || self.name.len() > BUCKET_NAME_BYTES_MAX
            || self.name.chars().any(char::is_control)
        {
            return Err(Error::invalid(format!(
                "bucket name {:?} is not 1 to {BUCKET_NAME_BYTES_MAX} bytes without control characters",
                self.name.chars().take(64).collect::<String>()
            )));
        }
        self.n.validate()?;
        self.r.validate("r", &self.n)?;
        self.w.validate("w", &self.n)?;
        if self.sloppy {
            self.r.check_sloppy()?;
            self.w.check_sloppy()?;
        }
        if self.ttl_ms == Some(0) {
            return Err(Error::invalid("ttl=0 means never: leave the ttl out"));
        }
        Ok(())
    }

    /// Whether another spec asks for the same bucket, whatever its number.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        Self { id: self.id, ..other.clone() } == *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_are_told_apart() {
        for level in Consistency::ALL {
            assert_eq!(level.as_str().parse::<Consistency>().unwrap(), level);
            assert_eq!(Consistency::from_code(level.code()), Some(level));
        }
        assert!("most".parse::<Consistency>().is_err());
        assert_eq!(Consistency::from_code(0), None);
    }

    #[test]
    fn a_bucket_refuses_what_it_cannot_meet() {
        let good = BucketSpec::named("carts", Replicas::Count(3));
        good.validate().unwrap();
        for bad in [
            BucketSpec { r: Level::Count(0), ..good.clone() },
            BucketSpec { w: Level::Count(4), ..good.clone() },
            BucketSpec { n: Replicas::Count(8), ..good.clone() },
            BucketSpec { n: Replicas::PerDc(BTreeMap::new()), ..good.clone() },
            BucketSpec { name: String::new(), ..good.clone() },
            BucketSpec { ttl_ms: Some(0), ..good.clone() },
            BucketSpec { sloppy: true, w: Level::Consistency(Consistency::All), ..good.clone() },
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
        }
    }
}
