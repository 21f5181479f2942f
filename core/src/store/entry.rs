//! What reads and writes give back: an entry with every live sibling, a receipt of what a write did.

use bytes::Bytes;

use super::context::Context;
use crate::base::error::{Detail, Error, ErrorKind, Result};
use crate::ring::Resolver;

/// One live value of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Value {
    /// The bytes.
    pub bytes: Bytes,
    /// Unix milliseconds at which it stops being shown; none: never.
    pub expires: Option<u64>,
}

/// Every live sibling of a key, and the context that covers them.
#[derive(Clone, Debug)]
pub struct Entry {
    pub(crate) key: Bytes,
    pub(crate) siblings: Vec<Value>,
    pub(crate) shown: Option<usize>,
    pub(crate) resolver: Resolver,
    pub(crate) context: Context,
}

impl Entry {
    /// The live siblings, oldest first; empty: absent.
    #[must_use]
    pub fn siblings(&self) -> &[Value] {
        &self.siblings
    }

    /// The context to put with, to supersede all that this entry saw.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Whether more than one sibling is live.
    #[must_use]
    pub fn conflicted(&self) -> bool {
        self.siblings.len() > 1
    }

    /// The value that the bucket's resolver picks.
    ///
    /// # Errors
    /// `Conflict` when the resolver is `siblings` and more than one is live.
    pub fn value(&self) -> Result<Option<&Value>> {
        if self.resolver == Resolver::Siblings && self.conflicted() {
            return Err(self.conflict());
        }
        Ok(self.shown.and_then(|index| self.siblings.get(index)))
    }

    fn conflict(&self) -> Error {
        let count = self.siblings.len();
        Error::new(
            ErrorKind::Conflict,
            format!("the key has {count} live siblings: read, merge and put with the context"),
        )
        .with_detail(Detail::Conflict {
            key: self.key.clone(),
            siblings: self.siblings.iter().map(|value| value.bytes.clone()).collect(),
            context: self.context.to_bytes(),
        })
    }
}

/// What a write did.
#[derive(Clone, Debug)]
pub struct Receipt {
    pub(crate) context: Context,
    pub(crate) owners: u32,
    pub(crate) fallbacks: u32,
}

impl Receipt {
    /// The context that covers the write and what it superseded.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Owners that had stored it when the call returned.
    #[must_use]
    pub fn owners(&self) -> u32 {
        self.owners
    }

    /// Fallbacks that had stored it in a marked copy.
    #[must_use]
    pub fn fallbacks(&self) -> u32 {
        self.fallbacks
    }
}
