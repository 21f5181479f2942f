"""What Python adds to the operations: the dict protocol, buffers, codecs, resolvers, keyword options."""

from __future__ import annotations

import array
import copy
import pickle
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import ringkeep
from ringkeep import errors


def test_a_bucket_is_like_a_dict(db: ringkeep.Node) -> None:
    db["user:1"] = "Ada"
    assert db["user:1"] == b"Ada"
    assert "user:1" in db and b"user:1" in db and "user:2" not in db
    with pytest.raises(KeyError, match="user:2"):
        db["user:2"]
    del db["user:1"]
    assert "user:1" not in db
    db.put_many({"b": "2", "a": "1"})
    assert list(db) == [b"a", b"b"]
    assert dict(db.scan()) == {b"a": b"1", b"b": b"2"}
    assert bool(db)


def test_len_is_refused_with_a_hint(db: ringkeep.Node) -> None:
    with pytest.raises(TypeError, match=r"count\(\)"):
        len(db)


def test_an_absent_key_gives_the_default(db: ringkeep.Node) -> None:
    sentinel = object()
    assert db.get("k") is None
    assert db.get("k", sentinel) is sentinel


@pytest.mark.parametrize(
    "value",
    [b"\x01\x02", bytearray(b"\x01\x02"), memoryview(b"\x01\x02"), array.array("B", [1, 2]), memoryview(b"\x01-\x02")[::2]],
)
def test_keys_and_values_are_anything_with_bytes(db: ringkeep.Node, value: bytes) -> None:
    db.put(value, value)
    assert db.get(b"\x01\x02") == b"\x01\x02"
    assert db.get_many([value]) == {b"\x01\x02": b"\x01\x02"}


@pytest.mark.parametrize("wrong", [1, None, 1.5, ["k"], {"k": 1}])
def test_other_keys_and_values_are_refused(db: ringkeep.Node, wrong: object) -> None:
    with pytest.raises(errors.InvalidArgument, match="the key is"):
        db.get(wrong)  # type: ignore[call-overload]
    with pytest.raises(errors.InvalidArgument, match="the value is"):
        db.put("k", wrong)  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidArgument, match="UTF-8"):
        db.get("\ud800")


def test_get_many_answers_by_the_keys_it_was_given(db: ringkeep.Node) -> None:
    db.put_many([("a", b"1"), (b"b", "2")])
    assert db.get_many(["a", b"b", "c"]) == {"a": b"1", b"b": b"2"}
    assert db.get_many(key for key in ("a",)) == {"a": b"1"}
    with pytest.raises(errors.InvalidArgument, match="several"):
        db.get_many("ab")
    with pytest.raises(errors.InvalidArgument, match="pair"):
        db.put_many(["abc"])  # type: ignore[list-item]


def test_a_partial_failure_names_each_key_and_gives_the_rest(db: ringkeep.Node) -> None:
    db.cluster.create_bucket("carts", resolver="siblings")
    carts = db.bucket("carts")
    for value in ("milk", "eggs"):
        carts.put("torn", value)
    carts.put("whole", "bread")
    with pytest.raises(errors.PartialFailure) as failure:
        carts.get_many(["torn", "whole", "absent"])
    assert failure.value.values == {"whole": b"bread"}
    assert list(failure.value.errors) == [b"torn"]
    assert isinstance(failure.value.errors[b"torn"], errors.Conflict)
    assert not failure.value.maybe_applied


def test_codecs_take_and_give_only_their_type(db: ringkeep.Node) -> None:
    json = db.bucket("default", codec="json")
    for value in ({"a": [1, 2.5, None, True], "é": "ü"}, None, 0, "text", []):
        json.put("j", value)
        assert json.get("j", "absent") == value
        assert "j" in json and json["j"] == value
        assert json.read("j").siblings == (value,)
    assert db.get("j") == b"[]"
    for wrong in (object(), float("nan"), {1, 2}, b"bytes"):
        with pytest.raises(errors.InvalidArgument, match="JSON"):
            json.put("j", wrong)
    utf8 = db.bucket("default", codec="utf8")
    utf8["t"] = "größe"
    assert utf8["t"] == "größe"
    with pytest.raises(errors.InvalidArgument, match="utf8"):
        utf8.put("t", b"bytes")  # type: ignore[arg-type]
    db.put("t", b"\xff")
    with pytest.raises(errors.InvalidArgument, match="not UTF-8"):
        utf8.get("t")
    with pytest.raises(errors.InvalidArgument, match="not JSON"):
        json.get("t")
    with pytest.raises(errors.InvalidArgument, match="pickle"):
        db.bucket("default", codec="pickle")  # type: ignore[call-overload]


