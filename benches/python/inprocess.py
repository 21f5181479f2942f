"""Ringkeep inside a Python process beside a dict, lmdb, rocksdict, sqlite3 and diskcache, and what the asyncio binding
costs over a real ring. Everything is interleaved in one process; medians of the rounds, as ratios to the peers.

Run by `make bench`; alone: `python inprocess.py` with the package and the peers installed. BENCH_SECONDS is the length
of a round, BENCH_ROUNDS their number.
"""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import ringkeep
from ringkeep import aio

SECONDS = float(os.environ.get("BENCH_SECONDS", "1"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
KEYS = [b"user:%08d" % i for i in range(10_000)]
VALUE = b"v" * 100
IN_FLIGHT = 64

Step = Callable[[bytes], object]
# Operations per second, and CPU microseconds of the whole process per operation.
Figure = tuple[float, float]


class Peer:
    """A store: how to put and get one key, each a transaction of its own."""

    def __init__(self, name: str, put: Step, get: Step, close: Callable[[], object] = lambda: None) -> None:
        self.name, self.put, self.get, self.close = name, put, get, close


def dictionary(_: Path) -> Peer:
    held: dict[bytes, bytes] = {}
    return Peer("dict", lambda key: held.__setitem__(key, VALUE), held.get)


def lmdb(path: Path) -> Peer:
    import lmdb as module

    # As durable as durability="interval": in the operating system at once, on disk later.
    env = module.open(str(path), map_size=1 << 30, sync=False, metasync=False)

    def put(key: bytes) -> None:
        with env.begin(write=True) as transaction:
            transaction.put(key, VALUE)

    def get(key: bytes) -> object:
        with env.begin() as transaction:
            return transaction.get(key)

    return Peer("lmdb", put, get, env.close)


def rocksdict(path: Path) -> Peer:
    import rocksdict as module

    store = module.Rdict(str(path), module.Options(raw_mode=True))
    return Peer("rocksdict", lambda key: store.put(key, VALUE), store.get, store.close)


def sqlite(path: Path) -> Peer:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("pragma journal_mode=wal")
    database.execute("pragma synchronous=off")
    database.execute("create table t (k blob primary key, v blob) without rowid")
    put, get = "insert or replace into t values (?, ?)", "select v from t where k = ?"
    return Peer(
        "sqlite3",
        lambda key: database.execute(put, (key, VALUE)),
        lambda key: database.execute(get, (key,)).fetchone(),
        database.close,
    )


def diskcache(path: Path) -> Peer:
    import diskcache as module

    cache = module.Cache(str(path))
    return Peer("diskcache", lambda key: cache.set(key, VALUE), cache.get, cache.close)


def ringkeep_memory(_: Path) -> Peer:
    store = ringkeep.open()
    return Peer("ringkeep, memory", lambda key: store.put(key, VALUE), store.get, store.close)


def ringkeep_disk(path: Path) -> Peer:
    store = ringkeep.open(path, durability="interval")
    return Peer("ringkeep, disk", lambda key: store.put(key, VALUE), store.get, store.close)


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure(step: Step) -> Figure:
    count, cpu, start = 0, cpu_seconds(), time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        at = count % len(KEYS)
        for key in KEYS[at : at + 100]:
            step(key)
        count += 100
    return count / (time.perf_counter() - start), (cpu_seconds() - cpu) * 1e6 / count


def median(figures: list[Figure]) -> Figure:
    return statistics.median(rate for rate, _ in figures), statistics.median(cpu for _, cpu in figures)


def local() -> dict[tuple[str, str], float]:
    """Measures every store, prints the tables, and gives the rates."""
    rates: dict[tuple[str, str], float] = {}
    with tempfile.TemporaryDirectory() as directory:
        peers: list[Peer] = []
        for make in (dictionary, lmdb, rocksdict, sqlite, diskcache, ringkeep_memory, ringkeep_disk):
            try:
                peers.append(make(Path(directory) / make.__name__))
            except ImportError as error:
                print(f"{make.__name__}: not installed ({error})")
        for peer in peers:
            for key in KEYS:
                peer.put(key)
            if peer.name != "dict":
                assert peer.get(KEYS[-1]) is not None
        figures: dict[tuple[str, str], list[Figure]] = {}
        for _ in range(ROUNDS):
            for operation in ("put", "get"):
                for peer in peers:
                    taken = figures.setdefault((operation, peer.name), [])
                    taken.append(measure(peer.put if operation == "put" else peer.get))
        for operation in ("put", "get"):
            print(f"\nPython {platform.python_version()}, {len(VALUE)} B values: {operation}")
            for peer in peers:
                rate, cpu = median(figures[operation, peer.name])
                rates[operation, peer.name] = rate
                print(f"  {peer.name:<18}{rate / 1000:>9.0f}k/s{cpu:>9.2f} µs CPU")
            for peer in peers:
                peer_rates = [rate for rate, _ in figures[operation, peer.name]]
                spread = max(peer_rates) / min(peer_rates)
                if spread > 1.5:
                    print(f"  {peer.name}: rounds differ by {spread:.1f} times; the machine was busy")
        for peer in peers:
            peer.close()
    return rates


async def in_flight(step: Callable[[int], Awaitable[object]], threads: Callable[[], float]) -> tuple[float, float, float]:
    """Operations per second with many tasks in flight; microseconds of the loop's thread and of the process per operation."""
    end, counts = time.perf_counter() + SECONDS, [0] * IN_FLIGHT

    async def task(number: int) -> None:
        while time.perf_counter() < end:
            await step(number * 157 + counts[number])
            counts[number] += 1

    start, thread, process = time.perf_counter(), threads(), cpu_seconds()
    await asyncio.gather(*(task(number) for number in range(IN_FLIGHT)))
    total = sum(counts)
    return (
        total / (time.perf_counter() - start),
        (threads() - thread) * 1e6 / total,
        (cpu_seconds() - process) * 1e6 / total,
    )


async def binding() -> float:
    """The thread of the event loop runs nothing but Python and the binding: its CPU per get is the binding's share. The
    bare loop's, where each operation is a callback of the loop, is taken off."""

    async def bare(_: int) -> None:
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        await future

    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        seeds: list[str] = []
        for _ in range(3):
            opening = aio.open(listen="127.0.0.1:0", create=not seeds, seeds=seeds)
            node = await stack.enter_async_context(opening)
            seeds = seeds or [str(node.address)]
        store = await stack.enter_async_context(aio.connect(f"ringkeep://{seeds[0]}"))
        for key in KEYS:
            await store.put(key, VALUE)
        steps: dict[str, Callable[[int], Awaitable[object]]] = {
            "bare loop": bare,
            "get": lambda at: store.get(KEYS[at % len(KEYS)]),
            "put": lambda at: store.put(KEYS[at % len(KEYS)], VALUE),
        }
        taken: dict[str, list[tuple[float, float, float]]] = {name: [] for name in steps}
        for _ in range(ROUNDS):
            for name, step in steps.items():
                taken[name].append(await in_flight(step, time.thread_time))
    print(f"\nasyncio, {IN_FLIGHT} in flight through a client of a ring of three on loopback (all in this process)")
    loop_us = {}
    for name, rounds in taken.items():
        rate, thread, process = (statistics.median(column) for column in zip(*rounds, strict=True))
        loop_us[name] = thread
        print(f"  {name:<18}{rate / 1000:>9.1f}k/s{thread:>9.1f} µs in the loop's thread{process:>9.1f} µs CPU in all")
    return loop_us["get"] - loop_us["bare loop"]


def distance(what: str, here: float, must: float, aim: float, *, less: bool = False) -> None:
    off = (lambda goal: here / goal) if less else (lambda goal: goal / here)
    if off(aim) <= 1:
        word = "aim met"
    elif off(must) <= 1:
        word = f"must met, {off(aim):.1f} times off the aim"
    else:
        word = f"{off(must):.1f} times off"
    print(f"{what:<62}{here:>8.2f}{must:>8}{aim:>8}  {word}")


def main() -> int:
    rates = local()
    share = asyncio.run(binding())
    print(f"\n{'ratio, in this run':<62}{'here':>8}{'must':>8}{'aim':>8}  distance")
    for what, ours, peer, must, aim in (
        ("Python local get, disk ÷ lmdb", "get", "lmdb", 0.5, 1.0),
        ("Python local put, disk (interval durability) ÷ rocksdict", "put", "rocksdict", 1.0, 2.0),
    ):
        if (ours, peer) in rates:
            distance(what, rates[ours, "ringkeep, disk"] / rates[ours, peer], must, aim)
    distance("asyncio, 64 in flight: the binding's share of a get, µs", share, 25, 8, less=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
