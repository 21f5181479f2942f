"""Administration: what the cluster looks like, and its buckets. Both flavours speak JSON to the native module."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol, TypeAlias

from ._settings import milliseconds, to_json
from ._types import Consistency, PathLike, Resolver
from .errors import Internal

if TYPE_CHECKING:
    from . import _ringkeep
    from .aio import Store as AioStore

ClusterEvent: TypeAlias = Mapping[str, Any]
Explanation: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Member:
    """One member as its own cluster sees it."""

    id: str
    number: int
    address: str
    location: str
    state: Literal["joining", "up", "suspect", "down", "leaving"]
    #: The share of the default bucket's replicas that it owns, 0 to 1.
    owns: float
    hints_pending: int
    version: str


@dataclass(frozen=True, slots=True)
class Status:
    """The state of the cluster as one store sees it."""

    health: Literal["healthy", "degraded", "unavailable"]
    epoch: int
    partitions: int
    partitions_available: int
    partitions_moving: int
    members: Sequence[Member]
    #: What an operator should know, in sentences.
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class BucketInfo:
    """One bucket's rules. `r` or `w` None: what the store says, else quorum. `ttl` in seconds."""

    name: str
    n: int | Mapping[str, int]
    r: int | Consistency | None
    w: int | Consistency | None
    sloppy: bool
    resolver: Resolver
    ttl: float | None


class Job(Protocol):
    """A long operation (not in this version)."""

    @property
    def progress(self) -> float: ...
    def wait(self, timeout: float | None = None) -> None: ...
    def cancel(self) -> None: ...


class AioJob(Protocol):
    """A long operation (not in this version)."""

    @property
    def progress(self) -> float: ...
    async def wait(self, timeout: float | None = None) -> None: ...
    async def cancel(self) -> None: ...


def _status(text: str) -> Status:
    fields = json.loads(text)
    members = [Member(**member) for member in fields.pop("members")]
    return Status(members=members, **fields)


def _buckets(text: str) -> list[BucketInfo]:
    infos = []
    for fields in json.loads(text):
        ttl_ms = fields.pop("ttl_ms")
        infos.append(BucketInfo(ttl=None if ttl_ms is None else ttl_ms / 1000, **fields))
    return infos


def _bucket_spec(name: str, rules: dict[str, Any]) -> str:
    rules["ttl_ms"] = milliseconds("ttl", rules.pop("ttl"))
    given = {rule: value for rule, value in rules.items() if value is not None}
    return to_json({"name": name, **given})


class ClusterAdmin:
    """The cluster that a store belongs to."""

    __slots__ = ("_store",)

    def __init__(self, store: _ringkeep.Store) -> None:
        self._store = store

    def status(self) -> Status:
        """Health and members."""
        return _status(self._store._admin("status", "{}"))

    def ring(self) -> Sequence[Sequence[str]]:
        """The ids of each partition's owners, in order of preference."""
        ring: list[list[str]] = json.loads(self._store._admin("ring", "{}"))
        return ring

    def leave(self) -> Job:
        """Drains this node (not in this version)."""
        self._refused("leave")

    def remove(self, node_id: str) -> Job:
        """Declares a node lost (not in this version)."""
        self._refused("remove", node_id=node_id)

    def repair(self, bucket: str | None = None) -> Job:
        """Compares all copies (not in this version)."""
        self._refused("repair", bucket=bucket)

    def backup(self, path: PathLike) -> Job:
        """Writes a backup (not in this version)."""
        self._refused("backup", path=str(path))

    def create_bucket(
        self,
        name: str,
        *,
        n: int | Mapping[str, int] = 3,
        r: int | Consistency | None = None,
        w: int | Consistency | None = None,
        sloppy: bool = False,
        resolver: Resolver = "lww",
        ttl: float | timedelta | None = None,
    ) -> None:
        """Creates a bucket; one that exists with the same rules stays. `r`, `w` unsaid: the store's, else quorum."""
        rules = {"n": n, "r": r, "w": w, "sloppy": sloppy, "resolver": resolver, "ttl": ttl}
        self._store._admin("create_bucket", _bucket_spec(name, rules))

    def alter_bucket(self, name: str, **changes: Any) -> None:
        """Changes a bucket (not in this version)."""
        self._refused("alter_bucket", name=name, **changes)

    def drop_bucket(self, name: str) -> Job:
        """Drops a bucket (not in this version)."""
        self._refused("drop_bucket", name=name)

    def buckets(self) -> Sequence[BucketInfo]:
        """The buckets in order of creation, the default bucket first."""
        return _buckets(self._store._admin("buckets", "{}"))

    def events(self) -> Iterator[ClusterEvent]:
        """What happens in the cluster (not in this version)."""
        self._refused("events")

    def _refused(self, command: str, **arguments: Any) -> NoReturn:
        self._store._admin(command, to_json(arguments))
        raise Internal(f"{command} was not refused")


class AioClusterAdmin:
    """The cluster that a store belongs to, for asyncio."""

    __slots__ = ("_store",)

    def __init__(self, store: AioStore) -> None:
        self._store = store

    async def status(self) -> Status:
        """Health and members."""
        return _status(await self._store._admin("status", "{}"))

    async def ring(self) -> Sequence[Sequence[str]]:
        """The ids of each partition's owners, in order of preference."""
        ring: list[list[str]] = json.loads(await self._store._admin("ring", "{}"))
        return ring

    async def leave(self) -> AioJob:
        """Drains this node (not in this version)."""
        await self._refused("leave")

    async def remove(self, node_id: str) -> AioJob:
        """Declares a node lost (not in this version)."""
        await self._refused("remove", node_id=node_id)

    async def repair(self, bucket: str | None = None) -> AioJob:
        """Compares all copies (not in this version)."""
        await self._refused("repair", bucket=bucket)

    async def backup(self, path: PathLike) -> AioJob:
        """Writes a backup (not in this version)."""
        await self._refused("backup", path=str(path))

    async def create_bucket(
        self,
        name: str,
        *,
        n: int | Mapping[str, int] = 3,
        r: int | Consistency | None = None,
        w: int | Consistency | None = None,
        sloppy: bool = False,
        resolver: Resolver = "lww",
        ttl: float | timedelta | None = None,
    ) -> None:
        """Creates a bucket; one that exists with the same rules stays. `r`, `w` unsaid: the store's, else quorum."""
        rules = {"n": n, "r": r, "w": w, "sloppy": sloppy, "resolver": resolver, "ttl": ttl}
        await self._store._admin("create_bucket", _bucket_spec(name, rules))

    async def alter_bucket(self, name: str, **changes: Any) -> None:
        """Changes a bucket (not in this version)."""
        await self._refused("alter_bucket", name=name, **changes)

    async def drop_bucket(self, name: str) -> AioJob:
        """Drops a bucket (not in this version)."""
        await self._refused("drop_bucket", name=name)

    async def buckets(self) -> Sequence[BucketInfo]:
        """The buckets in order of creation, the default bucket first."""
        return _buckets(await self._store._admin("buckets", "{}"))

    async def events(self) -> AsyncIterator[ClusterEvent]:
        """What happens in the cluster (not in this version)."""
        await self._refused("events")
        yield {}

    async def _refused(self, command: str, **arguments: Any) -> NoReturn:
        await self._store._admin(command, to_json(arguments))
        raise Internal(f"{command} was not refused")
