"""Fixtures: stores in both flavours, and a way to run a piece of Python in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator

import pytest

import ringkeep

#: Longer than anything that works takes, also on a loaded machine.
PATIENCE = 60.0


@pytest.fixture
def db() -> Iterator[ringkeep.Node]:
    with ringkeep.open() as node:
        yield node


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run() -> Run:
    def run(code: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(code), *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        if check:
            assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        return done

    return run
