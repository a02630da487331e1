"""The restore report: the product's checklist, 1 to 5, each with verdict, evidence and duration."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from shared.model.findings import ErrorInfo
from shared.model.plans import Plan
from shared.model.points import RecoveryPoint
from shared.model.runs import Run, State, StepState
from shared.planning.words import lasted, sized
from shared.reporting.runs import error_lines
from shared.reporting.text import bullets, heading, joined, wrapped

CHECKLIST = {
    1: "SQL Server restored",
    2: "EF Core migrations checked",
    3: "Vector collections restored",
    4: "Octopus API healthy",
    5: "A conversation from end to end",
}


def report(run: Run, plan: Plan, point: RecoveryPoint | None) -> dict[str, Any]:
    """The report as plain JSON data.

    An item is ``passed`` if all of its steps succeeded, ``failed`` if one failed, ``skipped`` if the plan has
    no step for it or every one was skipped, and ``not_reached`` otherwise.
    """
    items = []
    for number, title in CHECKLIST.items():
        steps = [step for step in run.steps if step.checklist == number]
        items.append(
            {
                "number": number,
                "title": title,
                "verdict": _verdict(steps),
                "seconds": _seconds(steps),
                "steps": [_step(step) for step in steps],
            }
        )
    return {
        "schema": 1,
        "run_id": run.id,
        "state": run.state.value,
        "verdict": _whole(run, [str(item["verdict"]) for item in items]),
        "started_at": _time(run.started_at),
        "finished_at": _time(run.finished_at),
        "seconds": (run.finished_at - run.started_at).total_seconds() if run.finished_at else None,
        "attempts": run.attempt,
        "plan_id": plan.id,
        "digest": plan.digest,
        "summary": plan.summary,
        "policy": plan.execution.policy.value,
        "in_place": plan.execution.in_place,
        "recovery_point": _point(point) if point else None,
        "consistency": plan.consistency,
        "losses": list(plan.losses),
        "size": plan.size,
        "checklist": items,
        "other_steps": [_step(step) for step in run.steps if step.checklist is None],
        "findings": [finding.as_json() for finding in (*plan.findings, *run.findings)],
        "error": run.error.as_json() if run.error else None,
    }


def _point(point: RecoveryPoint) -> dict[str, Any]:
    return {
        "id": point.id,
        "name": point.name,
        "complete": point.complete,
        "vectors_ended_at": _time(point.vectors.finished_at),
        "sql_at": [_time(side.at) for side in point.sql],
        "marks": [side.mark_name for side in point.sql],
        "skew_seconds": point.skew_seconds,
    }


def _verdict(steps: Sequence[StepState]) -> str:
    states = {step.state for step in steps}
    if State.FAILED in states:
        return "failed"
    if states <= {State.SKIPPED}:
        return "skipped"
    return "passed" if states <= {State.SUCCEEDED, State.SKIPPED} else "not_reached"


def _whole(run: Run, verdicts: Sequence[str]) -> str:
    if run.state is State.FAILED or "failed" in verdicts:
        return "failed"
    return "passed" if run.state is State.SUCCEEDED and "not_reached" not in verdicts else "not_finished"


def _seconds(steps: Sequence[StepState]) -> float:
    return sum(
        (step.finished_at - step.started_at).total_seconds()
        for step in steps
        if step.started_at and step.finished_at
    )


def _time(time: datetime | None) -> str | None:
    return time.isoformat().replace("+00:00", "Z") if time else None


def _step(step: StepState) -> dict[str, Any]:
    return {
        "id": step.id,
        "title": step.title,
        "state": step.state.value,
        "seconds": _seconds([step]),
        "note": step.note,
        "evidence": step.evidence,
        "error": step.error.as_json() if step.error else None,
    }


def report_text(report: dict[str, Any]) -> str:
    """The report of :func:`report` for reading."""
    took = f", took {lasted(timedelta(seconds=report['seconds']))}" if report["seconds"] is not None else ""
    return joined(
        [
            *wrapped(f"RESTORE REPORT {report['run_id']}: {report['verdict'].upper()}", ""),
            *wrapped(report["summary"], ""),
            *wrapped(f"Started {report['started_at']}{took}; {sized(report['size'])} read.", ""),
            *wrapped(f"Plan {report['plan_id']}, digest {report['digest']}.", ""),
            *heading("Checklist"),
            *(line for item in report["checklist"] for line in _item(item)),
            *(line for step in report["other_steps"] for line in _step_lines(step)),
            *heading("What is consistent with what"),
            *wrapped(report["consistency"]),
            *heading("What is lost"),
            *(bullets(report["losses"]) or ["  Nothing."]),
            *_findings(report["findings"]),
            *_error(report["error"]),
        ]
    )


def _item(item: dict[str, Any]) -> list[str]:
    took = f" ({lasted(timedelta(seconds=item['seconds']))})" if item["seconds"] else ""
    verdict = str(item["verdict"]).replace("_", " ").upper()
    lines = wrapped(f"{item['title']}: {verdict}{took}", f"  {item['number']}. ")
    if not item["steps"]:
        lines += wrapped("The plan has no step for it.", " " * 5)
    return lines + [line for step in item["steps"] for line in _step_lines(step)]


def _step_lines(step: dict[str, Any]) -> list[str]:
    lines = wrapped(f"{step['title']}: {step['state']}", " " * 5, " " * 7)
    if step["note"]:
        lines += wrapped(step["note"], " " * 7)
    for key, value in step["evidence"].items():
        if value not in (None, [], {}):
            lines += wrapped(f"{key}: {_shown(value)}", " " * 9, " " * 11)
    if step["error"]:
        lines += wrapped(step["error"]["message"], " " * 7)
    return lines


MOST_SHOWN = 600
"""Characters of one piece of evidence in the text; the JSON report holds the whole."""


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}… (whole in the JSON report)"


def _findings(findings: Sequence[dict[str, Any]]) -> list[str]:
    if not findings:
        return []
    return [*heading("Findings"), *bullets(f"{f['message']} {f['hint']} [{f['code']}]" for f in findings)]


def _error(error: dict[str, Any] | None) -> list[str]:
    return [*heading("What went wrong"), *error_lines(ErrorInfo.model_validate(error))] if error else []
