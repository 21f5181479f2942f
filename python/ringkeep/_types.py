"""The types that signatures name: keys, values, levels, options, settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    from typing_extensions import Buffer
else:
    Buffer = bytes | bytearray | memoryview

Key: TypeAlias = str | Buffer
Value: TypeAlias = str | Buffer
# One by one: stubtest does not take a Literal of several for the union that it is.
Consistency: TypeAlias = (
    Literal["one"]
    | Literal["quorum"]
    | Literal["all"]
    | Literal["local_one"]
    | Literal["local_quorum"]
    | Literal["each_quorum"]
)
Resolver: TypeAlias = Literal["lww"] | Literal["siblings"]
Durability: TypeAlias = Literal["sync"] | Literal["interval"]
PathLike: TypeAlias = str | os.PathLike[str]
Seconds: TypeAlias = float | timedelta


class ReadOptions(TypedDict, total=False):
    """How a read is done. `consistency` and `r` exclude each other; with `sloppy` fallbacks count for owners that are away."""

    consistency: Consistency
    r: int
    timeout: float | timedelta
    sloppy: bool


class WriteOptions(TypedDict, total=False):
    """How a write is done. `consistency` and `w` exclude each other; with `sloppy` fallbacks count for owners that are away;
    `ttl=0` means never."""

    consistency: Consistency
    w: int
    timeout: float | timedelta
    sloppy: bool
    ttl: float | timedelta


class Defaults(TypedDict, total=False):
    """What holds for every call of a client that says nothing else, and whose bucket says nothing either."""

    consistency: Consistency
    sloppy: bool
    timeout: float | timedelta


class TlsConfig(TypedDict, total=False):
    """Certificates (not in this version)."""

    cert: PathLike
    key: PathLike
    ca: PathLike


class Settings(TypedDict, total=False):
    """The settings of a node that are not arguments of `open` themselves, by the names of the settings file."""

    n: int
    timeout_ms: int
    close_timeout_ms: int
    peer_timeout_ms: int
    connect_timeout_ms: int
    sync_interval_ms: int
    gossip_interval_ms: int
    clock_skew_max_ms: int
    clock_lease_ms: int
    record_life_ms: int
    hints_max: int
    hint_bytes_max: int
    handoff_window: int
    handoff_bytes_per_second_max: int
    key_bytes_max: int
    value_bytes_max: int
    record_bytes_max: int
    siblings_max: int
    clock_entries_max: int
    frame_bytes_max: int
    peer_bytes_in_flight_max: int
    requests_in_flight_max: int
    coordinating_max: int
    coordinating_bytes_max: int
    connections_max: int
    memory_table_bytes: int
    block_cache_bytes: int
    threads: int


Config: TypeAlias = Mapping[str, Any] | PathLike
