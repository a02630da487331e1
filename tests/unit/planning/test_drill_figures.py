"""What a drill measured, beside its targets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.model.runs import Run, RunKind, State, StepState
from shared.planning.drill_figures import Age, figures, missed, no_recent_drill

BEGAN = datetime(2026, 3, 1, 5, tzinfo=UTC)
AGES = Age(point=3600.0, sqlserver=600.0, qdrant=7200.0, lost=600.0)
HOUR, HALF = timedelta(hours=1), timedelta(minutes=30)


def step(name: str, first: float, last: float | None, state: State = State.SUCCEEDED) -> StepState:
    ended = None if last is None else BEGAN + timedelta(seconds=last)
    return StepState(
        id=name, title=name, state=state, started_at=BEGAN + timedelta(seconds=first), finished_at=ended
    )


def run(*steps: StepState) -> Run:
    return Run(
        id="R",
        kind=RunKind.DRILL,
        title="Drill",
        state=State.RUNNING,
        started_at=BEGAN,
        heartbeat_at=BEGAN,
        steps=steps,
    )


RESTORING = (
    step("plan", 1, 2),
    step("001-sql_restore", 2, 60),
    step("002-collection", 60, 100),
    step("003-collection", 60, 180),
)
AFTER = (step("004-sample", 180, 500), step("005-clean_up", 500, 900))


def test_the_time_to_restore_ends_with_the_last_proof_and_counts_what_ran_at_once_only_once() -> None:
    measured = figures(run(*RESTORING, *AFTER), AGES, HALF, HOUR)
    assert measured.rto_seconds == 179.0
    assert measured.steps["003-collection"] == 120.0
    assert (measured.target_rto_seconds, measured.target_rpo_seconds) == (3600.0, 1800.0)
    assert list(missed(measured)) == []


def test_a_sample_that_failed_does_not_hide_how_long_the_restore_took() -> None:
    failed = step("004-sample", 180, 500, State.FAILED)
    assert figures(run(*RESTORING, failed), AGES, HALF, HOUR).rto_seconds == 179.0


@pytest.mark.parametrize(
    "steps",
    [
        (*RESTORING[:3], step("003-collection", 60, 180, State.FAILED)),
        (*RESTORING[:3], step("003-collection", 60, None, State.RUNNING)),
        (),
    ],
)
def test_what_was_not_restored_has_no_duration(steps: tuple[StepState, ...]) -> None:
    assert figures(run(*steps), AGES, HALF, HOUR).rto_seconds is None


def test_what_is_worse_than_its_target_is_told_with_both_figures() -> None:
    measured = figures(run(*RESTORING), AGES, timedelta(minutes=5), timedelta(minutes=2))
    rto, rpo = missed(measured)
    assert (rto.code, rpo.code) == ("rto_missed", "rpo_missed")
    assert "2 min 59 s" in rto.message
    assert "2 min are allowed (TARGET_RTO_MINUTES)" in rto.message
    assert "10 min; 5 min are allowed (TARGET_RPO_MINUTES)" in rpo.message


def test_exactly_on_target_is_met() -> None:
    assert list(missed(figures(run(*RESTORING), AGES, timedelta(minutes=10), timedelta(seconds=179)))) == []


def test_nothing_restorable_at_all_costs_everything() -> None:
    nothing = AGES.model_copy(update={"sqlserver": None, "lost": None})
    (rpo,) = missed(figures(run(*RESTORING), nothing, HALF, HOUR))
    assert "would have cost everything" in rpo.message


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (None, "No drill has ever succeeded."),
        (BEGAN - timedelta(days=36), "The last drill that succeeded ended 36 d ago."),
        (BEGAN - timedelta(days=35), None),
        (BEGAN, None),
    ],
)
def test_a_drill_that_is_long_ago_is_told(last: datetime | None, told: str | None) -> None:
    found = no_recent_drill(last, BEGAN, timedelta(days=35))
    assert (found is None) == (told is None)
    assert told is None or (found is not None and found.message.startswith(told))
