"""The behaviour suite, tests/behaviour/*.json, through the sync API and through asyncio."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from steps import Aio, Sync, World, cases

SUITE = Path(__file__).resolve().parents[2] / "tests" / "behaviour"
CASES = cases(SUITE)


def play(flavour: Sync | Aio, case: dict[str, Any], directory: Path) -> None:
    """Runs one case."""
    world = World(flavour, directory)
    try:
        world.set_up(case["setup"])
        for number, step in enumerate(case["steps"], 1):
            try:
                world.run(step)
            except Exception as error:
                error.add_note(f"step {number} of {case['file']}/{case['name']}: {step}")
                raise
    finally:
        world.tear_down()


@pytest.mark.parametrize("flavour", [Sync, Aio])
@pytest.mark.parametrize("case", CASES, ids=[f"{case['file']}-{case['name']}" for case in CASES])
def test_behaviour(flavour: type[Sync | Aio], case: dict[str, Any], tmp_path: Path) -> None:
    if "python" in case.get("skip", {}):
        pytest.skip(case["skip"]["python"])
    play(flavour(), case, tmp_path)


def test_the_suite_is_there() -> None:
    assert len(CASES) >= 60
    assert len({case["name"] for case in CASES}) == len(CASES)


def main() -> int:
    """Runs the suite without pytest; the last line counts."""
    passed = failed = skipped = 0
    for case in CASES:
        if "python" in case.get("skip", {}):
            skipped += 1
            continue
        try:
            with tempfile.TemporaryDirectory() as directory:
                play(Sync(), case, Path(directory))
            passed += 1
        except Exception as error:
            failed += 1
            print(f"{case['file']}/{case['name']}: {error!r} {getattr(error, '__notes__', '')}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
