"""The report of a drill, for reading."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shared.model.findings import ErrorInfo
from shared.model.runs import Run, RunKind, State, StepState
from shared.planning.drill_figures import Age, figures, missed
from shared.reporting.drills import drill_report, drill_text
from tests.unit.planning import world

BEGAN = datetime(2026, 3, 1, 5, tzinfo=UTC)


def drill(state: State, *steps: StepState, error: ErrorInfo | None = None) -> Run:
    return Run(
        id="RUN1",
        kind=RunKind.DRILL,
        title="Drill of the newest recovery point",
        state=state,
        started_at=BEGAN,
        heartbeat_at=BEGAN,
        finished_at=BEGAN + timedelta(seconds=200),
        steps=steps,
        error=error,
    )


def step(name: str, first: int, last: int) -> StepState:
    return StepState(
        id=name,
        title=f"Do {name}",
        state=State.SUCCEEDED,
        started_at=BEGAN + timedelta(seconds=first),
        finished_at=BEGAN + timedelta(seconds=last),
    )


def test_a_report_tells_verdict_point_figures_findings_and_the_restore() -> None:
    run = drill(State.SUCCEEDED, step("plan", 0, 1), step("001-sql_restore", 1, 150))
    ages = Age(point=90_000, sqlserver=None, qdrant=90_000, lost=None)
    measured = figures(run, ages, timedelta(minutes=30), timedelta(minutes=2))
    findings = tuple(missed(measured))
    made = drill_report(run, world.plan(), world.point(name="before [v7]"), measured, findings)
    assert (made["verdict"], made["targets_met"]) == ("passed", False)
    text = drill_text(made)
    lines = text.splitlines()
    assert lines[:2] == ["DRILL REPORT RUN1: PASSED", "Recovery point POINT1 “before [v7]”."]
    assert "  Time to restore (RTO): 2 min 30 s; target 2 min." in lines
    assert "  What a disaster would have cost (RPO): everything; target 30 min." in lines
    assert "     149.0 s  001-sql_restore" in lines
    assert "[rto_missed]" in text
    assert "CHECKLIST" in lines


def test_a_drill_that_came_to_no_plan_tells_why() -> None:
    error = ErrorInfo(code="unreachable", message="No connection.", hint="Is the server up?")
    made = drill_report(drill(State.FAILED, step("plan", 0, 1), error=error), None, None, None, ())
    assert (made["verdict"], made["targets_met"], made["figures"]) == ("failed", None, None)
    text = drill_text(made)
    assert text.startswith("DRILL REPORT RUN1: FAILED")
    assert "No connection." in text
    assert "[unreachable]" in text
