"""Clusters in one process, clients of them, and the samples of the package's README."""

from __future__ import annotations

import asyncio
import re
import threading
from datetime import UTC
from pathlib import Path

import pytest
from conftest import Run

import ringkeep
from ringkeep import aio, errors
from ringkeep.testing import Cluster

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


def test_a_cluster_loses_a_node_and_gets_it_back() -> None:
    with Cluster(3) as cluster:
        kv = cluster.client()
        assert isinstance(kv, ringkeep.Client) and len(cluster.nodes) == 3
        assert kv.put("cart", "milk", w=2, timeout=5).owners >= 2
        cluster.kill(0)
        with pytest.raises(errors.Closed):
            cluster.nodes[0].get("cart")
        assert kv.get("cart", consistency="quorum") == b"milk"
        with pytest.raises(errors.QuorumUnavailable) as failure:
            kv.put("cart", "eggs", consistency="all", timeout=2)
        assert failure.value.needed == 3 and failure.value.received < 3 and failure.value.replicas
        cluster.restart(0)
        cluster.settle()
        assert cluster.nodes[0].get("cart") is not None
        ids = {node.id for node in cluster.nodes}
        assert ids == {member.id for member in kv.cluster.status().members}
        assert all(set(owners) == ids for owners in kv.cluster.ring())
    cluster.close()
    with pytest.raises(errors.Closed):
        cluster.nodes[1].get("cart")


def test_a_durable_cluster_keeps_its_data(tmp_path: Path) -> None:
    with Cluster(2, n=2, path=tmp_path) as cluster:
        cluster.nodes[0].put("k", "v", w=2)
        cluster.kill(1)
        cluster.restart(1)
        cluster.settle()
        assert cluster.nodes[1].get("k") == b"v"
    assert any(tmp_path.iterdir())


@pytest.mark.parametrize(("size", "n"), [(0, 3), (3, 0), (1, 9)])
def test_an_impossible_cluster_is_refused(size: int, n: int) -> None:
    with pytest.raises(errors.InvalidArgument):
        Cluster(size, n=n)


def test_events_end_when_the_store_is_closed() -> None:
    with Cluster(1, n=1) as cluster, cluster.client() as client:
        for store in (client, cluster.nodes[0]):
            events = store.cluster.events()
            store.cluster.create_bucket(f"of-{type(store).__name__}".lower())
            event = next(events)
            assert (event.kind, event.node, event.time.tzinfo) == ("topology_changed", None, UTC)
            closing = threading.Timer(0.1, store.close)
            closing.start()
            assert list(events) == []
            closing.join()
            with pytest.raises(errors.Closed):
                store.cluster.events()


def test_an_explanation_is_plain_data() -> None:
    with Cluster(2, n=1) as cluster:
        cluster.nodes[0]["k"] = "v"
        explained = cluster.nodes[0].explain(b"k")
        owner, fallback = explained.replicas
        assert (owner.role, fallback.role, fallback.record) == ("owner", "fallback", None)
        assert owner.record is not None and owner.record.age >= 0 and len(owner.record.hash) == 32
        assert explained.answered_by == cluster.nodes[0].id
        assert owner.id in {node.id for node in cluster.nodes}


def test_what_a_cluster_cannot_do_says_so() -> None:
    with Cluster(1, n=1) as cluster:
        for groups in ([{1}], [{0}, {0}], [{-1}]):
            with pytest.raises(errors.InvalidArgument):
                cluster.partition(*groups)
        cluster.partition({0})
        cluster.heal()
        for call in (cluster.kill, cluster.restart):
            with pytest.raises(errors.InvalidArgument, match="7"):
                call(7)
            with pytest.raises(errors.InvalidArgument, match="-1"):
                call(-1)


def test_many_coroutines_share_a_client() -> None:
    async def main(addresses: list[str]) -> None:
        async with aio.connect(addresses, consistency="quorum", timeout=30) as kv:
            async with asyncio.TaskGroup() as group:
                for index in range(500):
                    group.create_task(kv.put(f"k{index:03}", str(index)))
            found = await asyncio.gather(*(kv.get(f"k{index:03}") for index in range(500)))
            assert found == [b"%d" % index for index in range(500)]
            assert await kv.count() == 500
            assert [key async for key in kv][:2] == [b"k000", b"k001"]
            totals = await asyncio.gather(*(kv.update("n", lambda siblings: b"%d" % len(siblings)) for _ in range(20)))
            assert len(totals) == 20

    with Cluster(3) as cluster:
        asyncio.run(main([f"ringkeep://{node.address}" for node in cluster.nodes]))


@pytest.mark.parametrize("block", BLOCKS)
def test_the_readme_runs(run: Run, block: str, tmp_path: Path) -> None:
    prelude = f"import os; os.chdir({str(tmp_path)!r})\nimport ringkeep\ndb = ringkeep.open()\n"
    run(prelude + block)
