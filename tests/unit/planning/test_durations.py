"""Expected durations: medians of like steps, what they rest on, and no guess where there is no ground."""

from __future__ import annotations

import pytest

from shared.model.backups import Kind
from shared.model.measures import Measure
from shared.model.plans import RehydrateStep
from shared.planning.durations import (
    COLLECTIONS_AT_ONCE,
    FARTHEST,
    MOST_KEPT,
    NO_HISTORY,
    Expectation,
    History,
    expectations,
    known_part,
    measured,
    read_by,
    together,
)
from shared.workflows import restores
from tests.unit.planning.world import blob, plan, request

MIB = 1024 * 1024


def logs(*pairs: tuple[int, float]) -> list[Measure]:
    return [
        Measure(step_kind="sql_restore", backup_kind=Kind.LOG, size=size, seconds=seconds)
        for size, seconds in pairs
    ]


def expected(history: History, size: int) -> Expectation:
    return history.expected("sql_restore", Kind.LOG, size)


def test_without_like_steps_nothing_is_expected_and_that_is_said() -> None:
    nothing = Expectation(None, NO_HISTORY)
    assert expected(History(), 10) == nothing
    fulls = [one.model_copy(update={"backup_kind": Kind.FULL}) for one in logs((10, 1.0))]
    assert expected(History(fulls), 10) == nothing
    assert History(logs((10, 1.0))).expected("collection", None, 10) == nothing


def test_a_fixed_part_and_a_rate_are_told_apart() -> None:
    history = History(logs(*((size * MIB, 2.0 + size / 100) for size in (100, 200, 300, 400, 500))))
    found = expected(history, 1000 * MIB)
    assert found.seconds == pytest.approx(12.0)
    assert found.basis == "median of 5 like steps, 83.3 MiB/s"


def test_an_outlier_changes_little() -> None:
    steady = [(size * MIB, 1.0 + size / 50) for size in (100, 150, 200, 250, 300, 350, 400)]
    calm = expected(History(logs(*steady)), 300 * MIB).seconds
    stormy = expected(History(logs(*steady, (220 * MIB, 900.0))), 300 * MIB).seconds
    assert calm is not None
    assert stormy == pytest.approx(calm, rel=0.1)


def test_steps_of_one_size_give_a_rate_alone() -> None:
    found = expected(History(logs((100 * MIB, 10.0), (100 * MIB, 20.0), (100 * MIB, 12.0))), 200 * MIB)
    assert found.seconds == pytest.approx(24.0)


def test_a_large_step_that_was_quick_gives_no_negative_rate_or_fixed_part() -> None:
    quicker = expected(History(logs((10, 9.0), (20, 5.0), (30, 1.0))), 20).seconds
    steeper = expected(History(logs((10 * MIB, 1.0), (20 * MIB, 4.0), (30 * MIB, 9.0))), MIB).seconds
    assert quicker is not None
    assert quicker >= 0
    assert steeper is not None
    assert 0 < steeper < 1


def test_nothing_is_guessed_for_a_step_far_larger_than_all_measured_ones() -> None:
    history = History(logs((1000, 1.0), (2000, 1.5)))
    assert expected(history, 2000 * FARTHEST).seconds is not None
    beyond = expected(history, 2000 * FARTHEST + 1)
    assert beyond == Expectation(None, "no history of this size: the largest like step had 2.0 KiB")


def test_where_the_size_does_not_matter_it_is_the_median() -> None:
    proofs = [Measure(step_kind="sql_proof", size=0, seconds=seconds) for seconds in (3, 90, 4)]
    assert History(proofs).expected("sql_proof", None, 0) == Expectation(4, "median of 3 like steps")
    assert History(proofs[:1]).expected("sql_proof", None, 0) == Expectation(3, "one like step")


def test_the_newest_like_steps_count() -> None:
    old_and_new = logs(*[(1000, 1.0)] * 200, *[(1000, 50.0)] * 500)
    assert expected(History(old_and_new), 1000).seconds == pytest.approx(1.0)


def whole_history(seconds: float = 10.0) -> History:
    """A history in which every step took the same time, whatever its kind."""
    steps = plan(request(in_place=True), databases={"OctopusDB": "ONLINE"}).execution.steps
    return History(measured(steps, {step.id: seconds for step in steps}))


def test_a_plan_is_the_sum_of_its_steps_and_collections_go_several_at_a_time() -> None:
    steps = plan(request(in_place=True), databases={"OctopusDB": "ONLINE"}).execution.steps
    found = expectations(steps, whole_history())
    collections = [step for step in steps if step.kind == "collection"]
    assert len(collections) == 2
    assert together(steps, found) == pytest.approx(10 * (len(steps) - 1))
    assert COLLECTIONS_AT_ONCE == restores.COLLECTIONS_AT_ONCE


def test_one_step_without_history_leaves_a_lower_bound_only() -> None:
    steps = plan().execution.steps
    found = expectations(steps, whole_history())
    proof = next(step for step in steps if step.kind == "sql_proof")
    found[proof.id] = Expectation(None, NO_HISTORY)
    assert together(steps, found) is None
    assert known_part(steps, found) > 0


def test_the_full_backup_at_the_end_is_as_large_as_the_one_that_was_restored() -> None:
    steps = plan(request(in_place=True), databases={"OctopusDB": "ONLINE"}).execution.steps
    (last,) = measured(steps, {next(s.id for s in steps if s.kind == "aftermath"): 5.0})
    full = next(s for s in steps if s.kind == "sql_restore" and s.backup_kind is Kind.FULL)
    assert last.size == read_by(full) > 0


def test_rehydration_takes_hours_whatever_the_size() -> None:
    step = RehydrateStep(id="001-rehydrate", title="", files=(blob("a", 5000),))
    (found,) = measured([step], {step.id: 7200.0})
    assert (found.size, read_by(step)) == (0, 5000)


def test_a_run_of_a_thousand_collections_is_remembered_by_a_sample_of_all_sizes() -> None:
    step = next(step for step in plan().execution.steps if step.kind == "collection")
    part = step.parts[0]
    many = [
        step.model_copy(
            update={
                "id": f"{number:04}-collection",
                "parts": (part.model_copy(update={"blob": blob("x", number)}),),
            }
        )
        for number in range(1, 1001)
    ]
    kept = measured(many, {one.id: 1.0 for one in many})
    assert len(kept) == MOST_KEPT
    assert (kept[0].size, kept[-1].size) == (1, 1000)


def test_a_step_that_did_not_succeed_is_no_measure() -> None:
    assert measured(plan().execution.steps, {}) == ()
