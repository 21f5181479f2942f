"""Whole clusters in one process: real nodes that can be killed and restarted."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

from ._ringkeep import Client, Node, TestCluster
from ._types import PathLike

__all__ = ["Cluster"]


class Cluster:
    """`size` real nodes in this process; a context manager that closes them.

    Without a path each node's disk is kept in memory and forgets what a crash would lose.
    """

    def __init__(self, size: int = 3, *, n: int = 3, path: PathLike | None = None) -> None:
        self._native = TestCluster(size, n, None if path is None else os.fspath(path))

    @property
    def nodes(self) -> list[Node]:
        """The nodes by index; one that is dead gives Closed until it is restarted."""
        return self._native.nodes()

    def client(self) -> Client:
        """A new client of all nodes. It is closed with the cluster."""
        return self._native.client()

    def kill(self, i: int) -> None:
        """Ends node `i` as kill -9 would: nothing is flushed."""
        self._native.kill(i)

    def restart(self, i: int) -> None:
        """Brings the same member back, with what its disk still has."""
        self._native.restart(i)

    def partition(self, *groups: set[int]) -> None:
        """Cuts the network between groups of nodes, given by index, until `heal`; a later partition replaces it.

        Nodes of different groups cannot reach each other. Nodes that no group names form one more group together.
        Clients reach everyone.
        """
        self._native.partition([sorted(group) for group in groups])

    def heal(self) -> None:
        """Mends the network; `settle` then waits until the nodes have made up for what they missed."""
        self._native.heal()

    def settle(self, timeout: float = 10) -> None:
        """Returns once every owner holds the same; Timeout otherwise."""
        self._native.settle(timeout)

    def close(self) -> None:
        """Closes all nodes and clients. Idempotent."""
        self._native.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