def test_a_resolve_function_sees_every_sibling(db: ringkeep.Node) -> None:
    db.cluster.create_bucket("carts", resolver="siblings")
    seen: list[list[bytes]] = []

    def union(siblings: object) -> bytes:
        assert isinstance(siblings, list)
        seen.append(siblings)
        return b",".join(sorted(siblings))

    carts = db.bucket("carts", resolve=union)
    carts.put("k", "milk")
    assert carts.get("k") == b"milk" and not seen
    carts.put("k", "eggs")
    assert carts.get("k") == b"eggs,milk" and len(seen[0]) == 2
    assert carts.read("k").value == b"eggs,milk"
    assert carts.get_many(["k", "none"]) == {"k": b"eggs,milk"}
    assert list(carts.scan()) == [(b"k", b"eggs,milk")]
    assert carts["k"] == b"eggs,milk" and carts.get("none", b"d") == b"d"
    with pytest.raises(errors.Conflict):
        db.bucket("carts").get("k")
    with pytest.raises(ZeroDivisionError):
        db.bucket("carts", resolve=lambda siblings: b"%d" % (1 // 0)).get("k")
    with pytest.raises(errors.InvalidArgument, match="callable"):
        db.bucket("carts", resolve="newest")  # type: ignore[call-overload]


def test_a_conflict_in_a_scan_is_that_items_own(db: ringkeep.Node) -> None:
    db.cluster.create_bucket("carts", resolver="siblings")
    carts = db.bucket("carts")
    carts.put_many({"a": "1", "b": "2", "c": "3"})
    carts.put("b", "4")
    with carts.scan() as scan:
        assert next(scan) == (b"a", b"1")
        with pytest.raises(errors.Conflict) as conflict:
            next(scan)
        assert conflict.value.key == b"b" and sorted(conflict.value.siblings) == [b"2", b"4"]
        assert list(scan) == [(b"c", b"3")]
    assert list(scan) == []


def test_update_reads_merges_and_writes(db: ringkeep.Node) -> None:
    assert db.update("n", lambda siblings: b"%d" % (len(siblings) + 1)) == b"1"
    assert db.update("n", lambda siblings: siblings[0].decode() + "!") == b"1!"
    with pytest.raises(ZeroDivisionError):
        db.update("n", lambda siblings: b"%d" % (1 // 0))
    assert db.get("n") == b"1!"
    assert db.update("n", lambda siblings: None) is None
    assert "n" not in db
    json = db.bucket("default", codec="json")
    assert json.update("j", lambda siblings: {"count": len(siblings)}) == {"count": 0}


def test_times_are_seconds_or_timedeltas(db: ringkeep.Node) -> None:
    db.put("k", "v", ttl=3600, timeout=timedelta(seconds=5))
    (expires,) = db.read("k", timeout=2).expires
    assert expires is not None and expires.tzinfo is UTC
    assert timedelta(minutes=59) < expires - datetime.now(UTC) < timedelta(minutes=61)
    db.put("k", "v", ttl=timedelta(days=1))
    (expires,) = db.read("k").expires
    assert expires is not None and expires - datetime.now(UTC) > timedelta(hours=23)
    db.put("k", "v", ttl=0)
    assert db.read("k").expires == (None,)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"colour": "red"}, "colour"),
        ({"timeout": "soon"}, "soon"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"r": "two"}, "two"),
        ({"r": 1.5}, "1.5"),
        ({"r": 2**70}, "r="),
        ({"r": -1}, "r=-1"),
        ({"consistency": "most"}, "most"),
        ({"consistency": 3}, "consistency=3"),
        ({"consistency": "one", "r": 1}, "consistency"),
        ({"sloppy": "yes"}, "sloppy"),
        ({"sloppy": True, "consistency": "all"}, "sloppy"),
        ({"w": 1}, "w"),
    ],
)
def test_wrong_options_are_named(db: ringkeep.Node, options: dict[str, object], said: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=said):
        db.get("k", **options)  # type: ignore[call-overload]


