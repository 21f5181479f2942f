"""Life inside someone else's process: fork, exit with operations under way, Ctrl-C, import."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import Run

OUTSIDE = 'listen="127.0.0.1:0", seeds=["127.0.0.1:9"]'


def test_an_inherited_handle_raises_forked_and_a_child_opens_its_own(run: Run) -> None:
    run(
        """
        import os, asyncio, ringkeep
        from ringkeep import aio, errors
        db = ringkeep.open()
        db["k"] = "parent"
        bucket, scan = db.bucket("default"), db.scan()
        mirror = asyncio.run(aio.open()._open())
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                calls = [lambda: db.get("k"), lambda: db.put("k", "v"), lambda: bucket.get("k"), lambda: next(scan),
                         lambda: db.bucket("b"), db.metrics, db.close, db.cluster.status,
                         lambda: asyncio.run(mirror.get("k")), lambda: asyncio.run(mirror.close())]
                for call in calls:
                    try:
                        call()
                    except errors.Forked:
                        continue
                    raise AssertionError("not forked")
                with ringkeep.open() as own:
                    own["k"] = "child"
                    assert own["k"] == b"child"
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert db["k"] == b"parent"
        db.close()
        """
    )


def test_a_child_of_fork_exits_cleanly_with_inherited_handles(run: Run) -> None:
    done = run(
        f"""
        import os, sys, threading, time, ringkeep
        db, outside = ringkeep.open(), ringkeep.open({OUTSIDE})
        db["k"] = "v"
        def wait():
            try:
                outside.get("k", timeout=3600)
            except ringkeep.errors.Error:
                pass
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.05)
        if os.fork() == 0:
            sys.exit(0)
        status = os.waitstatus_to_exitcode(os.wait()[1])
        assert status == 0, status
        assert db["k"] == b"v"
        outside.close(timeout=0)
        thread.join()
        """
    )
    assert done.stderr == ""


def test_a_child_that_drops_a_store_leaves_the_parents_loop_alone(run: Run) -> None:
    run(
        f"""
        import asyncio, gc, os
        from ringkeep import aio, errors
        async def fails(db):
            try:
                await db.get("k", timeout=0.05)
            except (errors.Timeout, errors.QuorumUnavailable):
                return
            raise AssertionError
        async def main():
            db = await aio.open({OUTSIDE})
            await fails(db)
            if os.fork() == 0:
                del db
                gc.collect()
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
            await asyncio.wait_for(fails(db), 30)
            await db.close()
        asyncio.run(main())
        """
    )


def test_a_store_of_asyncio_that_is_dropped_leaves_nothing_behind(run: Run) -> None:
    run(
        f"""
        import asyncio, gc, os
        from ringkeep import aio, errors
        async def drop():
            db = await aio.open({OUTSIDE})
            try:
                await db.get("k", timeout=0.01)
            except (errors.Timeout, errors.QuorumUnavailable):
                pass
        async def main():
            await drop()
            before = len(os.listdir("/proc/self/fd"))
            for _ in range(10):
                await drop()
            for _ in range(1000):
                gc.collect()
                await asyncio.sleep(0.01)
                if len(os.listdir("/proc/self/fd")) <= before:
                    return
            raise AssertionError(f"{{before}} descriptors became {{len(os.listdir('/proc/self/fd'))}}")
        asyncio.run(main())
        """
    )


@pytest.mark.parametrize("times", range(3))
def test_exit_with_operations_under_way_is_clean(run: Run, times: int) -> None:
    done = run(
        f"""
        import threading, time, ringkeep
        db = ringkeep.open({OUTSIDE})
        local = ringkeep.open()
        def wait():
            while True:
                try:
                    db.get("k", timeout=3600)
                except ringkeep.errors.Closed:
                    return
        def spin():
            try:
                while True:
                    local.put("k", "v")
                    local.get("k")
            except ringkeep.errors.Closed:
                pass
        for work in (wait, wait, wait, spin, spin):
            threading.Thread(target=work, daemon=True).start()
        time.sleep(0.05)
        """
    )
    assert done.stderr == ""


def test_exit_with_coroutines_under_way_is_clean(run: Run) -> None:
    done = run(
        f"""
        import asyncio
        from ringkeep import aio
        async def main():
            db = await aio.open({OUTSIDE})
            loop = asyncio.get_running_loop()
            loop.tasks = [asyncio.create_task(db.get(f"k{{i}}", timeout=3600)) for i in range(50)]
            await asyncio.sleep(0.01)
        asyncio.run(main())
        """
    )
    assert done.stderr == ""


def test_a_store_that_is_not_closed_is_closed_at_exit(run: Run, tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "data")
    run("import sys, ringkeep; db = ringkeep.open(sys.argv[1]); db['k'] = 'v'", path)
    run("import sys, ringkeep; db = ringkeep.open(sys.argv[1]); assert db['k'] == b'v'", path)


def test_a_store_that_is_dropped_gives_its_directory_back(run: Run, tmp_path: os.PathLike[str]) -> None:
    run(
        """
        import sys, time, ringkeep
        for _ in range(3):
            for attempt in range(1000):
                try:
                    db = ringkeep.open(sys.argv[1])
                    break
                except ringkeep.errors.Locked:
                    time.sleep(0.01)
            db["k"] = "v"
            del db
        """,
        os.path.join(tmp_path, "data"),
    )


@pytest.mark.parametrize("call", ['db.get("k", timeout=3600)', "db.ready(3600)", "next(db.cluster.events())"])
def test_ctrl_c_is_noticed_while_an_operation_waits(call: str) -> None:
    code = f"""
