"""Administration: what the cluster looks like, and its buckets. Both flavours speak JSON to the native module."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol

from ._settings import milliseconds, to_json
from ._types import Consistency, PathLike, Resolver
from .errors import Closed, Internal

if TYPE_CHECKING:
    from . import _ringkeep
    from .aio import Store as AioStore

#: How long one request for events waits for the first of them.
_EVENTS_WAIT_MS = 10_000


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
    #: Whether every partition has the owners that the r and w of every bucket ask for.
    available: bool = False


@dataclass(frozen=True, slots=True)
class HeldRecord:
    """What a replica holds of a key."""

    #: Live siblings, deletes among the siblings, and siblings whose time to live is over.
    values: int
    tombstones: int
    expired: int
    #: Equal hashes are equal records.
    hash: str
    #: When its newest write was made, and how many seconds ago that is by the answering member's clock.
    time: datetime
    age: float
    clock_entries: int


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica of a key."""

    id: str
    number: int
    role: Literal["owner", "fallback"]
    state: Literal["joining", "up", "suspect", "down", "leaving"]
    reachable: bool
    #: Why it was not reached.
    error: str | None
    #: Whether it counts in read quorums: an owner that answered and whose copy is not recovering.
    counts: bool
    recovering: bool
    #: None: it holds nothing, or was not reached.
    record: HeldRecord | None
    #: What the answering member owes it, of any key.
    hints_owed: int


@dataclass(frozen=True, slots=True)
class ReadAnswer:
    """What a read of `r` owners would answer now."""

    r: int
    answer: Literal["value", "absent", "siblings", "unavailable"]
    siblings: int
    #: Why it is unavailable.
    reason: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """One key as one member sees it. Each replica was asked once, at about the same time; nothing in it is agreed.

    `reads` supposes that the coordinator asks the owners in order of preference and that each answers as it just did;
    a real read takes whichever owners answer first.
    """

    bucket: str
    partition: int
    epoch: int
    #: The id of the member that asked the replicas.
    answered_by: str
    #: The owners, then the fallbacks, each in order of preference.
    replicas: Sequence[Replica]
    #: For r = 1 up to the bucket's n.
    reads: Sequence[ReadAnswer]


@dataclass(frozen=True, slots=True)
class ClusterEvent:
    """One thing that happened, as one member saw it."""

    #: Its number at that member; 0 for what the reader's own side adds.
    number: int
    time: datetime
    #: "member_joined", "member_up", "member_suspected", "member_down", "member_restarted", "topology_changed",
    #: "hints_owed", "hints_delivered", "hints_collapsed", "fallback_started", "fallback_drained", "refused"; and of the
    #: reader's own side "source_changed" (numbers begin anew) and "events_missed". More may come.
    kind: str
    #: The id and number of the member that it is about.
    node: str | None
    node_number: int | None
    #: For people: why, or how much.
    detail: str


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


def _time(unix_ms: int) -> datetime:
    return datetime.fromtimestamp(unix_ms / 1000, tz=UTC)


def _held(fields: dict[str, Any]) -> HeldRecord:
    return HeldRecord(time=_time(fields.pop("time_ms")), age=fields.pop("age_ms") / 1000, **fields)


def _replica(fields: dict[str, Any]) -> Replica:
    record = fields.pop("record")
    return Replica(record=None if record is None else _held(record), **fields)


def _explanation(text: str) -> Explanation:
    fields = json.loads(text)
    replicas = [_replica(replica) for replica in fields.pop("replicas")]
    reads = [ReadAnswer(**read) for read in fields.pop("reads")]
    return Explanation(replicas=replicas, reads=reads, **fields)


class _Place:
    """Where a reader of events is: the arguments of its next request, and the events that the last one gave."""

    __slots__ = ("arguments", "read")

    def __init__(self) -> None:
        self.arguments = "{}"
        self.read: deque[ClusterEvent] = deque()

    def take(self, text: str) -> None:
        page = json.loads(text)
        place = {"after": page["last"], "source": page["source"], "since_ms": page["time_ms"]}
        self.arguments = to_json({**place, "timeout_ms": _EVENTS_WAIT_MS})
        for fields in page["events"]:
            self.read.append(ClusterEvent(time=_time(fields.pop("time_ms")), **fields))


class Events(Iterator[ClusterEvent]):
    """Events from when it was made, waited for; ends when the store is closed."""

    __slots__ = ("_place", "_store")

    def __init__(self, store: _ringkeep.Store) -> None:
        self._store = store
        self._place = _Place()
        self._place.take(store._admin("events", self._place.arguments))

    def __next__(self) -> ClusterEvent:
        place = self._place
        while not place.read:
            try:
                place.take(self._store._admin("events", place.arguments))
            except Closed:
                raise StopIteration from None
        return place.read.popleft()


class AioEvents(AsyncIterator[ClusterEvent]):
    """Events from when it was made, waited for; ends when the store is closed."""

    __slots__ = ("_first", "_place", "_store")

    def __init__(self, store: AioStore) -> None:
        self._store = store
        self._place = _Place()
        # Begun here, so that what happens before the first step is not lost.
        self._first: str | _ringkeep.Pending[str] | None = store._store.admin("events", self._place.arguments)

    async def __anext__(self) -> ClusterEvent:
        place = self._place
        try:
            if self._first is not None:
                first, self._first = self._first, None
                place.take(first if isinstance(first, str) else await first.future)
            while not place.read:
                place.take(await self._store._admin("events", place.arguments))
        except Closed:
            raise StopAsyncIteration from None
        return place.read.popleft()


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
        """What happens in the cluster from now on, as one member sees it; ends when the store is closed.

        A node's store reads its own events, a client those of some member, and of another one when that has gone.
        """
        return Events(self._store)

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

    def events(self) -> AsyncIterator[ClusterEvent]:
        """What happens in the cluster from now on, as one member sees it; ends when the store is closed.

        A node's store reads its own events, a client those of some member, and of another one when that has gone.
        """
        return AioEvents(self._store)

    async def _refused(self, command: str, **arguments: Any) -> NoReturn:
        await self._store._admin(command, to_json(arguments))
        raise Internal(f"{command} was not refused")
