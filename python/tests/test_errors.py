"""The error classes: codes, builtins, fields, pickling."""

from __future__ import annotations

import builtins
import copy
import errno
import pickle

import pytest

import ringkeep
from ringkeep import errors

KINDS = [getattr(errors, name) for name in errors.__all__ if name != "Error"]
BUILTINS = {
    errors.Timeout: builtins.TimeoutError,
    errors.QuorumUnavailable: ConnectionError,
    errors.InvalidArgument: ValueError,
    errors.NoSuchBucket: errors.InvalidArgument,
    errors.Locked: OSError,
    errors.Forked: RuntimeError,
    errors.StorageFull: OSError,
    errors.Corruption: OSError,
    errors.Unauthorized: PermissionError,
    errors.IoError: OSError,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_an_error_with_a_code_and_its_builtin(kind: type[errors.Error]) -> None:
    error = kind("what was found")
    assert isinstance(error, errors.Error) and isinstance(error, BUILTINS.get(kind, Exception))
    assert str(error) == "what was found" and error.code == kind.code
    assert error.retryable is (kind in (errors.Timeout, errors.QuorumUnavailable, errors.Overloaded))
    assert error.maybe_applied is False


def test_codes_are_unique() -> None:
    assert len({kind.code for kind in KINDS}) == len(KINDS) == 19


@pytest.mark.parametrize("kind", KINDS)
def test_errors_survive_pickling_and_copying(kind: type[errors.Error]) -> None:
    error = kind("text", maybe_applied=True, needed=2, replicas={"n2": "down"}, pid=7)
    for same in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(same) is kind and str(same) == "text"
        assert same.__dict__ == error.__dict__ and same.maybe_applied
        if isinstance(error, OSError):
            assert same.errno == error.errno


def test_system_errors_have_their_number() -> None:
    assert errors.StorageFull("full").errno == errno.ENOSPC
    assert errors.Locked("held").errno == errno.EAGAIN


def test_a_conflict_carries_what_ends_it(db: ringkeep.Node) -> None:
    db.cluster.create_bucket("carts", resolver="siblings")
    carts = db.bucket("carts")
    carts.put("k", "milk")
    carts.put("k", "eggs")
    with pytest.raises(errors.Conflict) as raised:
        carts.get("k")
    conflict = pickle.loads(pickle.dumps(raised.value))
    assert conflict.key == b"k" and sorted(conflict.siblings) == [b"eggs", b"milk"]
    carts.put("k", "both", context=conflict.context)
    assert carts["k"] == b"both"
    entry = carts.read("k")
    assert not entry.conflicted and entry.value == b"both"


def test_a_missing_bucket_is_its_own_error(db: ringkeep.Node) -> None:
    with pytest.raises(errors.NoSuchBucket, match="nowhere"):
        db.bucket("nowhere").get("k")
    for name in ("", 3):
        with pytest.raises(errors.InvalidArgument, match="name"):
            db.bucket(name)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "call",
    [
        lambda db: db.cluster.leave(),
        lambda db: db.cluster.remove("n1"),
        lambda db: db.cluster.repair(),
        lambda db: db.cluster.backup("somewhere"),
        lambda db: db.cluster.alter_bucket("default", n=2),
        lambda db: db.cluster.drop_bucket("default"),
    ],
)
def test_what_is_not_in_this_version_says_so(db: ringkeep.Node, call: object) -> None:
    assert callable(call)
    with pytest.raises(errors.InvalidArgument, match="not in this version"):
        call(db)
