"""What a request stands for."""

from __future__ import annotations

from typing import Any

import pytest

from shared.errors import BackupSystemError, InvalidRequestError, NotFoundError, NothingToRestoreError
from shared.model.plans import Policy, Stop
from shared.planning.resolving import Resolution, Resolved, resolve
from tests.unit.planning.world import MARK_LSN, at, hints, known, point, request, set_hint, unmarked


def resolved(target: Any, policy: Policy | None = None, **changed: Any) -> Resolved:
    return resolve(request(target=target, policy=policy), known(**changed), at(7))


def only(target: Any, policy: Policy | None = None, **changed: Any) -> Resolution:
    (found,) = resolved(target, policy, **changed).resolutions
    return found


def refusal(kind: type[BackupSystemError], target: Any, policy: Policy | None = None, **changed: Any) -> str:
    with pytest.raises(kind) as caught:
        resolved(target, policy, **changed)
    assert caught.value.hint
    return f"{caught.value.specific_code}: {caught.value}"


def ids(found: Resolution) -> list[str]:
    return [hint.id for hint in found.hints]


def test_a_recovery_point_needs_no_policy() -> None:
    found = only({"recovery_point": "POINT1"})
    assert (found.policy, found.set_id, found.sql_point) == (Policy.PAIRED, "SET1", at(4.6))
    assert ids(found) == ["SQL1", "SQL3", "SQL4", "SQL5"]
    assert found.chains["OctopusDB"].stop == Stop(mark="rp_1")
    assert MARK_LSN in range(found.hints[-1].first_lsn, found.hints[-1].last_lsn)


def test_without_a_mark_the_point_is_the_end_of_its_log_backup() -> None:
    found = only({"recovery_point": "POINT1"}, points=[unmarked(point())])
    assert found.chains["OctopusDB"].stop == Stop()
    assert ids(found)[-1] == "SQL5"


def test_latest_without_a_policy_is_answered_for_both() -> None:
    paired, latest = resolved("latest").resolutions
    assert (paired.policy, latest.policy) == (Policy.PAIRED, Policy.LATEST_SQL)
    assert ids(latest) == ["SQL1", "SQL3", "SQL4", "SQL5", "SQL6"]
    assert (latest.sql_point, latest.set_id) == (at(6), "SET1")
    assert latest.newest["OctopusDB"] > at(6)


def test_a_time_under_latest_sql_goes_to_that_time_with_the_vectors_before_it() -> None:
    found = only({"time": "2026-03-01T05:30:00Z"}, Policy.LATEST_SQL)
    assert found.chains["OctopusDB"].stop == Stop(at=at(5.5))
    assert found.point is not None


def test_a_policy_that_is_impossible_is_named_with_its_reason() -> None:
    found = resolved("latest", points=[])
    assert [one.policy for one in found.resolutions] == [Policy.LATEST_SQL]
    assert "none was ever made" in found.impossible[Policy.PAIRED]


def test_without_any_snapshot_set_sql_server_is_restored_alone() -> None:
    found = only("latest", Policy.LATEST_SQL, points=[], sets=[])
    assert (found.set_id, found.point) == (None, None)


def test_with_sets_that_are_all_too_new_nothing_is_restored() -> None:
    told = refusal(NothingToRestoreError, "latest", Policy.LATEST_SQL, points=[], sets=[set_hint(ended=6.5)])
    assert told.startswith("no_vectors_before_target")


def test_a_target_in_the_future_is_refused() -> None:
    told = refusal(InvalidRequestError, {"time": "2026-03-01T07:00:01Z"})
    assert told.startswith("target_in_the_future")


def test_a_target_before_the_first_backup_is_refused_with_what_can_be_restored() -> None:
    told = refusal(NothingToRestoreError, {"time": "2026-03-01T00:59:00Z"})
    assert told.startswith("target_before_first_backup")
    assert "2026-03-01 01:00:05Z" in told
    assert "2026-03-01 06:00:05Z" in told


def test_a_target_after_the_last_log_is_refused_with_the_nearest_moment() -> None:
    told = refusal(NothingToRestoreError, {"time": "2026-03-01T06:30:00Z"}, Policy.LATEST_SQL)
    assert told.startswith("target_after_last_log")
    assert "nearest restorable instant is 2026-03-01 06:00:00Z" in told


def test_an_unknown_recovery_point_is_not_found() -> None:
    assert refusal(NotFoundError, {"recovery_point": "nobody"}).startswith("recovery_point_unknown")


def test_a_recovery_point_under_another_policy_is_a_contradiction() -> None:
    told = refusal(InvalidRequestError, {"recovery_point": "POINT1"}, Policy.LATEST_SQL)
    assert told.startswith("policy_not_applicable")


def test_a_point_whose_backups_are_gone_leads_nowhere() -> None:
    told = refusal(NothingToRestoreError, {"recovery_point": "POINT1"}, backups={"OctopusDB": hints()[1:]})
    assert told.startswith("no_full_backup")
    assert "Make a full backup" in told
    told = refusal(NothingToRestoreError, {"recovery_point": "POINT1"}, backups={"OctopusDB": hints()[:4]})
    assert told.startswith("log_backup_missing")
    assert "Restorable: " in told


def test_latest_sql_without_a_database_is_refused() -> None:
    assert refusal(NothingToRestoreError, "latest", Policy.LATEST_SQL, backups={}).startswith(
        "no_full_backup"
    )


def test_a_database_that_was_backed_up_once_does_not_spoil_latest_sql() -> None:
    backups = {"OctopusDB": hints(), "Old": hints()[1:2]}
    for current in (frozenset[str](), frozenset({"OctopusDB", "Never"})):
        found = only("latest", Policy.LATEST_SQL, backups=backups, current=current)
        assert list(found.chains) == ["OctopusDB"]
    told = refusal(NothingToRestoreError, "latest", Policy.LATEST_SQL, backups=backups, points=[])
    assert told.startswith("no_full_backup: Old")
    told = refusal(
        NothingToRestoreError, "latest", Policy.LATEST_SQL, backups=backups, current=frozenset({"Never"})
    )
    assert "There is no database" in told


def test_a_recovery_point_leads_to_databases_that_are_not_in_use_any_more() -> None:
    found = only({"recovery_point": "POINT1"}, current=frozenset({"New"}))
    assert list(found.chains) == ["OctopusDB"]


def test_the_first_backup_of_a_database_that_is_not_in_use_limits_no_target() -> None:
    late = [hints()[0].model_copy(update={"finished_at": at(5)})]
    backups = {"OctopusDB": hints(), "Old": late}
    target = {"time": "2026-03-01T04:50:00Z"}
    assert only(target, Policy.PAIRED, backups=backups).point is not None
    told = refusal(
        NothingToRestoreError, target, Policy.PAIRED, backups=backups, current=frozenset({"OctopusDB", "Old"})
    )
    assert told.startswith("target_before_first_backup")


def test_a_damaged_backup_is_not_the_newest_one() -> None:
    damaged = [*hints()[:5], hints()[5].model_copy(update={"is_damaged": True})]
    found = only("latest", Policy.LATEST_SQL, backups={"OctopusDB": damaged})
    assert ids(found)[-1] == "SQL5"
    assert found.newest["OctopusDB"] == hints()[4].finished_at


def test_a_database_without_full_backups_does_not_hide_the_others() -> None:
    found = only(
        {"time": "2026-03-01T05:30:00Z"},
        Policy.PAIRED,
        backups={"OctopusDB": hints(), "Other": hints()[1:2]},
    )
    assert list(found.chains) == ["OctopusDB"]
