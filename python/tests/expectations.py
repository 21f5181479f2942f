"""What a step of tests/behaviour expects, compared with what it gave: one method for each field of an expectation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from textwrap import shorten
from typing import Any

import ringkeep
from ringkeep import errors

SOON = timedelta(seconds=60)


def octets(given: Any) -> Any:
    """BYTES as bytes; `{"json": …}` as what it says."""
    if isinstance(given, str):
        return given.encode()
    if "hex" in given:
        return bytes.fromhex(given["hex"])
    if "repeat" in given:
        return given["repeat"].encode() * given["count"]
    return given["json"]


class Expectations:
    def value(self, step: dict[str, Any], given: Any) -> Any:
        return given if step.get("codec") == "utf8" else octets(given)

    def expect_error(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        raise AssertionError(f"{outcome!r} instead of {wanted}")

    def expect_aborted(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        raise AssertionError(f"{outcome!r} instead of an abort")

    def shown(self, outcome: Any) -> tuple[Any] | None:
        if isinstance(outcome, ringkeep.Entry):
            return (outcome.value,) if outcome.siblings else None
        kind, value = outcome
        assert kind == "value"
        found: tuple[Any] | None = value
        return found

    def expect_value(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        wanted = self.value(step, wanted)
        shown = self.shown(outcome)
        same = shown == (wanted,) and type(shown[0]) is type(wanted)
        assert same, f"{shorten(repr(shown), 200)} instead of {shorten(repr(wanted), 200)}"

    def expect_absent(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        assert (self.shown(outcome) is None) is wanted, f"{outcome!r}"

    def expect_siblings(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        wanted = [self.value(step, sibling) for sibling in wanted]
        assert sorted(map(repr, outcome.siblings)) == sorted(map(repr, wanted))

    def expect_conflicted(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        assert outcome.conflicted is wanted

    def expect_expires(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        assert len(outcome.expires) == len(outcome.siblings)
        for expires in outcome.expires:
            if wanted == "never":
                assert expires is None
            else:
                due = datetime.now(UTC) + timedelta(milliseconds=wanted["after_ms"])
                assert due - SOON < expires < due + SOON

    def expect_owners(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        assert outcome.owners == wanted

    def expect_owners_min(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        assert outcome.owners >= wanted

    def expect_fallbacks(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        assert outcome.fallbacks == wanted

    def expect_each(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        _, results = outcome
        assert len(results) == len(wanted)
        for result, one in zip(results, wanted, strict=True):
            if isinstance(one, dict) and "error" in one:
                assert isinstance(result, errors.Error) and result.code == one["error"], f"{result!r}"
            elif isinstance(one, dict):
                assert result == ("value", (self.value(step, one["value"]),)), f"{result!r}"
            else:
                assert result == {"absent": ("value", None), "stored": "stored"}[one], f"{result!r}"

    def expect_items(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        _, items = outcome
        assert [key for key, _ in items] == [octets(key) for key, _ in wanted]
        for (_, value), (_, one) in zip(items, wanted, strict=True):
            if isinstance(one, dict) and "error" in one:
                assert value.code == one["error"]
            else:
                assert value == self.value(step, one)

    def expect_items_count(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        assert len(outcome[1]) == wanted

    def expect_first(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        assert outcome[1][0][0] == octets(wanted)

    def expect_last(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        assert outcome[1][-1][0] == octets(wanted)

    def expect_count(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        assert outcome == ("count", wanted)

    def expect_names(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        assert sorted(outcome[1]) == sorted(wanted)

    def expect_health(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        assert outcome.health == wanted

    def expect_members(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        assert len(outcome.members) == wanted

    def expect_available(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        assert outcome.available is wanted

    def expect_partition(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        assert outcome.partition == wanted

    def expect_reads(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        assert [read.answer for read in outcome.reads] == wanted, outcome
        assert [read.r for read in outcome.reads] == list(range(1, len(wanted) + 1))

    def expect_replicas(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        replicas = outcome.replicas
        found = {
            "reachable": sum(replica.reachable for replica in replicas),
            "counting": sum(replica.counts for replica in replicas),
            "holding": sum(replica.record is not None for replica in replicas),
            "owner": sum(replica.role == "owner" for replica in replicas),
            "fallback": sum(replica.role == "fallback" for replica in replicas),
        }
        assert {name: found[name] for name in wanted} == wanted, outcome

    def expect_held(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        records = [replica.record for replica in outcome.replicas if replica.record is not None]
        assert len({record.hash for record in records}) == 1, outcome
        assert all((record.values, record.tombstones) == (wanted["values"], wanted["tombstones"]) for record in records)
        assert all(record.time <= datetime.now(UTC) and record.age >= 0 for record in records)

    def expect_reason_contains(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        reasons = [read.reason for read in outcome.reads if read.reason is not None]
        assert all(any(part in reason for reason in reasons) for part in wanted), reasons

    def expect_detail_contains(self, step: dict[str, Any], outcome: Any, wanted: Any) -> None:
        assert all(part in outcome.detail for part in wanted), outcome
