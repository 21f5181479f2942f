"""The same API as coroutines, method for method.

An operation that needs neither the network nor the disk is done when its coroutine is first stepped: no thread, no turn
of the loop. Others complete through one queue per store and loop; canceling the awaiting task cancels the operation.
"""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Mapping,
    Sequence,
)
from inspect import isawaitable
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar, Unpack, cast, overload

from . import _ringkeep
from ._admin import AioClusterAdmin as ClusterAdmin
from ._admin import Explanation
from ._ringkeep import Context, Entry, Pending, Receipt
from ._settings import node_settings, uris
from ._types import (
    Config,
    Defaults,
    Durability,
    Key,
    PathLike,
    ReadOptions,
    Settings,
    TlsConfig,
    WriteOptions,
)

__all__ = ["Bucket", "Client", "ClusterAdmin", "Node", "Opening", "Scan", "Store", "connect", "open"]

T = TypeVar("T")
S = TypeVar("S", bound="Store")


async def _end(pending: Pending[T]) -> T:
    """Waits for an operation that did not end at once; whatever ends the wait ends the operation."""
    try:
        return await pending.future
    finally:
        pending.cancel()
        # An error's traceback holds this frame: without this it would hold itself, and all that its callers have.
        del pending


class Bucket(Generic[T]):
    """A named keyspace. See `ringkeep.Bucket` for what the methods promise."""

    __slots__ = ("__weakref__", "_native")

    def __init__(self, native: _ringkeep.AsyncBucket[T], /) -> None:
        self._native = native

    @property
    def name(self) -> str:
        """The name."""
        return self._native.name

    async def get(self, key: Key, default: T | None = None, /, **options: Unpack[ReadOptions]) -> T | None:
        """The value that the resolver picks, or the default."""
        outcome = self._native.get(key, default, **options)
        return await _end(outcome) if isinstance(outcome, Pending) else outcome

    async def read(self, key: Key, /, **options: Unpack[ReadOptions]) -> Entry[T]:
        """Every live sibling and the context that covers them."""
        outcome = self._native.read(key, **options)
        return await _end(outcome) if isinstance(outcome, Pending) else outcome

    async def put(
        self, key: Key, value: T | str, /, *, context: Context | None = None, **options: Unpack[WriteOptions]
    ) -> Receipt:
        """Stores a value."""
        outcome = self._native.put(key, value, context=context, **options)
        return await _end(outcome) if isinstance(outcome, Pending) else outcome

    async def delete(
        self, key: Key, /, *, context: Context | None = None, **options: Unpack[WriteOptions]
    ) -> Receipt:
        """Deletes; without a context it covers what its coordinator has stored."""
        outcome = self._native.delete(key, context=context, **options)
        return await _end(outcome) if isinstance(outcome, Pending) else outcome

    async def update(
        self,
        key: Key,
        fn: Callable[[Sequence[T]], T | str | None | Awaitable[T | str | None]],
        /,
        **options: Unpack[WriteOptions],
    ) -> T | None:
        """Reads every live sibling, lets `fn` (which may be async) make one value of them, and puts it.

        None deletes; an exception of `fn` leaves everything as it was.
        """
        read = self._native.read_to_update(key, **options)
        entry = await _end(read) if isinstance(read, Pending) else read
        value = fn(entry.siblings)
        if isawaitable(value):
            value = await value
        write = self._native.write_update(key, entry, value, **options)
        return await _end(write) if isinstance(write, Pending) else write

    async def get_many(self, keys: Iterable[Key], /, **options: Unpack[ReadOptions]) -> dict[Key, T]:
        """The values of those keys that have one. PartialFailure names the keys that failed."""
        outcome = self._native.get_many(keys, **options)
        return await _end(outcome) if isinstance(outcome, Pending) else outcome

    async def put_many(
        self, items: Mapping[Key, T] | Iterable[tuple[Key, T]], /, **options: Unpack[WriteOptions]
    ) -> None:
        """Stores several values. PartialFailure names the keys that failed; the others are stored."""
        outcome = self._native.put_many(items, **options)
        return await _end(outcome) if isinstance(outcome, Pending) else outcome

    def scan(
        self,
        *,
        prefix: Key = b"",
        start: Key = b"",
        end: Key = b"",
        limit: int | None = None,
        **options: Unpack[ReadOptions],
    ) -> Scan[T]:
        """Keys and values in key order, streamed, not a snapshot."""
        return Scan(self._native.scan(prefix=prefix, start=start, end=end, limit=limit, **options))

    async def count(self, *, prefix: Key = b"") -> int:
        """How many keys have a value."""
        outcome = self._native.count(prefix=prefix)
        return await _end(outcome) if isinstance(outcome, Pending) else outcome

    async def clear(self, *, prefix: Key = b"") -> int:
        """Deletes the keys that it sees, and says how many."""
        outcome = self._native.clear(prefix=prefix)
        return await _end(outcome) if isinstance(outcome, Pending) else outcome

    async def explain(self, key: Key, /) -> Explanation:
        """Where a key lives, what each of its replicas holds, and what reads would answer now."""
        outcome = self._native.explain(key)
        return await _end(outcome) if isinstance(outcome, Pending) else outcome

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async with self.scan() as scan:
            async for key, _ in scan:
                yield key

    def __repr__(self) -> str:
        return f"<ringkeep.aio.{type(self).__name__} {self.name!r}>"


