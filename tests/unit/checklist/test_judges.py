"""The judges of the checklist's steps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.checklist import (
    Conversation,
    Marker,
    RestoredCollection,
    judge_check,
    judge_conversation,
    judge_health,
    judge_live_collections,
    judge_live_sql,
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


def test_a_turn_that_was_cut_off_tells_how_long_was_waited_and_what_came_last() -> None:
    turn = Conversation(
        200, 4, False, None, None, deadline_seconds=60, events=7, last_event="token", cut_off=True
    )
    assert judge_conversation(turn).mismatches == (
        "The turn did not end in time: it was given up after 60 s; the last of 7 events was token.",
    )


def test_a_stream_that_stops_without_an_end_is_told_as_that() -> None:
    turn = Conversation(200, 4, False, None, None, deadline_seconds=60, events=2, last_event="error")
    assert judge_conversation(turn).mismatches == (
        "The turn did not end: the stream stopped without turn_end; the last of 2 events was error.",
    )


def test_a_script_may_lead_beyond_the_point_but_not_before_its_own_head() -> None:
    beyond = judge_migrations("M1", [], "M2", [], at_least=True)
    assert beyond.passed
    assert beyond.notes == ("The migration history ends with M2, later than the M1 of the recovery point.",)
    behind = judge_migrations("M3", [], "M2", [], at_least=True, reference="the script")
    assert behind.mismatches == ("The migration history ends with M2; it should end with M3 or a later one.",)
    assert not judge_migrations("M1", [], None, [], at_least=True).passed


def test_a_database_that_was_found_sound_passes() -> None:
    found = judge_check(True, 0, 0, [])
    assert found.passed
    assert found.evidence["checkdb"]["clean"] is True


def test_errors_of_a_database_are_told_with_their_numbers() -> None:
    found = judge_check(False, 1, 3, ["8928: Page (1:256) could not be processed.", "8939: …"])
    (told,) = found.mismatches
    assert told.startswith("DBCC CHECKDB found 1 allocation errors and 3 consistency errors. 8928: Page")
    assert "how many is not known" in judge_check(False, None, None, []).mismatches[0]


class TestEnvironment:
    def test_more_and_fewer_rows_are_shown_and_pass(self) -> None:
        found = judge_live_sql(side(), MARKER, {EPISODES: exact(1), AGENTS: exact(9)})
        assert found.passed
        assert found.evidence["tables"][EPISODES] == {"expected": 3, "quality": "exact", "found": 1}
        assert "Fewer rows than at the recovery point: dbo.Octopus_Episodes." in found.notes

    def test_a_table_that_was_emptied_or_is_gone_does_not_pass(self) -> None:
        found = judge_live_sql(side(), MARKER, {EPISODES: exact(0)})
        assert found.mismatches == (
            "Table dbo.Octopus_Agents is missing.",
            "Table dbo.Octopus_Episodes is empty; it had 3 rows at the recovery point.",
        )

    def test_a_table_that_may_have_been_empty_then_may_be_empty_now(self) -> None:
        then = side(**{EPISODES: roughly(1, 0, 2), AGENTS: exact(0)})
        assert judge_live_sql(then, MARKER, {EPISODES: exact(0), AGENTS: exact(0)}).passed

    def test_without_a_point_only_a_database_without_tables_fails(self) -> None:
        assert judge_live_sql(None, None, {AGENTS: exact(0)}).passed
        assert not judge_live_sql(None, None, {}).passed

    @staticmethod
    def seen(count: int = 5, status: str = "green", missing: tuple[str, ...] = ()) -> RestoredCollection:
        peers = {} if missing == ("one", "two") else {"one": count, "two": count}
        return RestoredCollection(
            "agent_1", missing, peers, dict.fromkeys(peers, status), dict.fromkeys(peers, "ok")
        )

    @pytest.mark.parametrize(
        ("seen", "why"),
        [
            ({"missing": ("one", "two")}, "'agent_1' is missing; it had 4 points at the recovery point."),
            ({"count": 0}, "'agent_1' is empty; it had 4 points at the recovery point."),
            ({"status": "red"}, "'agent_1' is red on one."),
            ({"missing": ("three",)}, "'agent_1' is not known to three."),
        ],
    )
    def test_a_collection_in_service_must_be_there_and_hold_something(
        self, seen: dict[str, Any], why: str
    ) -> None:
        found = judge_live_collections({"agent_1": exact(4)}, ["agent_1"], {"agent_1": self.seen(**seen)})
        assert why in found.mismatches

    def test_collections_may_grow_and_shrink_and_go_with_their_agents(self) -> None:
        then = {"agent_1": exact(4), "agent_2": exact(4)}
        found = judge_live_collections(then, ["agent_1"], {"agent_1": self.seen(2, "yellow")})
        assert found.passed
        assert found.evidence["collections"]["agent_1"]["counted"] == {"one": 2, "two": 2}
        assert any("gone with their agents: agent_2" in note for note in found.notes)
        assert any("not green yet: agent_1" in note for note in found.notes)


def test_two_judgements_are_one_that_keeps_the_notes_of_both() -> None:
    then = side(**{EPISODES: roughly(1, 0, 2)})
    one = judge_sql(then, "POINT1", MARKER, {EPISODES: exact(1)})
    both = one.also(judge_check(True, 0, 0, []))
    assert both.passed
    assert both.notes == one.notes != ()
    assert {"tables", "checkdb"} <= set(both.evidence)
    assert not one.also(judge_check(False, 0, 1, [])).passed


def test_of_a_thousand_mismatches_ten_are_told() -> None:
    then = side(**{f"dbo.Octopus_{number:04}": exact(1) for number in range(1000)})
    found = judge_sql(then, "POINT1", MARKER, {})
    assert len(found.mismatches) == 1000
    assert found.summary.endswith("And 990 more; the step's evidence has them all.")
    assert len(found.summary) < 1000
