"""Which vector side goes with which SQL point."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.model.hints import SetHint
from shared.model.plans import PointTarget, TimeTarget
from shared.model.points import RecoveryPoint, VectorSide
from shared.planning.consistency import (
    CLOCK_MARGIN,
    NoPair,
    VectorChoice,
    breach,
    clocks_differ,
    lead,
    pair,
    sql_time,
    vectors_before,
)
from tests.unit.planning.world import at, point, set_hint

EARLY, LATE = point("P1", mark=2, ended=1.9), point("P2", mark=4, ended=3.9)
BROKEN = point("P3", mark=5, ended=5.1)
INCOMPLETE = point("P4", mark=6, ended=5.9, complete=False, reasons=("a collection failed",), name="v7")


def told(found: object) -> str:
    assert isinstance(found, NoPair), found
    return found.code


def test_the_newest_complete_point_at_or_before_the_time_is_taken() -> None:
    assert pair([EARLY, LATE], TimeTarget(time=at(3))) is EARLY
    assert pair([LATE, EARLY], TimeTarget(time=at(4))) is LATE


def test_latest_is_the_newest_complete_point_that_keeps_the_rule() -> None:
    assert pair([EARLY, LATE, BROKEN, INCOMPLETE], "latest") is LATE


def test_an_incomplete_point_is_taken_only_when_asked_for_by_id_or_name() -> None:
    assert pair([EARLY, INCOMPLETE], PointTarget(recovery_point="P4")) is INCOMPLETE
    assert pair([EARLY, INCOMPLETE], PointTarget(recovery_point="v7")) is INCOMPLETE
    assert told(pair([INCOMPLETE], "latest")) == "no_recovery_point"


def test_a_name_stands_for_its_newest_point() -> None:
    older = EARLY.model_copy(update={"name": "v7"})
    assert pair([older, INCOMPLETE], PointTarget(recovery_point="v7")) is INCOMPLETE


def test_a_point_that_breaks_the_rule_is_refused_even_when_asked_for() -> None:
    found = pair([BROKEN], PointTarget(recovery_point="P3"))
    assert told(found) == "recovery_point_inconsistent"
    assert isinstance(found, NoPair)
    assert "after the SQL point" in found.reason


def test_refusals_say_what_there_is_instead() -> None:
    unknown = pair([EARLY], PointTarget(recovery_point="nobody"))
    assert told(unknown) == "recovery_point_unknown"
    for points, words in (([], "none was ever made"), ([EARLY], "the first complete one, P1")):
        found = pair(points, TimeTarget(time=at(1)))
        assert isinstance(found, NoPair)
        assert words in found.reason
    found = pair([INCOMPLETE], "latest")
    assert isinstance(found, NoPair)
    assert "P4 (a collection failed)" in found.reason


def test_a_point_without_sql_stands_at_the_end_of_its_snapshots() -> None:
    alone = EARLY.model_copy(update={"sql": ()})
    assert sql_time(alone) == alone.vectors.finished_at
    assert breach(alone) is None


def test_a_mark_at_or_before_the_sql_point_proves_the_order_without_a_margin() -> None:
    found = vectors_before([EARLY, LATE, INCOMPLETE], [], at(4))
    assert found == VectorChoice("SET1", LATE.vectors.finished_at, LATE)


def test_a_mark_in_a_log_that_is_restored_as_a_whole_is_reached_whatever_the_clocks_say() -> None:
    before_its_own_mark = sql_time(LATE) - timedelta(milliseconds=1)
    logs = [side.log_backup_id for side in LATE.sql]
    assert vectors_before([LATE], [], before_its_own_mark, logs) == VectorChoice(
        "SET1", LATE.vectors.finished_at, LATE
    )
    assert isinstance(vectors_before([LATE], [], before_its_own_mark, ["another"]), NoPair)
    alone = LATE.model_copy(update={"sql": ()})
    assert isinstance(vectors_before([alone], [], at(0), logs), NoPair)


def test_a_set_without_a_point_needs_the_clock_margin() -> None:
    ended = set_hint("SET9", ended=3)
    assert told(vectors_before([], [ended], at(3) + CLOCK_MARGIN - timedelta(seconds=1)))
    found = vectors_before([], [ended], at(3) + CLOCK_MARGIN)
    assert found == VectorChoice("SET9", at(3), None)


def test_an_incomplete_set_is_never_taken() -> None:
    found = vectors_before([], [set_hint("SET9", ended=1, complete=False)], at(9))
    assert told(found) == "no_vectors_before_target"


def compared(made: RecoveryPoint, offset: float, uncertainty: float = 0.5) -> RecoveryPoint:
    """The point, SQL Server's clock having been found so many seconds ahead of ours."""
    told = {"clock_offset_seconds": offset, "clock_uncertainty_seconds": uncertainty}
    return made.model_copy(update={"sql": tuple(side.model_copy(update=told) for side in made.sql)})