class Scan(Generic[T]):
    """Keys and values in key order. A Conflict is raised for its key alone: iterating again goes on behind it."""

    __slots__ = ("_native",)

    def __init__(self, native: _ringkeep.AsyncScan[T], /) -> None:
        self._native = native

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[bytes, T]:
        outcome = self._native.next()
        item = await _end(outcome) if isinstance(outcome, Pending) else outcome
        if item is None:
            raise StopAsyncIteration
        return item

    async def close(self) -> None:
        """Ends the scan. Idempotent."""
        self._native.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Store(Bucket[bytes]):
    """A node or a client, and its default bucket."""

    __slots__ = ("_store",)

    def __init__(self, native: _ringkeep.AsyncStore, /) -> None:
        super().__init__(native)
        self._store = native

    @property
    def cluster(self) -> ClusterAdmin:
        """The cluster that the store belongs to."""
        return ClusterAdmin(self)

    @overload
    def bucket(
        self,
        name: str,
        *,
        codec: Literal["bytes"] = "bytes",
        resolve: Callable[[Sequence[bytes]], bytes] | None = None,
    ) -> Bucket[bytes]: ...
    @overload
    def bucket(
        self, name: str, *, codec: Literal["utf8"], resolve: Callable[[Sequence[bytes]], bytes] | None = None
    ) -> Bucket[str]: ...
    @overload
    def bucket(
        self, name: str, *, codec: Literal["json"], resolve: Callable[[Sequence[bytes]], bytes] | None = None
    ) -> Bucket[Any]: ...
    def bucket(
        self,
        name: str,
        *,
        codec: Literal["bytes", "utf8", "json"] = "bytes",
        resolve: Callable[[Sequence[bytes]], bytes] | None = None,
    ) -> Bucket[Any]:
        """A bucket by name; that it exists is judged by each operation."""
        return Bucket(self._store.bucket(name, codec=codec, resolve=resolve))

    def metrics(self) -> dict[str, float]:
        """Counters and gauges by name."""
        return self._store.metrics()

    async def ready(self, timeout: float | None = None) -> None:
        """Returns once operations can be served."""
        outcome = self._store.ready(timeout)
        return await _end(outcome) if isinstance(outcome, Pending) else outcome

    async def close(self, timeout: float | None = None) -> None:
        """Waits for operations under way, at most so long, and ends the store. Idempotent."""
        outcome = self._store.close(timeout)
        try:
            return await _end(outcome) if isinstance(outcome, Pending) else outcome
        finally:
            self._store.detach()

    async def _admin(self, command: str, arguments: str, /) -> str:
        outcome = self._store.admin(command, arguments)
        return await _end(outcome) if isinstance(outcome, Pending) else outcome

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Node(Store):
    """A member of a ring inside this process."""

    __slots__ = ()

    @property
    def id(self) -> str:
        """The stable id."""
        return cast(str, self._store.id)

    @property
    def address(self) -> str | None:
        """Where it listens; None: no port."""
        return self._store.address


class Client(Store):
    """A client of a ring."""

    __slots__ = ()


class Opening(Coroutine[Any, Any, S]):
    """A store being opened: await it, or enter it with `async with`, which closes the store at the end."""

    __slots__ = ("_coroutine", "_kind", "_start", "_store")

    def __init__(self, kind: type[S], start: Callable[[], _ringkeep.AsyncStore | Pending[_ringkeep.AsyncStore]]) -> None:
        self._kind = kind
        self._start = start
        self._coroutine: Coroutine[Any, Any, S] | None = None
        self._store: S | None = None

    async def _open(self) -> S:
        outcome = self._start()
        native = await _end(outcome) if isinstance(outcome, Pending) else outcome
        return self._kind(native)

    def _begun(self) -> Coroutine[Any, Any, S]:
        if self._coroutine is None:
            self._coroutine = self._open()
        return self._coroutine

    def __await__(self) -> Generator[Any, Any, S]:
        return self._begun().__await__()

    def send(self, value: Any, /) -> Any:
        """A coroutine's step: `asyncio.create_task` takes an opening as it is."""
        return self._begun().send(value)

    def throw(self, *error: Any) -> Any:
        """A coroutine's step that raises."""
        return self._begun().throw(*error)

    def close(self) -> None:
        """Gives the opening up."""
        if self._coroutine is not None:
            self._coroutine.close()

    async def __aenter__(self) -> S:
        self._store = await self
        return self._store

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._store is not None:
            await self._store.close()


def open(
    path: PathLike | None = None,
    *,
    listen: str | None = None,
    advertise: str | None = None,
    seeds: Sequence[str] = (),
    create: bool = False,
    admin: str | None = None,
    location: str = "",
    capacity: float = 1.0,
    durability: Durability = "interval",
    partitions: int = 256,
    tls: TlsConfig | None = None,
    insecure: bool = False,
    config: Config | None = None,
    **settings: Unpack[Settings],
) -> Opening[Node]:
    """As `ringkeep.open`; await what it gives, or enter it."""
    arguments = locals()
    return Opening(Node, lambda: _ringkeep.start_open(*node_settings(arguments, open.__kwdefaults__)))


def connect(
    uri: str | Sequence[str] = "ringkeep://127.0.0.1:7400",
    *,
    token: str | None = None,
    tls: TlsConfig | None = None,
    location: str = "",
    **defaults: Unpack[Defaults],
) -> Opening[Client]:
    """As `ringkeep.connect`; await what it gives, or enter it."""
    return Opening(Client, lambda: _ringkeep.start_connect(uris(uri), token, tls, location, **defaults))
