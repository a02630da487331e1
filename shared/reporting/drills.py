"""The report of a drill: its verdict, its figures beside their targets, and the restore in detail."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from shared.model.findings import Finding
from shared.model.plans import Plan
from shared.model.points import RecoveryPoint
from shared.model.runs import Run, State
from shared.planning.drill_figures import Figures
from shared.planning.words import lasted
from shared.reporting.restores import report, report_text
from shared.reporting.runs import run_text
from shared.reporting.text import bullets, heading, joined, wrapped

SLOWEST = 10
"""Steps whose durations the text shows; the JSON report holds all."""


def drill_report(
    run: Run,
    plan: Plan | None,
    point: RecoveryPoint | None,
    measured: Figures | None,
    findings: Sequence[Finding],
) -> dict[str, Any]:
    """The report as plain JSON data.

    Args:
        run: the drill as it ended.
        plan: what was restored; None if it came to no plan.
        point: the recovery point that was restored, likewise.
        measured: its figures, likewise.
        findings: what is to be said of them.

    Returns:
        ``verdict`` (``passed`` or ``failed``), ``figures``, ``targets_met``, and under ``restore`` what
        ``reporting.restores.report`` gives of the steps.
    """
    return {
        "schema": 1,
        "run_id": run.id,
        "verdict": "passed" if run.state is State.SUCCEEDED else "failed",
        "started_at": run.as_json()["started_at"],
        "finished_at": run.as_json()["finished_at"],
        "recovery_point": point.id if point else None,
        "recovery_point_name": point.name if point else None,
        "figures": measured.as_json() if measured else None,
        "targets_met": not findings if measured and measured.rto_seconds is not None else None,
        "findings": [finding.as_json() for finding in findings],
        "restore": report(run, plan, point) if plan else None,
        "run_text": run_text(run),
    }


def drill_text(report: dict[str, Any]) -> str:
    """The report of :func:`drill_report` for reading."""
    name = f" “{report['recovery_point_name']}”" if report["recovery_point_name"] else ""
    what = f"Recovery point {report['recovery_point']}{name}." if report["recovery_point"] else ""
    head = [
        *wrapped(f"DRILL REPORT {report['run_id']}: {report['verdict'].upper()}", ""),
        *(wrapped(what, "") if what else []),
        *(_figures(report["figures"]) if report["figures"] else []),
        *(
            [*heading("Findings"), *bullets(_finding(one) for one in report["findings"])]
            if report["findings"]
            else []
        ),
    ]
    detail = report_text(report["restore"]) if report["restore"] else report["run_text"]
    return joined([*head, *heading("In detail"), "", *detail.splitlines()])


def _finding(finding: dict[str, Any]) -> str:
    return f"{finding['message']} {finding['hint']} [{finding['code']}]"


def _figures(figures: dict[str, Any]) -> list[str]:
    ages = figures["ages"]
    slowest = sorted(figures["steps"].items(), key=lambda step: step[1], reverse=True)[:SLOWEST]
    return [
        *heading("Measured"),
        *wrapped(
            f"Time to restore (RTO): {_span(figures['rto_seconds'], 'not measured')}; target "
            f"{_span(figures['target_rto_seconds'])}."
        ),
        *wrapped(
            f"What a disaster would have cost (RPO): {_span(figures['rpo_seconds'], 'everything')}; target "
            f"{_span(figures['target_rpo_seconds'])}."
        ),
        *wrapped(
            f"Age when it began: of this recovery point {_span(ages['point'])}, of what can be restored of "
            f"SQL Server {_span(ages['sqlserver'])}, of Qdrant {_span(ages['qdrant'])}."
        ),
        *heading("The longest steps"),
        *(line for step, seconds in slowest for line in wrapped(f"{seconds:8.1f} s  {step}")),
    ]


def _span(seconds: float | None, nothing: str = "none") -> str:
    if seconds is None:
        return nothing
    return f"{seconds:.1f} s" if seconds < 60 else lasted(timedelta(seconds=seconds))