import time, ringkeep
with ringkeep.open({OUTSIDE}) as db:
    print("ready", flush=True)
    start = time.monotonic()
    try:
        {call}
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    # The handler is Python's own from the start; the pause only lets the call begin to wait.
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert out == "interrupted\n" and process.returncode == 0, err


def test_a_signal_handler_runs_while_an_operation_waits(run: Run) -> None:
    run(
        f"""
        import signal, ringkeep
        class Alarm(Exception): pass
        def ring(*_): raise Alarm
        signal.signal(signal.SIGALRM, ring)
        with ringkeep.open({OUTSIDE}) as db:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            try:
                db.get("k", timeout=3600)
            except Alarm:
                pass
            else:
                raise AssertionError("the handler did not run")
        """
    )


def test_other_threads_run_while_an_operation_waits(run: Run) -> None:
    run(
        f"""
        import threading, time, ringkeep
        with ringkeep.open({OUTSIDE}) as db:
            count = 0
            def work():
                global count
                for _ in range(20):
                    time.sleep(0.001)
                    count += 1
            thread = threading.Thread(target=work)
            thread.start()
            try:
                db.get("k", timeout=1)
            except (ringkeep.errors.Timeout, ringkeep.errors.QuorumUnavailable):
                pass
            assert count == 20, count
            thread.join()
        """
    )


def test_import_is_quick_and_brings_no_more_than_it_needs(run: Run) -> None:
    done = run(
        """
        import sys, time
        before = set(sys.modules)
        start = time.perf_counter()
        import ringkeep
        print((time.perf_counter() - start) * 1000)
        assert not {"asyncio", "json", "dataclasses", "inspect", "tomllib"} & (set(sys.modules) - before)
        """
    )
    # Ten times what it takes when nothing else runs.
    assert float(done.stdout) < 500


def test_what_is_imported_later_is_there(run: Run) -> None:
    run(
        """
        import ringkeep
        assert ringkeep.aio.open and ringkeep.testing.Cluster and ringkeep.Status and ringkeep.ClusterAdmin
        assert {"aio", "testing", "open", "errors"} <= set(dir(ringkeep))
        from ringkeep import *
        for name in ringkeep.__all__:
            getattr(ringkeep, name)
        try:
            ringkeep.nothing
        except AttributeError as error:
            assert "nothing" in str(error)
        else:
            raise AssertionError
        """
    )


def test_opening_and_closing_leaves_nothing_behind(run: Run) -> None:
    done = run(
        """
        import os, asyncio, ringkeep
        from ringkeep import aio
        async def one():
            async with aio.open() as db:
                await db.put("k", "v")
        def cycle():
            with ringkeep.open() as db:
                db["k"] = "v"
            asyncio.run(one())
        for _ in range(5):
            cycle()
        before = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
        for _ in range(50):
            cycle()
        print(before, (len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))))
        """
    )
    before, after = eval(done.stdout.replace(") (", "), ("))
    assert before == after
