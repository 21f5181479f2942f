"""Every failure, one class for each kind. All say whether to retry, and whether a write may have been applied.

Each class is also the builtin that a Python programmer would catch (`TimeoutError`, `ValueError`, `OSError`, …),
and all of them can be pickled and copied.
"""

from __future__ import annotations

import builtins
import errno
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._ringkeep import Context

__all__ = [
    "Canceled",
    "ClockSkew",
    "Closed",
    "Conflict",
    "Corruption",
    "Error",
    "Forked",
    "Internal",
    "InvalidArgument",
    "IoError",
    "Locked",
    "NoSuchBucket",
    "Overloaded",
    "PartialFailure",
    "QuorumUnavailable",
    "StorageFull",
    "Timeout",
    "TooManySiblings",
    "Unauthorized",
    "VersionMismatch",
]


class Error(Exception):
    """The base of every error. Its message says what was found and what to do."""

    #: The stable code, the same in every language.
    code: str = "INTERNAL"
    #: Whether the same request may succeed later without anything being changed by hand.
    retryable: bool = False
    #: False only if nothing can have been stored.
    maybe_applied: bool = False

    def __init__(self, message: str = "", /, **fields: Any) -> None:
        super().__init__(message)
        self.__dict__.update(fields)


class Timeout(Error, builtins.TimeoutError):
    """The deadline passed. Retry if the write may be applied twice, or read first."""

    code = "TIMEOUT"
    retryable = True
    #: Replicas that had to answer; 0 where the operation had not come so far.
    needed: int = 0
    #: Replicas that did.
    received: int = 0


class QuorumUnavailable(Error, builtins.ConnectionError):
    """Too few replicas answered. Retry later, or ask for less consistency."""

    code = "QUORUM_UNAVAILABLE"
    retryable = True
    #: Replicas that had to answer.
    needed: int = 0
    #: Replicas that did.
    received: int = 0
    #: Each replica that failed, with the reason.
    replicas: Mapping[str, str]

    def __init__(self, message: str = "", /, **fields: Any) -> None:
        super().__init__(message, **{"replicas": {}, **fields})


class Conflict(Error):
    """More than one value is live and the bucket's resolver is `siblings`. Use `update`, or read, merge and put."""

    code = "CONFLICT"
    #: The key.
    key: bytes
    #: Its live values.
    siblings: Sequence[bytes]
    #: The context to put the merged value with.
    context: Context


class TooManySiblings(Error):
    """The key has as many live siblings as it may have. Read, merge, and put with the context."""

    code = "TOO_MANY_SIBLINGS"
    #: The most live siblings that a key may have.
    limit: int = 0


class InvalidArgument(Error, ValueError):
    """The request is wrong. Fix it."""

    code = "INVALID_ARGUMENT"


class NoSuchBucket(InvalidArgument):
    """The bucket does not exist. Create it, or fix the name."""

    code = "NO_SUCH_BUCKET"


class Closed(Error):
    """The store was closed."""

    code = "CLOSED"


class Locked(Error, OSError):
    """Another open holds the data directory."""

    code = "LOCKED"
    #: The process that holds it; 0 if that could not be read.
    pid: int = 0

    def __init__(self, message: str = "", /, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.errno = errno.EAGAIN


class Forked(Error, RuntimeError):
    """The handle was inherited through fork. Open a new one in this process."""

    code = "FORKED"


class Overloaded(Error):
    """A queue is full. Retry after a pause."""

    code = "OVERLOADED"
    retryable = True


class ClockSkew(Error):
    """A clock is too far ahead. Call the operator."""

    code = "CLOCK_SKEW"


class StorageFull(Error, OSError):
    """The disk is full: reads go on, writes are refused until there is space."""

    code = "STORAGE_FULL"

    def __init__(self, message: str = "", /, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.errno = errno.ENOSPC


class Corruption(Error, OSError):
    """Stored bytes are damaged. Call the operator."""

    code = "CORRUPTION"


class Unauthorized(Error, PermissionError):
    """The credentials do not allow this."""

    code = "UNAUTHORIZED"


class Canceled(Error):
    """The operation was canceled."""

    code = "CANCELED"


class IoError(Error, OSError):
    """The operating system refused. Call the operator."""

    code = "IO"


class VersionMismatch(Error):
    """The other side speaks no version that this side knows."""

    code = "VERSION_MISMATCH"


class Internal(Error):
    """A bug in Ringkeep."""

    code = "INTERNAL"


class PartialFailure(Error):
    """Some items of `get_many` or `put_many` failed; the others were done."""

    code = "PARTIAL"
    #: Each failed key with its error.
    errors: Mapping[bytes, Error]
    #: What `get_many` found under the other keys.
    values: Mapping[Any, Any]

    def __init__(self, message: str = "", /, **fields: Any) -> None:
        super().__init__(message, **{"errors": {}, "values": {}, **fields})


_BY_CODE: dict[str, type[Error]] = {
    kind.code: kind
    for kind in (
        Timeout,
        QuorumUnavailable,
        Conflict,
        TooManySiblings,
        InvalidArgument,
        NoSuchBucket,
        Closed,
        Locked,
        Forked,
        Overloaded,
        ClockSkew,
        StorageFull,
        Corruption,
        Unauthorized,
        Canceled,
        IoError,
        VersionMismatch,
        Internal,
        PartialFailure,
    )
}


def _make(code: str, message: str, fields: dict[str, Any]) -> Error:
    """The error of a code, as the native module raises it."""
    return _BY_CODE.get(code, Internal)(message, **fields)
