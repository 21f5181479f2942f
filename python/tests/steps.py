"""The step language of tests/behaviour, in Python. One `World` is one case; a word it does not know is an error.

`Sync` and `Aio` run the same steps through the two flavours of the API.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import queue
import string
import threading
import time
from pathlib import Path
from typing import Any

from expectations import Expectations, octets

import ringkeep
from ringkeep import aio, errors
from ringkeep.testing import Cluster

OPEN_ARGUMENTS = {"listen", "advertise", "seeds", "create", "admin", "location", "capacity", "durability", "partitions", "insecure"}
UNTIL_SECONDS = 10.0


class Abort(Exception):
    """What the `abort` merge raises."""


class Sync:
    """Calls of the sync API."""

    open = staticmethod(ringkeep.open)
    connect = staticmethod(ringkeep.connect)

    def done(self, outcome: Any) -> Any:
        return outcome

    def client(self, cluster: Cluster) -> Any:
        return cluster.client()

    def items(self, scan: Any) -> list[tuple[bytes, Any]]:
        return items(scan)

    def events(self, cluster: Any) -> Any:
        return cluster.events()

    def event(self, stream: Any, kind: str) -> Any:
        found: queue.Queue[Any] = queue.Queue()
        # In a thread of its own, so that one that never comes fails the case instead of hanging it.
        read = threading.Thread(target=lambda: found.put(next(each for each in stream if each.kind == kind)), daemon=True)
        read.start()
        return found.get(timeout=UNTIL_SECONDS)

    def finish(self) -> None:
        pass


class Aio:
    """Calls of `ringkeep.aio`, each run to its end on one loop."""

    open = staticmethod(aio.open)
    connect = staticmethod(aio.connect)

    def __init__(self) -> None:
        self.runner = asyncio.Runner()

    def done(self, outcome: Any) -> Any:
        async def wait() -> Any:
            return await outcome

        return self.runner.run(wait()) if inspect.isawaitable(outcome) else outcome

    def client(self, cluster: Cluster) -> Any:
        return self.done(aio.connect([f"ringkeep://{node.address}" for node in cluster.nodes]))

    def items(self, scan: Any) -> list[tuple[bytes, Any]]:
        if isinstance(scan, ringkeep.Scan):
            return items(scan)

        async def collect() -> list[tuple[bytes, Any]]:
            found = []
            while True:
                try:
                    found.append(await anext(scan))
                except StopAsyncIteration:
                    return found
                except errors.Conflict as conflict:
                    found.append((conflict.key, conflict))

        return self.runner.run(collect())

    def events(self, cluster: Any) -> Any:
        async def begin() -> Any:
            return cluster.events()

        return self.runner.run(begin())

    def event(self, stream: Any, kind: str) -> Any:
        async def find() -> Any:
            async with asyncio.timeout(UNTIL_SECONDS):
                async for event in stream:
                    if event.kind == kind:
                        return event
            raise AssertionError("the stream ended")

        if not hasattr(stream, "__anext__"):
            return Sync().event(stream, kind)
        return self.runner.run(find())

    def finish(self) -> None:
        self.runner.close()


def items(scan: ringkeep.Scan[Any]) -> list[tuple[bytes, Any]]:
    """All items of a scan; a conflict stands for its item."""
    found: list[tuple[bytes, Any]] = []
    while True:
        try:
            found.append(next(scan))
        except StopIteration:
            return found
        except errors.Conflict as conflict:
            found.append((conflict.key, conflict))


class World(Expectations):
    def __init__(self, flavour: Sync | Aio, directory: Path) -> None:
        self.flavour = flavour
        self.variables = {"dir": str(directory), "pid": str(os.getpid())}
        self.stores: dict[str, Any] = {}
        self.saved: dict[str, ringkeep.Context] = {}
        self.streams: dict[str, Any] = {}
        self.cluster: Cluster | None = None

    # Setup

    def set_up(self, setup: dict[str, Any]) -> None:
        kind = setup["store"]
        if kind == "cluster":
            self.cluster = Cluster(setup.get("size", 3), n=setup.get("n", 3))
            self.follow_nodes()
            self.stores["main"] = self.flavour.client(self.cluster)
        elif kind in ("memory", "durable"):
            path = "${dir}/main" if kind == "durable" else None
            self.op_open({"as": "main", "path": path, "settings": setup.get("settings", {})})
        elif kind != "none":
            raise NotImplementedError(f"setup {kind!r}")
        for store in self.stores.values():
            self.flavour.done(store.ready())
        for bucket in setup.get("buckets", []):
            self.op_create_bucket(bucket)

    def tear_down(self) -> None:
        for store in self.stores.values():
            self.flavour.done(store.close())
        if self.cluster is not None:
            self.cluster.close()
        self.flavour.finish()

    def follow_nodes(self) -> None:
        assert self.cluster is not None
        for index, node in enumerate(self.cluster.nodes):
            self.stores[f"node{index}"] = node

    # Words

    def text(self, given: Any) -> Any:
        if isinstance(given, str):
            return string.Template(given).substitute(self.variables)
        if isinstance(given, list):
            return [self.text(part) for part in given]
        if isinstance(given, dict):
            return {name: self.text(part) for name, part in given.items()}
        return given

    def store(self, step: dict[str, Any]) -> Any:
        return self.stores[step.get("store", "main")]

    def bucket(self, step: dict[str, Any]) -> Any:
        if "bucket" in step or "codec" in step:
            return self.store(step).bucket(step.get("bucket", "default"), codec=step.get("codec", "bytes"))
        return self.store(step)

    def options(self, step: dict[str, Any]) -> dict[str, Any]:
        options = dict(step.get("options", {}))
        for name in ("timeout", "ttl"):
            if f"{name}_ms" in options:
                options[name] = options.pop(f"{name}_ms") / 1000
        context = options.get("context")
        if isinstance(context, str):
            options["context"] = self.saved[context]
        elif context is not None:
            options["context"] = ringkeep.Context.from_bytes(octets(context["bytes"]))
        return options

    def keyed(self, step: dict[str, Any], method: str, *arguments: Any) -> Any:
        call = getattr(self.bucket(step), method)
        return self.flavour.done(call(octets(step["key"]), *arguments, **self.options(step)))

    # Operations: each gives what `expect` judges

    def op_open(self, step: dict[str, Any]) -> None:
        settings = self.text(step.get("settings", {}))
        arguments = {name: value for name, value in settings.items() if name in OPEN_ARGUMENTS}
        config = {name: value for name, value in settings.items() if name not in OPEN_ARGUMENTS}
        opened = self.flavour.open(self.text(step.get("path")), **arguments, config=config or None)
        self.stores[step["as"]] = self.flavour.done(opened)

    def op_connect(self, step: dict[str, Any]) -> None:
        self.stores[step["as"]] = self.flavour.done(self.flavour.connect(self.text(step["uri"])))

    def op_address(self, step: dict[str, Any]) -> None:
        self.variables[step["save"]] = self.store(step).address

    def op_ready(self, step: dict[str, Any]) -> None:
        self.flavour.done(self.store(step).ready())

    def op_close(self, step: dict[str, Any]) -> None:
        self.flavour.done(self.store(step).close())

    def op_write_file(self, step: dict[str, Any]) -> None:
        path = Path(self.text(step["path"]))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(octets(step["value"]))

    def op_put(self, step: dict[str, Any]) -> Any:
        return self.keyed(step, "put", self.value(step, step["value"]))

    def op_get(self, step: dict[str, Any]) -> Any:
        absent = object()
        value = self.keyed(step, "get", absent)
        return ("value", None) if value is absent else ("value", (value,))

    def op_read(self, step: dict[str, Any]) -> Any:
        return self.keyed(step, "read")

    def op_delete(self, step: dict[str, Any]) -> Any:
        return self.keyed(step, "delete")

    def op_update(self, step: dict[str, Any]) -> Any:
        value = self.keyed(step, "update", lambda siblings: merge(step, siblings))
        return ("value", None) if value is None else ("value", (value,))

    def op_get_many(self, step: dict[str, Any]) -> Any:
        keys = [octets(key) for key in step["keys"]]
        try:
            found = self.flavour.done(self.bucket(step).get_many(keys, **self.options(step)))
            failed = {}
        except errors.PartialFailure as partial:
            found, failed = partial.values, partial.errors
        return ("each", [failed.get(key) or ("value", (found[key],) if key in found else None) for key in keys])

    def op_put_many(self, step: dict[str, Any]) -> Any:
        items = [(octets(key), self.value(step, value)) for key, value in step["items"]]
        try:
            self.flavour.done(self.bucket(step).put_many(items, **self.options(step)))
            failed = {}
        except errors.PartialFailure as partial:
            failed = partial.errors
        return ("each", [failed.get(key, "stored") for key, _ in items])

    def op_scan(self, step: dict[str, Any]) -> Any:
        range_ = {name: octets(step[name]) for name in ("prefix", "start", "end") if name in step}
        scan = self.bucket(step).scan(**range_, limit=step.get("limit"), **self.options(step))
        return ("items", self.flavour.items(scan))

    def op_count(self, step: dict[str, Any]) -> Any:
        return ("count", self.flavour.done(self.bucket(step).count(prefix=octets(step.get("prefix", "")))))

    def op_clear(self, step: dict[str, Any]) -> Any:
        return ("count", self.flavour.done(self.bucket(step).clear(prefix=octets(step.get("prefix", "")))))

    def op_fill(self, step: dict[str, Any]) -> None:
        keys = [f"{step['prefix']}{index:06}" for index in range(step["count"])]
        self.flavour.done(self.bucket(step).put_many({key: key for key in keys}))

    def op_create_bucket(self, step: dict[str, Any]) -> None:
        rules = {name: step[name] for name in ("n", "r", "w", "resolver", "sloppy") if name in step}
        if "ttl_ms" in step:
            rules["ttl"] = step["ttl_ms"] / 1000
        self.flavour.done(self.store(step).cluster.create_bucket(step["name"], **rules))

    def op_buckets(self, step: dict[str, Any]) -> Any:
        return ("names", [bucket.name for bucket in self.flavour.done(self.store(step).cluster.buckets())])

    def op_status(self, step: dict[str, Any]) -> Any:
        return self.flavour.done(self.store(step).cluster.status())

    def op_admin(self, step: dict[str, Any]) -> None:
        arguments = self.text(step.get("arguments", {}))
        self.flavour.done(getattr(self.store(step).cluster, step["command"])(**arguments))

    def op_forge(self, step: dict[str, Any]) -> None:
        token = bytearray(bytes(self.saved[step["context"]]))
        token[8] ^= 1
        self.saved[step["save"]] = ringkeep.Context.from_bytes(token)

    def op_round_trip(self, step: dict[str, Any]) -> None:
        self.saved[step["save"]] = ringkeep.Context.from_bytes(bytes(self.saved[step["context"]]))

    def op_kill(self, step: dict[str, Any]) -> None:
        assert self.cluster is not None
        self.cluster.kill(step["node"])

    def op_restart(self, step: dict[str, Any]) -> None:
        assert self.cluster is not None
        self.cluster.restart(step["node"])
        self.follow_nodes()

    def op_partition(self, step: dict[str, Any]) -> None:
        assert self.cluster is not None
        self.cluster.partition(*(set(group) for group in step["groups"]))

    def op_heal(self, step: dict[str, Any]) -> None:
        assert self.cluster is not None
        self.cluster.heal()

    def op_explain(self, step: dict[str, Any]) -> Any:
        return self.keyed(step, "explain")

    def op_watch(self, step: dict[str, Any]) -> None:
        self.streams[step["as"]] = self.flavour.events(self.store(step).cluster)

    def op_event(self, step: dict[str, Any]) -> Any:
        return self.flavour.event(self.streams[step["stream"]], step["kind"])

    def op_settle(self, step: dict[str, Any]) -> None:
        assert self.cluster is not None
        self.cluster.settle()

    # Steps and expectations

    def run(self, step: dict[str, Any]) -> None:
        deadline = time.monotonic() + UNTIL_SECONDS
        while True:
            try:
                return self.once(step)
            except (AssertionError, errors.Error):
                if not step.get("until") or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def once(self, step: dict[str, Any]) -> None:
        expect = step.get("expect", {})
        operation = getattr(self, f"op_{step['op']}")
        try:
            outcome = operation(step)
        except Abort:
            assert expect == {"aborted": True}, "the merge aborted"
            return
        except errors.Error as error:
            if "error" not in expect:
                raise
            self.judge_error(step, expect["error"], error)
            outcome = error
        else:
            for field, wanted in expect.items():
                getattr(self, f"expect_{field}")(step, outcome, wanted)
        if "save" in step and hasattr(outcome, "context"):
            self.saved[step["save"]] = outcome.context

    def judge_error(self, step: dict[str, Any], wanted: dict[str, Any], error: errors.Error) -> None:
        codes = wanted["code"] if isinstance(wanted["code"], list) else [wanted["code"]]
        assert error.code in codes, f"{error.code} ({error}) is none of {codes}"
        for name in ("retryable", "maybe_applied"):
            if name in wanted:
                assert getattr(error, name) is wanted[name], f"{name} of {error!r}"
        for part in wanted.get("message_contains", []):
            assert self.text(part).lower() in str(error).lower(), f"{part!r} is not in {str(error)!r}"
        for name, field in wanted.get("fields", {}).items():
            given = getattr(error, name)
            if name == "pid":
                assert given == os.getpid()
            elif name == "key":
                assert given == octets(field)
            elif name == "siblings":
                assert sorted(given) == sorted(octets(sibling) for sibling in field)
            elif name == "replicas":
                assert (len(given) if isinstance(field, int) else sorted(given)) == field
            else:
                assert given == field, f"{name}={given}"
        assert wanted.keys() <= {"code", "retryable", "maybe_applied", "message_contains", "fields"}


def merge(step: dict[str, Any], siblings: Any) -> Any:
    """What `update`'s function does."""
    name = step["merge"]
    if name == "abort":
        raise Abort
    if name == "delete":
        return None
    if name == "count":
        return str(len(siblings))
    if name == "concat_sorted":
        parts = list(siblings)
        if "add" in step:
            parts.append(step["add"] if step.get("codec") == "utf8" else octets(step["add"]))
        return (b"," if not parts or isinstance(parts[0], bytes) else ",").join(sorted(parts))
    raise NotImplementedError(f"merge {name!r}")


def cases(directory: Path) -> list[dict[str, Any]]:
    """All cases, from the files in order of their names."""
    found = []
    for file in sorted(directory.glob("*.json")):
        suite = json.loads(file.read_text())
        found.extend({**case, "file": file.stem} for case in suite["cases"])
    return found
