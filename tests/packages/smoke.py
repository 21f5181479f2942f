"""What a stranger tries first with the installed Python package: a durable node, then a ring of three."""

import ringkeep
import ringkeep.testing

with ringkeep.open("data") as db:
    db["user:1"] = "Ada"
    assert db["user:1"] == b"Ada" and db.get("nope") is None
with ringkeep.open("data") as db:
    assert db.get("user:1") == b"Ada"
with ringkeep.testing.Cluster(3) as cluster:
    kv = cluster.client()
    assert kv.put("cart", "milk", w=2).owners >= 2
    cluster.kill(0)
    assert kv.get("cart", consistency="quorum") == b"milk"
