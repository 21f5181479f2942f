//! The one public error: a kind to act on, the operation, what was found, and the cause underneath.
//! Every kind says whether to retry, fix the request, or call the operator; names and codes are the same in all languages.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a caller would act differently.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The deadline passed. Retry if the write may be applied twice, or read first.
    Timeout,
    /// Too few replicas answered. Retry later, or ask for less consistency.
    QuorumUnavailable,
    /// The request is wrong. Fix it.
    InvalidArgument,
    /// The bucket does not exist. Create it, or fix the name.
    NoSuchBucket,
    /// More than one value is live and the bucket's resolver is `siblings`. Read, merge, and put with the context.
    Conflict,
    /// The store was closed.
    Closed,
    /// Another open holds the data directory.
    Locked,
    /// The handle was inherited through fork. Open a new one.
    Forked,
    /// A queue is full. Retry after a pause.
    Overloaded,
    /// Stored bytes are damaged. Call the operator.
    Corruption,
    /// The operating system refused. Call the operator.
    Io,
    /// The credentials do not allow this.
    Unauthorized,
    /// The other side speaks no version that this side knows.
    VersionMismatch,
    /// The caller canceled.
    Canceled,
    /// The key has as many live siblings as it may have. Read, merge, and put with the context.
    TooManySiblings,
    /// The disk is full: reads go on, writes are refused until there is space.
    StorageFull,
    /// A clock is too far ahead. Call the operator.
    ClockSkew,
    /// Some items of a batch failed; each has its own error.
    Partial,
    /// A bug in Ringkeep.
    Internal,
}

impl ErrorKind {
    /// Every kind, in the order of declaration.
    pub const ALL: [Self; 19] = [
        Self::Timeout,
        Self::QuorumUnavailable,
        Self::InvalidArgument,
        Self::NoSuchBucket,
        Self::Conflict,
        Self::Closed,
        Self::Locked,
        Self::Forked,
        Self::Overloaded,
        Self::Corruption,
        Self::Io,
        Self::Unauthorized,
        Self::VersionMismatch,
        Self::Canceled,
        Self::TooManySiblings,
        Self::StorageFull,
        Self::ClockSkew,
        Self::Partial,
        Self::Internal,
    ];

    /// The stable code, as it stands in every language: `"TIMEOUT"`, `"QUORUM_UNAVAILABLE"`, …
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Timeout => "TIMEOUT",
            Self::QuorumUnavailable => "QUORUM_UNAVAILABLE",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::NoSuchBucket => "NO_SUCH_BUCKET",
            Self::Conflict => "CONFLICT",
            Self::Closed => "CLOSED",
            Self::Locked => "LOCKED",
            Self::Forked => "FORKED",
            Self::Overloaded => "OVERLOADED",
            Self::Corruption => "CORRUPTION",
            Self::Io => "IO",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::VersionMismatch => "VERSION_MISMATCH",
            Self::Canceled => "CANCELED",
            Self::TooManySiblings => "TOO_MANY_SIBLINGS",
            Self::StorageFull => "STORAGE_FULL",
            Self::ClockSkew => "CLOCK_SKEW",
            Self::Partial => "PARTIAL",
            Self::Internal => "INTERNAL",
        }
    }

    /// The kind of a stable code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Whether the same request may succeed later without anything being changed by hand.
    #[must_use]
    pub fn retryable(self) -> bool {
        matches!(self, Self::Timeout | Self::QuorumUnavailable | Self::Overloaded)
    }
}

/// What some kinds carry beyond their message.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Detail {
    /// Nothing more.
    #[default]
    None,
    /// `Timeout`, `QuorumUnavailable`: how many replicas were needed, how many answered, and why the others did not.
    Quorum {
        /// Replicas that had to answer.
        needed: u32,
        /// Replicas that did.
        received: u32,
        /// Per replica that failed (`"n2"`), the reason.
        replicas: BTreeMap<String, String>,
    },
    /// `Locked`: the process that holds the directory.
    Locked {
        /// Its process id; 0 if it could not be read.
        pid: u32,
    },
    /// `TooManySiblings`.
    TooManySiblings {
        /// The most live siblings that a key may have.
        limit: u32,
    },
    /// `Conflict`: what to merge, and the context that covers it.
    Conflict {
        /// The key.
        key: Bytes,
        /// Its live values.
        siblings: Vec<Bytes>,
        /// The context token to put with.
        context: Bytes,
    },
    /// `Partial`: the keys that failed.
    Partial {
        /// Each failed key with its error.
        errors: Vec<(Bytes, Error)>,
    },
}

/// An error: kind, operation, context, source, and whether a write may nevertheless have been applied.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    message: String,
    maybe_applied: bool,
    detail: Detail,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this kind; the message is lower case and names the value that was found.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            operation: "",
            message: message.into(),
            maybe_applied: false,
            detail: Detail::None,
            source: None,
        }))
    }

    /// An `InvalidArgument`.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// A `Corruption`.
    #[must_use]
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corruption, message)
    }

    /// A failed system call; a full disk becomes `StorageFull`, everything else `Io`.
    #[must_use]
    pub fn io(context: impl fmt::Display, source: std::io::Error) -> Self {
        let kind = match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::StorageFull,
            _ => ErrorKind::Io,
        };
        Self::new(kind, format!("{context}: {source}")).with_source(source)
    }

    /// What this version does not do yet; the README lists them.
    #[must_use]
    pub fn not_in_this_version(what: &str) -> Self {
        Self::invalid(format!("{what}: not in this version"))
    }

    /// Names the operation, unless an inner layer already has.
    #[must_use]
    pub fn during(mut self, operation: &'static str) -> Self {
        if self.0.operation.is_empty() {
            self.0.operation = operation;
        }
        self
    }

    /// Says that the write may have been applied all the same.
    #[must_use]
    pub fn maybe_applied_if(mut self, maybe: bool) -> Self {
        self.0.maybe_applied = maybe;
        self
    }

    /// Adds what the kind carries beyond its message.
    #[must_use]
    pub fn with_detail(mut self, detail: Detail) -> Self {
        self.0.detail = detail;
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// The kind, to act on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation that failed (`"put"`), or an empty string.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// What was found, without the operation.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the kind carries beyond its message.
    #[must_use]
    pub fn detail(&self) -> &Detail {
        &self.0.detail
    }

    /// False only if nothing can have been stored.
    #[must_use]
    pub fn maybe_applied(&self) -> bool {
        self.0.maybe_applied
    }

    /// Whether nobody listened at the address, which is sure to have left nothing.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        let source = self.0.source.as_deref().and_then(|source| source.downcast_ref::<std::io::Error>());
        source.is_some_and(|source| source.kind() == std::io::ErrorKind::ConnectionRefused)
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn retryable(&self) -> bool {
        self.0.kind.retryable()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.operation.is_empty() {
            f.write_str(&self.0.message)
        } else {
            write!(f, "{}: {}", self.0.operation, self.0.message)
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({self})", self.0.kind.code())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
