"""The judges of the checklist's steps."""

from __future__ import annotations

import json

import pytest

from shared.checklist import (
    Conversation,
    Marker,
    judge_conversation,
    judge_health,
    judge_migrations,
    judge_sql,
)
from shared.model.backups import Count, Quality
from shared.model.points import SqlSide
from tests.unit.planning.world import point

EPISODES, AGENTS = "dbo.Octopus_Episodes", "dbo.Octopus_Agents"
MARKER = Marker("rp_1", "POINT1")


def exact(value: int) -> Count:
    return Count(value=value, quality=Quality.EXACT)


def roughly(value: int, low: int | None, high: int | None) -> Count:
    return Count(value=value, quality=Quality.APPROXIMATE, low=low, high=high)


def side(**tables: Count) -> SqlSide:
    return point().sql[0].model_copy(update={"tables": tables or {EPISODES: exact(3), AGENTS: exact(2)}})


SAME = {EPISODES: exact(3), AGENTS: exact(2)}


def test_a_database_at_its_point_passes_with_its_evidence() -> None:
    found = judge_sql(side(), "POINT1", MARKER, SAME)
    assert found.passed
    assert found.mismatches == found.notes == ()
    assert found.evidence["marker"] == {"mark_name": "rp_1", "point_id": "POINT1"}
    assert found.evidence["tables"][EPISODES] == {"expected": 3, "quality": "exact", "found": 3}
    assert json.loads(json.dumps(found.as_json()))["passed"] is True


def test_a_count_that_differs_fails_and_says_which() -> None:
    found = judge_sql(side(), "POINT1", MARKER, SAME | {EPISODES: exact(4)})
    assert found.mismatches == ("Table dbo.Octopus_Episodes has 4, and had 3 at the recovery point.",)


def test_a_table_that_is_missing_fails() -> None:
    found = judge_sql(side(), "POINT1", MARKER, {AGENTS: exact(2)})
    assert found.mismatches == ("Table dbo.Octopus_Episodes is missing; it had 3 at the recovery point.",)


def test_a_reference_count_must_be_equal_too() -> None:
    expected = side(**{EPISODES: Count(value=3, quality=Quality.REFERENCE)})
    assert not judge_sql(expected, "POINT1", MARKER, {EPISODES: exact(4)}).passed


@pytest.mark.parametrize(
    ("low", "high", "passes"),
    [
        (3, 5, True),
        (4, 4, True),
        (None, None, True),
        (5, 9, False),
        (1, 3, False),
        (None, 3, False),
        (5, None, False),
    ],
)
def test_an_approximate_count_must_lie_in_its_interval(
    low: int | None, high: int | None, passes: bool
) -> None:
    expected = side(**{EPISODES: roughly(3, low, high)})
    found = judge_sql(expected, "POINT1", MARKER, {EPISODES: exact(4)})
    assert found.passed is passes
    assert "approximately" in found.notes[0]


@pytest.mark.parametrize("marker", [None, Marker("rp_1", "OTHER"), Marker("rp_2", "POINT1")])
def test_the_newest_marker_row_must_be_that_of_the_point(marker: Marker | None) -> None:
    found = judge_sql(side(), "POINT1", marker, SAME)
    assert not found.passed
    assert "rp_1" in found.mismatches[0]


def test_without_a_mark_the_judgement_does_not_pretend_one() -> None:
    unmarked = side().model_copy(update={"mark_name": None})
    found = judge_sql(unmarked, "POINT1", None, SAME)
    assert found.passed
    assert "no mark" in found.notes[0]


def test_without_counts_the_judgement_says_that_none_were_compared() -> None:
    found = judge_sql(side().model_copy(update={"tables": {}}), "POINT1", MARKER, SAME)
    assert found.passed
    assert "no row counts" in found.notes[0]


def test_past_the_point_counts_are_shown_and_not_compared() -> None:
    found = judge_sql(side(), "POINT1", None, {EPISODES: exact(99)}, at_the_point=False)
    assert found.mismatches == ("Table dbo.Octopus_Agents is missing.",)
    assert "not compared" in found.notes[0]
    assert found.evidence["tables"][EPISODES]["found"] == 99


def test_the_migration_history_must_end_where_it_did() -> None:
    assert judge_migrations("M2", [EPISODES], "M2", [EPISODES, AGENTS]).passed
    assert "ends with M1" in judge_migrations("M2", [], "M1", []).mismatches[0]
    assert "is empty" in judge_migrations("M2", [], None, []).mismatches[0]
    assert judge_migrations("M2", [EPISODES], "M2", []).mismatches == (
        "Table dbo.Octopus_Episodes is missing.",
    )


def test_without_a_recorded_migration_none_is_compared() -> None:
    found = judge_migrations(None, [], "M1", [])
    assert found.passed
    assert "none was compared" in found.notes[0]


@pytest.mark.parametrize(
    ("status", "waited", "words"),
    [(200, 3.0, None), (200, 61.0, "after 61 s"), (503, 3.0, "answered 503"), (None, 60.0, "did not answer")],
)
def test_the_api_must_answer_200_in_time(status: int | None, waited: float, words: str | None) -> None:
    found = judge_health(status, waited, 60.0)
    assert found.passed is (words is None)
    assert words is None or words in found.mismatches[0]


def test_a_conversation_from_end_to_end_passes() -> None:
    found = judge_conversation(Conversation(200, 12, ended=True, recalled=True, found=True))
    assert found.passed
    assert found.notes == ()


def test_a_conversation_that_shows_nothing_fails_in_every_point() -> None:
    found = judge_conversation(Conversation(None, 0, ended=False, recalled=False, found=False))
    assert len(found.mismatches) == 5


def test_what_there_was_nothing_to_look_for_is_noted_and_not_failed() -> None:
    found = judge_conversation(Conversation(200, 1, ended=True, recalled=None, found=None))
    assert found.passed
    assert len(found.notes) == 2
