"""Recovery points that a restore in place left behind are not chosen for a time or the latest state.

The first timeline is that of the small world: logs up to LSN 500 on one fork, a point at LSN 355. Then the
database was restored to an earlier mark, at LSN 340, and a second timeline began there.
"""

from __future__ import annotations

from typing import Any

import pytest

from shared.errors import NothingToRestoreError
from shared.model.backups import Kind
from shared.model.hints import SqlHint, hint_of
from shared.model.plans import Policy
from shared.model.points import RecoveryPoint
from shared.planning.history import History
from shared.planning.resolving import resolve
from shared.planning.timelines import left_behind
from tests.unit.planning.world import at, hints, known, point, request, set_hint, sql_manifest

FORK_POINT = 340


def backup(kind: Kind, number: int, first: int, last: int, when: float, **facts: Any) -> SqlHint:
    forks = {"first_recovery_fork_guid": "new", "last_recovery_fork_guid": "new"} | facts
    hint = hint_of(sql_manifest(kind, number, first, last, at(when), **forks))
    assert isinstance(hint, SqlHint)
    return hint


def marked(identifier: str, lsn: int, log: str, mark: float) -> RecoveryPoint:
    made = point(identifier, mark, mark - 0.05)
    side = made.sql[0].model_copy(update={"mark_lsn": lsn, "log_backup_id": log})
    vectors = made.vectors.model_copy(update={"snapshot_set_id": f"SET-{identifier}"})
    return made.model_copy(update={"sql": (side,), "vectors": vectors})


OLD, DISMISSED = marked("OLD", 330, "SQL5", 4.4), marked("DISMISSED", 355, "SQL5", 4.6)
NEW = marked("NEW", 360, "SQL9", 8.5)
FULL = backup(Kind.FULL, 7, 345, 350, 7)
ENTERING = backup(Kind.LOG, 8, 335, 355, 8, first_recovery_fork_guid="fork", fork_point_lsn=FORK_POINT)
LATER = backup(Kind.LOG, 9, 355, 400, 9)


def left(points: list[RecoveryPoint], backups: list[SqlHint], hours: float | None = None) -> list[str]:
    time = None if hours is None else at(hours)
    return [one.id for one in left_behind(points, {"OctopusDB": backups}, time)]


def test_on_one_timeline_nothing_is_left_behind() -> None:
    assert left([OLD, DISMISSED], hints()) == []


def test_what_was_marked_behind_the_fork_point_is_left_behind() -> None:
    assert left([OLD, DISMISSED, NEW], [*hints(), FULL, ENTERING, LATER]) == ["DISMISSED"]


def test_an_instant_before_the_restore_belongs_to_the_first_timeline() -> None:
    assert left([OLD, DISMISSED], [*hints(), FULL, ENTERING, LATER], 6.5) == []
    assert left([OLD, DISMISSED], [*hints(), FULL, ENTERING, LATER], 7.5) == ["DISMISSED"]


@pytest.mark.parametrize(
    "logs", [[], [LATER]], ids=["before the first log", "the first log is somebody else's"]
)
def test_without_the_log_that_tells_the_fork_point_the_first_backup_after_it_does(
    logs: list[SqlHint],
) -> None:
    assert left([OLD, DISMISSED], [*hints(), FULL, *logs]) == ["DISMISSED"]


def test_a_second_restore_leaves_both_behind() -> None:
    """Back to LSN 320, before the first restore's fork point: nothing of the second timeline is left."""
    third = backup(
        *(Kind.LOG, 11, 310, 420, 11),
        first_recovery_fork_guid="fork",
        last_recovery_fork_guid="third",
        fork_point_lsn=320,
    )
    full = backup(
        Kind.FULL, 10, 325, 326, 10, first_recovery_fork_guid="third", last_recovery_fork_guid="third"
    )
    all_of_them = [*hints(), FULL, ENTERING, LATER, full, third]
    first = marked("FIRST", 315, "SQL4", 4.2)
    assert left([first, OLD, DISMISSED, NEW], all_of_them) == ["OLD", "DISMISSED", "NEW"]


def test_another_familys_backups_say_nothing() -> None:
    stranger = backup(Kind.FULL, 7, 10, 20, 7, family_guid="another")
    assert left([OLD, DISMISSED], [*hints(), stranger]) == []


@pytest.mark.parametrize("policy", list(Policy))
def test_neither_policy_takes_vectors_that_were_left_behind(policy: Policy) -> None:
    world = known(
        points=[OLD, DISMISSED],
        sets=[set_hint("SET-OLD", 4.35), set_hint("SET-DISMISSED", 4.55)],
        backups={"OctopusDB": [*hints(), FULL, ENTERING, LATER]},
    )
    (found,) = resolve(request(policy=policy), world, at(12)).resolutions
    assert (found.point, found.set_id) == (OLD, "SET-OLD")
    (asked_for,) = resolve(request(target={"recovery_point": "DISMISSED"}), world, at(12)).resolutions
    assert asked_for.point == DISMISSED


def test_where_every_point_was_left_behind_there_is_no_pair() -> None:
    world = known(points=[DISMISSED], backups={"OctopusDB": [*hints(), FULL, ENTERING, LATER]})
    with pytest.raises(NothingToRestoreError) as refused:
        resolve(request(policy=Policy.PAIRED), world, at(12))
    assert refused.value.specific_code == "no_recovery_point"


def test_a_log_within_which_the_database_was_restored_twice_tells_the_first_fork_and_the_last() -> None:
    """What lies between is told by the full backups that were taken after each restore."""
    full = backup(Kind.FULL, 7, 339, 350, 7, first_recovery_fork_guid="fork", fork_point_lsn=FORK_POINT)
    again = backup(
        *(Kind.FULL, 10, 379, 390, 10),
        first_recovery_fork_guid="new",
        last_recovery_fork_guid="third",
        fork_point_lsn=380,
    )
    twice = backup(
        *(Kind.LOG, 11, 330, 420, 11),
        first_recovery_fork_guid="fork",
        last_recovery_fork_guid="third",
        fork_point_lsn=380,
    )
    backups = [*hints(), full, LATER, again, twice]
    later = marked("LATER", 385, "SQL9", 8.6)
    assert left([OLD, DISMISSED, NEW, later], backups) == ["DISMISSED", "LATER"]
    history = History(backups)
    (entrance, *_) = history.stretches_into(twice, twice.last_lsn, lambda _: True)
    assert (entrance.fork, entrance.high) == ("fork", FORK_POINT)
