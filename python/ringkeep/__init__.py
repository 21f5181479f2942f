"""Ringkeep: a replicated key-value store that lives inside your process.

`open` makes this process a member of a ring, `connect` a client of one; both give a store with the same operations.
`ringkeep.aio` has them as coroutines, `ringkeep.testing` whole clusters in one process, `ringkeep.errors` what can fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

from . import _ringkeep, errors
from ._ringkeep import Bucket, Client, Context, Entry, Node, Receipt, Scan, Store
from ._types import (
    Config,
    Consistency,
    Defaults,
    Durability,
    Key,
    PathLike,
    ReadOptions,
    Resolver,
    Settings,
    TlsConfig,
    Value,
    WriteOptions,
)

if TYPE_CHECKING:
    from . import aio, testing
    from ._admin import BucketInfo, ClusterAdmin, ClusterEvent, Explanation, HeldRecord, Job, Member, ReadAnswer, Replica, Status

__all__ = [
    "Bucket",
    "BucketInfo",
    "Client",
    "ClusterAdmin",
    "ClusterEvent",
    "Consistency",
    "Context",
    "Durability",
    "Entry",
    "Explanation",
    "HeldRecord",
    "Job",
    "Key",
    "Member",
    "Node",
    "ReadAnswer",
    "ReadOptions",
    "Receipt",
    "Replica",
    "Resolver",
    "Scan",
    "Status",
    "Store",
    "TlsConfig",
    "Value",
    "WriteOptions",
    "aio",
    "connect",
    "errors",
    "open",
    "testing",
]
__version__: str = _ringkeep.__version__


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
) -> Node:
    """Opens a node: in memory, or durable at `path`; alone, or with `listen` and `seeds` a member of a cluster.

    `config` is a mapping or the path of a TOML file with the names of the settings file; arguments go before it.
    """
    arguments = locals()
    from ._settings import node_settings

    return _ringkeep.open_node(*node_settings(arguments, open.__kwdefaults__))


def connect(
    uri: str | Sequence[str] = "ringkeep://127.0.0.1:7400",
    *,
    token: str | None = None,
    tls: TlsConfig | None = None,
    location: str = "",
    **defaults: Unpack[Defaults],
) -> Client:
    """Connects a client, which owns no data: `ringkeep://host:port,host:port?consistency=local_quorum&timeout=2s`."""
    from ._settings import uris

    return _ringkeep.connect_client(uris(uri), token, tls, location, **defaults)


_LATER = {
    "aio": "aio",
    "testing": "testing",
    "BucketInfo": "_admin",
    "ClusterAdmin": "_admin",
    "ClusterEvent": "_admin",
    "Explanation": "_admin",
    "HeldRecord": "_admin",
    "Job": "_admin",
    "Member": "_admin",
    "ReadAnswer": "_admin",
    "Replica": "_admin",
    "Status": "_admin",
}


def __getattr__(name: str) -> Any:
    # What needs asyncio, json or dataclasses is imported when first used: `import ringkeep` stays quick.
    home = _LATER.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = import_module(f".{home}", __name__)
    found = module if home == name else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
