"""asyncio: the mirror of the sync API, real coroutines, nothing scheduled for what is local."""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

import ringkeep
from ringkeep import aio, errors

#: A member that no seed lets in: its operations wait to their deadline.
OUTSIDE: dict[str, Any] = {"listen": "127.0.0.1:0", "seeds": ["127.0.0.1:9"]}
PAIRS = [
    (ringkeep.Bucket, aio.Bucket),
    (ringkeep.Store, aio.Store),
    (ringkeep.Node, aio.Node),
    (ringkeep.Client, aio.Client),
    (ringkeep.Scan, aio.Scan),
    (ringkeep.ClusterAdmin, aio.ClusterAdmin),
]
#: What answers at once in both flavours.
PLAIN = {"bucket", "scan", "metrics", "events"}


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def shape(function: Any) -> list[tuple[str, Any, Any]]:
    parameters = inspect.signature(function).parameters.values()
    return [(one.name, one.kind, one.default) for one in parameters if one.name != "self"]


@pytest.mark.parametrize(("sync", "mirror"), PAIRS)
def test_aio_mirrors_every_method_and_its_signature(sync: type, mirror: type) -> None:
    assert public(sync) == public(mirror)
    for name in public(sync):
        ours, theirs = getattr(sync, name), getattr(mirror, name)
        if callable(ours):
            assert shape(ours) == shape(theirs), name
            coroutine = inspect.iscoroutinefunction(theirs) or inspect.isasyncgenfunction(theirs)
            assert coroutine is (name not in PLAIN), name


@pytest.mark.parametrize("name", ["open", "connect"])
def test_aio_opens_as_sync_does(name: str) -> None:
    assert shape(getattr(ringkeep, name)) == shape(getattr(aio, name))


def annotated(source: str, kinds: set[str]) -> dict[str, list[str]]:
    """The annotations of the methods of some classes, but for what they return."""
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name in kinds:
            for method in node.body:
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and not method.name.startswith("_"):
                    arguments = method.args
                    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
                    every += [arguments.kwarg] if arguments.kwarg else []
                    types = [ast.unparse(one.annotation) for one in every if one.annotation is not None]
                    found.setdefault(f"{node.name}.{method.name}", types)
    return found


def test_aio_takes_the_same_types() -> None:
    package = Path(ringkeep.__file__).parent
    kinds = {"Bucket", "Store", "Scan"}
    sync = annotated((package / "_ringkeep.pyi").read_text(), kinds)
    mirror = annotated((package / "aio.py").read_text(), kinds)
    # `get` has one more overload for its default in the sync stub; `fn` of `update` may be async; `resolve` has an alias.
    for name in ("Bucket.get", "Bucket.update", "Store.bucket"):
        assert name in sync and name in mirror
        del sync[name], mirror[name]
    assert {name: [one.replace("_T", "T") for one in types] for name, types in sync.items()} == mirror


