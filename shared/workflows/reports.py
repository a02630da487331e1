"""Reports of runs: made when a run ends, kept for the auditor, and shown with what people say of it since."""

from __future__ import annotations

from typing import Any, Literal

from shared.composition import System
from shared.errors import NotFoundError, RefusedError
from shared.model.plans import Plan
from shared.model.points import RecoveryPoint
from shared.model.runs import Run, RunKind
from shared.model.verdicts import Verdict, VerdictRequest
from shared.reporting import report, report_html, report_text, with_verdicts
from shared.workflows.backups import made_by
from shared.workflows.watching import WITH_CHECKLIST


def made(system: System, run: Run, plan: Plan | None, point: RecoveryPoint | None) -> dict[str, Any]:
    """The report of a run as it is now.

    Args:
        system: the system.
        run: the run, whole (see ``Runs.whole``).
        plan: the plan that it executes; None for a look at the environment.
        point: the recovery point that it is compared with.
    """
    verdicts = system.catalogue.reports.verdicts(run.id)
    return report(run, plan, point, verdicts=verdicts, software=made_by())


def keep(system: System, run: Run, its_report: dict[str, Any]) -> None:
    """Keep a report, as JSON and as a page, where nobody can change it. Repeating it changes nothing.

    Raises:
        BackupSystemError: it could not be written.
    """
    system.catalogue.reports.save(run.id, run.attempt, its_report, report_html(its_report))


def find(system: System, run_id: str, kind: RunKind | None = None) -> Run:
    """A restore or check, whole.

    Raises:
        NotFoundError: there is none of that id, or it is of another kind.
    """
    run = system.catalogue.runs.get(kind, run_id) if kind else system.catalogue.runs.find(run_id)
    if run.kind not in WITH_CHECKLIST:
        raise NotFoundError(
            f"Run {run.id} is a {run.kind.value.replace('_', ' ')}, which has no checklist.",
            "Reports and verdicts belong to restores and checks.",
        )
    return system.catalogue.runs.whole(run)


def shown(system: System, run: Run) -> dict[str, Any]:
    """The report of a run with what people said until now; of one under way, as far as it is.

    Raises:
        BackupSystemError: the plan or the point cannot be read.
    """
    if kept := run.result.get("report"):
        return with_verdicts(kept, system.catalogue.reports.verdicts(run.id))
    plan_id = run.request.get("plan_id")
    plan = system.catalogue.plans.get(plan_id) if plan_id else None
    point_id = plan.execution.target.recovery_point_id if plan else run.request.get("point_id")
    return made(system, run, plan, system.catalogue.points.get(point_id) if point_id else None)


def as_html(system: System, run: Run) -> str:
    """``shown`` as a page."""
    return report_html(shown(system, run))


def as_text(system: System, run: Run) -> str:
    """``shown`` for a terminal."""
    return report_text(shown(system, run))


def add_verdict(
    system: System, run: Run, request: VerdictRequest, via: Literal["http", "command line"]
) -> Verdict:
    """Keep what a person says about an item, beside the machine's verdict, which stays as it is.

    Raises:
        RefusedError: the run has not ended, so there is nothing yet to judge.
    """
    if not run.ended:
        raise RefusedError(
            f"Run {run.id} has not ended; a verdict is given on what it did.",
            "Wait for its end, or cancel it.",
            code="run_under_way",
        )
    verdict = Verdict(
        id=system.new_id(),
        run_id=run.id,
        attempt=run.attempt,
        item=request.item,
        verdict=request.verdict,
        by=request.by,
        reason=request.reason,
        at=system.clock.now(),
        via=via,
    )
    system.catalogue.reports.add_verdict(verdict)
    return verdict
