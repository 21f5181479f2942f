//! Contexts as applications hold them: opaque, valid for one key of one bucket of one cluster.
//! A context that came with an entry or receipt is sealed into a token only when somebody asks for its bytes.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::error::Result;
use crate::base::ids::{BucketId, ClusterId};
use crate::causality::{Clock, ContextKey, context};

/// What a reader or writer has seen of a key. Give it to the put that supersedes what was seen.
#[derive(Clone)]
pub struct Context(Form);

#[derive(Clone)]
enum Form {
    Token(Bytes),
    Seen(Arc<Seen>),
}

struct Seen {
    scope: Scope,
    key: Bytes,
    clock: Clock,
}

/// What a token is bound to, besides the key.
#[derive(Clone, Copy)]
pub(crate) struct Scope {
    pub(crate) secret: ContextKey,
    pub(crate) cluster: ClusterId,
    pub(crate) bucket: BucketId,
}

impl Context {
    /// A context from the bytes of an earlier one; whether they are genuine is judged when it is used.
    #[must_use]
    pub fn from_bytes(token: impl Into<Bytes>) -> Self {
        Self(Form::Token(token.into()))
    }

    /// The token: opaque bytes, a few dozen for a key that few nodes have written.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match &self.0 {
            Form::Token(token) => token.clone(),
            Form::Seen(seen) => context::seal(
                &seen.scope.secret,
                seen.scope.cluster,
                seen.scope.bucket,
                &seen.key,
                &seen.clock,
            ),
        }
    }

    pub(crate) fn seen(scope: Scope, key: Bytes, clock: Clock) -> Self {
        Self(Form::Seen(Arc::new(Seen { scope, key, clock })))
    }

    /// The clock within, if this context belongs to that key.
    pub(crate) fn open(&self, scope: &Scope, key: &[u8]) -> Result<Clock> {
        if let Form::Seen(seen) = &self.0
            && seen.scope.cluster == scope.cluster
            && seen.scope.bucket == scope.bucket
            && seen.key == key
        {
            return Ok(seen.clock.clone());
        }
        context::open(&scope.secret, scope.cluster, scope.bucket, key, &self.to_bytes())
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Context(…)")
    }
}

impl PartialEq for Context {
    fn eq(&self, other: &Self) -> bool {
        self.to_bytes() == other.to_bytes()
    }
}

impl Eq for Context {}