def step(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never waits."""
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    return stop.value.value


def test_what_is_local_ends_at_its_first_step() -> None:
    async def open_one() -> aio.Node:
        return await aio.open()

    db = asyncio.run(open_one())
    assert step(db.put("k", "v")).owners == 1
    assert step(db.get("k")) == b"v"
    assert step(db.read("k")).value == b"v"
    assert step(db.update("k", lambda siblings: siblings[0] + b"!")) == b"v!"
    assert step(db.get_many(["k"])) == {"k": b"v!"}
    assert step(db.put_many({"l": "w"})) is None
    assert step(db.delete("k")).owners == 1
    asyncio.run(db.close())


def test_an_opening_is_awaited_entered_or_made_a_task() -> None:
    async def main() -> None:
        async with aio.open() as db:
            await db.put("k", "v")
            assert await asyncio.create_task(db.get("k")) == b"v"
        with pytest.raises(errors.Closed):
            await db.get("k")
        for db in (await aio.open(), await asyncio.create_task(aio.open())):
            assert isinstance(db, aio.Node) and db.id and db.address is None
            async with db:
                await db.ready()
            await db.close()
        with pytest.raises(errors.InvalidArgument, match="colour"):
            await aio.open(colour="red")  # type: ignore[call-arg]
        with pytest.raises(errors.InvalidArgument, match="http"):
            await aio.connect("http://127.0.0.1:1")

    asyncio.run(main())


def test_the_whole_bucket_works_in_a_loop() -> None:
    async def main() -> None:
        async with aio.open() as db:
            await db.cluster.create_bucket("carts", resolver="siblings")
            carts = db.bucket("carts", codec="json")
            await carts.put("k", ["milk"])
            await carts.put("k", ["eggs"])
            with pytest.raises(errors.Conflict):
                await carts.get("k")
            assert (await carts.read("k")).conflicted

            async def union(siblings: Any) -> Any:
                await asyncio.sleep(0)
                return sorted(sum(siblings, []))

            assert await carts.update("k", union) == ["eggs", "milk"]
            assert [item async for item in carts.scan()] == [(b"k", ["eggs", "milk"])]
            assert [key async for key in carts] == [b"k"]
            assert [bucket.name for bucket in await db.cluster.buckets()] == ["default", "carts"]
            assert (await db.cluster.status()).health == "healthy"
            assert isinstance(db.metrics(), dict)
            resolved = db.bucket("carts", resolve=max)
            assert await resolved.get("k") == b'["eggs","milk"]'
            with pytest.raises(errors.InvalidArgument, match="not in this version"):
                await db.cluster.leave()
            explained = await carts.explain("k")
            assert (explained.bucket, [read.answer for read in explained.reads]) == ("carts", ["value"] + 2 * ["unavailable"])

    asyncio.run(main())


def test_events_come_in_order_until_the_store_is_closed() -> None:
    async def main() -> None:
        db = await aio.open()
        events = db.cluster.events()
        for name in ("a", "b"):
            await db.cluster.create_bucket(name)
        details = [(await anext(events)).detail.rpartition(", ")[2] for _ in range(2)]
        assert details == ["2 buckets", "3 buckets"]

        async def step() -> object:
            return await anext(events, None)

        reading = asyncio.create_task(step())
        await asyncio.sleep(0)
        await db.close()
        assert await reading is None
        with pytest.raises(errors.Closed):
            db.cluster.events()

    asyncio.run(main())


def test_what_waits_leaves_the_loop_free_and_ends_together() -> None:
    async def main() -> None:
        async with aio.open(**OUTSIDE) as db:
            ticks = 0

            async def tick() -> None:
                nonlocal ticks
                while True:
                    await asyncio.sleep(0.001)
                    ticks += 1

            ticker = asyncio.create_task(tick())
            waiting = [asyncio.create_task(db.get(f"k{index}", timeout=0.2)) for index in range(100)]
            for failed in await asyncio.gather(*waiting, return_exceptions=True):
                assert isinstance(failed, errors.Timeout | errors.QuorumUnavailable), failed
            ticker.cancel()
            assert ticks > 5

    asyncio.run(main())


def test_canceling_the_task_ends_the_operation() -> None:
    async def main() -> None:
        async with aio.open(**OUTSIDE) as db:
            task = asyncio.create_task(db.put("k", "v", timeout=3600))
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await db.get("k", timeout=3600)
            # Nothing is left for the close to wait for.
            async with asyncio.timeout(4):
                await db.close(timeout=60)

    asyncio.run(main())


def test_close_ends_what_waits() -> None:
    async def main() -> None:
        db = await aio.open(**OUTSIDE)
        task = asyncio.create_task(db.get("k", timeout=3600))
        await asyncio.sleep(0.01)
        await db.close(timeout=0.05)
        with pytest.raises(errors.Error):
            await task
        await db.close()

    asyncio.run(main())


def test_a_store_serves_one_loop_after_another() -> None:
    async def fail(db: aio.Node) -> None:
        with pytest.raises((errors.Timeout, errors.QuorumUnavailable)):
            await db.get("k", timeout=0.05)

    async def open_one() -> aio.Node:
        return await aio.open(**OUTSIDE)

    db = asyncio.run(open_one())
    for _ in range(3):
        asyncio.run(fail(db))
    asyncio.run(db.close())


def test_two_loops_in_two_threads_share_a_store() -> None:
    async def open_one() -> aio.Node:
        return await aio.open(**OUTSIDE)

    async def fail(db: aio.Node) -> str:
        try:
            await db.get("k", timeout=0.1)
        except (errors.Timeout, errors.QuorumUnavailable) as error:
            return error.code
        return ""

    async def main() -> None:
        results = await asyncio.gather(*(asyncio.to_thread(asyncio.run, fail(db)) for _ in range(4)), fail(db))
        assert all(results)

    db = asyncio.run(open_one())
    asyncio.run(main())
    asyncio.run(db.close())
