"""The types that are shipped: they agree with what is there, and a strict checker accepts package and example."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PYTHON = Path(__file__).resolve().parents[1]
EXAMPLE = '''
import ringkeep
from ringkeep import aio

with ringkeep.open("data", listen="127.0.0.1:0", create=True, n=1) as db:
    value: bytes | None = db.get("k", timeout=1.5)
    text: str = db.bucket("names", codec="utf8")["k"]
    size: int = len(db.read("k").siblings[0])
    fallback: bytes | int = db.get("k", 3)
    db.put("k", "v", w=2, context=db.read("k").context)


async def main() -> None:
    async with aio.open() as db:
        found: bytes | None = await db.get("k")
        async for key, name in db.bucket("names", codec="utf8").scan(prefix="a"):
            joined: str = key.decode() + name
'''


def check(directory: Path, *arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_stubs_agree_with_the_module(tmp_path: Path) -> None:
    # From elsewhere, so that what is installed is checked, with its module, and not the sources beside.
    check(tmp_path, "mypy.stubtest", "ringkeep", "--mypy-config-file", str(PYTHON / "pyproject.toml"))


def test_the_package_is_strictly_typed() -> None:
    check(PYTHON, "mypy", "ringkeep")


def test_an_example_is_strictly_typed(tmp_path: Path) -> None:
    file = tmp_path / "example.py"
    file.write_text(EXAMPLE)
    check(PYTHON, "mypy", str(file))