def test_a_clock_that_is_known_to_be_behind_makes_no_honest_point_a_breach() -> None:
    behind = point("P1", mark=2, ended=2.5)  # by their own clocks, half an hour in the wrong order
    assert breach(behind) is not None
    assert breach(compared(behind, -1800)) is None
    ahead = compared(point("P2", mark=2, ended=1.9), 1800)
    assert breach(ahead) is not None, "the mark only seems later, because SQL Server's clock is ahead"


def test_a_set_without_a_point_must_have_ended_earlier_where_sql_servers_clock_is_ahead() -> None:
    ended = set_hint("SET9", ended=3)
    ahead = compared(point("P1", mark=2, ended=1.9, complete=False), 600, 1)
    first = at(3) + CLOCK_MARGIN + timedelta(seconds=601)
    assert told(vectors_before([ahead], [ended], first - timedelta(seconds=1)))
    assert vectors_before([ahead], [ended], first) == VectorChoice("SET9", at(3), None)


def test_a_clock_that_is_behind_makes_nothing_looser() -> None:
    behind = compared(point("P1", mark=2, ended=1.9, complete=False), -600)
    ended = set_hint("SET9", ended=3)
    assert told(vectors_before([behind], [ended], at(3) + CLOCK_MARGIN - timedelta(seconds=1)))


def test_the_lead_is_what_the_points_next_before_and_after_say() -> None:
    long_ago = compared(point("P0", mark=1, ended=0.9), 9000, 0)
    before, after = (
        compared(point("P1", mark=2, ended=1.9), 10, 0),
        compared(point("P2", mark=6, ended=5.9), 40, 0),
    )
    points = [after, long_ago, point("P3", mark=4, ended=3.9), before]
    assert lead(points, at(4)) == timedelta(seconds=40)
    assert lead([long_ago, before], at(4)) == timedelta(seconds=10)
    assert lead([point("P3", mark=4, ended=3.9)], at(4)) == timedelta(0)
    assert lead([], at(4)) == timedelta(0)


def test_clocks_differ_only_when_they_surely_do() -> None:
    margin = CLOCK_MARGIN.total_seconds()
    (side,) = point("P1", mark=2, ended=1.9).sql
    assert clocks_differ(side) is None
    for offset, uncertainty, differ in ((margin, 0, False), (margin + 5, 6, False), (margin + 7, 6, True)):
        for sign in (1, -1):
            told = {"clock_offset_seconds": sign * offset, "clock_uncertainty_seconds": uncertainty}
            found = clocks_differ(side.model_copy(update=told))
            assert (found is not None) == differ
            assert found is None or ("ahead of" if sign > 0 else "behind") in found


HOURS = st.integers(0, 40).map(lambda quarter: quarter / 4)


@st.composite
def points_and_sets(draw: st.DrawFn) -> tuple[list[RecoveryPoint], list[SetHint]]:
    points = []
    for number in range(draw(st.integers(0, 5))):
        made = point(f"P{number}", mark=draw(HOURS), ended=draw(HOURS), complete=draw(st.booleans()))
        side = VectorSide(
            snapshot_set_id=f"S{number}",
            started_at=at(0),
            finished_at=made.vectors.finished_at,
            collections={},
        )
        points.append(made.model_copy(update={"vectors": side}))
    sets = [
        set_hint(f"S{number}", ended=draw(HOURS), complete=draw(st.booleans()))
        for number in range(5, 5 + draw(st.integers(0, 4)))
    ]
    return points, sets


@settings(max_examples=300, deadline=None, derandomize=True)
@given(points_and_sets(), HOURS)
def test_in_every_pair_the_vectors_ended_before_the_sql_point(
    world: tuple[list[RecoveryPoint], list[SetHint]], hour: float
) -> None:
    points, sets = world
    paired = pair(points, TimeTarget(time=at(hour)))
    fitting = [p for p in points if p.complete and p.vectors.finished_at <= sql_time(p) <= at(hour)]
    if isinstance(paired, RecoveryPoint):
        assert paired.complete
        assert paired.vectors.finished_at <= sql_time(paired) <= at(hour)
        assert sql_time(paired) == max(sql_time(p) for p in fitting)
    else:
        assert fitting == []
    behind = vectors_before(points, sets, at(hour))
    if isinstance(behind, VectorChoice):
        assert behind.finished_at <= at(hour)
        assert behind.point is not None or behind.finished_at + CLOCK_MARGIN <= at(hour)
    for asked in points:
        found = pair(points, PointTarget(recovery_point=asked.id))
        assert isinstance(found, NoPair) == (asked.vectors.finished_at > sql_time(asked))