def test_an_option_that_is_none_is_not_given(db: ringkeep.Node) -> None:
    assert db.get("k", timeout=None, r=None) is None  # type: ignore[call-overload]
    db.put("k", "v", context=None, ttl=None)  # type: ignore[typeddict-item]


def test_contexts_are_values(db: ringkeep.Node) -> None:
    receipt = db.put("k", "v")
    context = db.read("k").context
    assert receipt.owners == 1 and receipt.fallbacks == 0
    for same in (ringkeep.Context.from_bytes(bytes(context)), pickle.loads(pickle.dumps(context)), copy.copy(context)):
        assert same == context and hash(same) == hash(context) and bytes(same) == bytes(context)
    assert context != bytes(context)
    with pytest.raises(errors.InvalidArgument, match="context"):
        db.put("k", "v", context=b"token")  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidArgument, match="context"):
        db.put("other", "v", context=context)


def test_settings_come_from_arguments_mapping_or_file(tmp_path: Path) -> None:
    with ringkeep.open(config={"n": 1, "durability": "sync"}, key_bytes_max=4) as db:
        assert db.cluster.buckets()[0].n == 1
        with pytest.raises(errors.InvalidArgument, match="key"):
            db.get("12345")
    file = tmp_path / "ringkeep.toml"
    file.write_text("n = 2\nkey_bytes_max = 3\n")
    with ringkeep.open(config=file, key_bytes_max=5) as db:
        assert db.cluster.buckets()[0].n == 2
        assert db.get("12345") is None
    file.write_text("n = \n")
    with pytest.raises(errors.InvalidArgument, match="line 1"):
        ringkeep.open(config=str(file))
    with pytest.raises(errors.IoError, match="absent.toml"):
        ringkeep.open(config=tmp_path / "absent.toml")
    for wrong in ({"colour": 1}, {"n": {1, 2}}):
        with pytest.raises(errors.InvalidArgument):
            ringkeep.open(config=wrong)
    with pytest.raises(errors.InvalidArgument, match="colour"):
        ringkeep.open(colour="red")  # type: ignore[call-arg]
    with pytest.raises(errors.InvalidArgument, match="tls: not in this version"):
        ringkeep.open(tls={})
    with pytest.raises(errors.InvalidArgument, match="tls: not in this version"):
        ringkeep.connect(tls={})
    with pytest.raises(errors.InvalidArgument, match="path"):
        ringkeep.open(3)  # type: ignore[arg-type]


def test_close_is_idempotent_from_any_thread() -> None:
    db = ringkeep.open()
    bucket, scan = db.bucket("default"), db.scan()
    raised: list[BaseException] = []

    def close() -> None:
        try:
            db.close()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=close) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    db.close(timeout=0)
    assert not raised
    for call in (lambda: db.get("k"), lambda: bucket.put("k", "v"), lambda: next(scan), lambda: db.bucket("b"), db.metrics):
        with pytest.raises(errors.Closed):
            call()


def test_many_threads_share_a_store(db: ringkeep.Node) -> None:
    def work(number: int) -> None:
        for index in range(200):
            key = f"{number}:{index}"
            db.put(key, key)
            assert db.get(key) == key.encode()
            db.update("total", lambda siblings: b"%d" % len(siblings))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert db.count(prefix="3:") == 200


def test_handles_have_no_constructor_and_say_what_they_are(db: ringkeep.Node) -> None:
    for kind in (ringkeep.Node, ringkeep.Client, ringkeep.Bucket, ringkeep.Entry, ringkeep.Context):
        with pytest.raises(TypeError):
            kind()  # type: ignore[call-arg]
    assert isinstance(db, ringkeep.Store) and isinstance(db, ringkeep.Bucket)
    assert "Node" in repr(db) and "default" in repr(db)
    assert isinstance(db.id, str) and db.id and db.address is None
    assert ringkeep.Bucket[bytes] and ringkeep.Entry[str]
