"""The report of a restore, or of a look at the environment: what was asked, what was done, what it proved.

The product's checklist is its spine: 1 to 5, each with the machine's verdict, its evidence and duration, and
beside it, never in its place, what people say.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from shared.model.findings import ErrorInfo
from shared.model.plans import Plan
from shared.model.points import RecoveryPoint
from shared.model.runs import Run, State, StepState
from shared.model.verdicts import Verdict
from shared.planning.words import lasted, sized
from shared.reporting.evidence import gathered
from shared.reporting.runs import error_lines
from shared.reporting.text import bullets, heading, joined, wrapped

CHECKLIST = {
    1: "SQL Server restored",
    2: "EF Core migrations checked",
    3: "Vector collections restored",
    4: "Octopus API healthy",
    5: "A conversation from end to end",
}


ENVIRONMENT = CHECKLIST | {
    1: "SQL Server holds Octopus' tables",
    2: "EF Core migrations in place",
    3: "Vector collections complete",
}
"""The same five, where nothing was restored."""

_ERASED = "erase_users"


def report(
    run: Run,
    plan: Plan | None,
    point: RecoveryPoint | None,
    *,
    verdicts: Sequence[Verdict] = (),
    software: str = "",
) -> dict[str, Any]:
    """The report as plain JSON data.

    An item is ``passed`` if all of its steps succeeded, ``failed`` if one failed, ``skipped`` if there is no
    step for it or every one was skipped, and ``not_reached`` otherwise.

    Args:
        run: the run, with the whole evidence of its steps.
        plan: the plan that it executes; None for a look at the environment.
        point: the recovery point that it is compared with, if there is one.
        verdicts: what people said, the oldest first.
        software: name and version of what did the work.
    """
    titles = CHECKLIST if plan else ENVIRONMENT
    items = [_item_of(run, number, title) for number, title in titles.items()]
    made = {
        "schema": 1,
        "kind": run.kind.value,
        "run_id": run.id,
        "state": run.state.value,
        "verdict": _whole(run, [str(item["verdict"]) for item in items]),
        "started_at": _time(run.started_at),
        "finished_at": _time(run.finished_at),
        "seconds": (run.finished_at - run.started_at).total_seconds() if run.finished_at else None,
        "attempts": run.attempt,
        "plan_id": plan.id if plan else None,
        "digest": plan.digest if plan else None,
        "summary": plan.summary if plan else run.title,
        "policy": plan.execution.policy.value if plan else None,
        "in_place": plan.execution.in_place if plan else None,
        "asked": _asked(run, plan),
        "recovery_point": _point(point) if point else None,
        "consistency": plan.consistency if plan else "",
        "losses": list(plan.losses) if plan else [],
        "size": plan.size if plan else 0,
        "checklist": items,
        "other_steps": [_step(step) for step in run.steps if step.checklist is None],
        "executed": [_executed(number, step) for number, step in enumerate(run.steps, 1)],
        "evidence": gathered(run, plan),
        "findings": [finding.as_json() for finding in (*(plan.findings if plan else ()), *run.findings)],
        "error": run.error.as_json() if run.error else None,
        "software": software,
    }
    return with_verdicts(made, verdicts)


def with_verdicts(made: dict[str, Any], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """A report with what people said since it was made, the oldest first; the machine's verdicts stay."""
    manual = [verdict.as_json() for verdict in verdicts]
    items = [
        {**item, "manual": [one for one in manual if one["item"] == item["number"]]}
        for item in made["checklist"]
    ]
    return {**made, "checklist": items, "manual_verdicts": manual}


def _item_of(run: Run, number: int, title: str) -> dict[str, Any]:
    steps = [step for step in run.steps if step.checklist == number]
    return {
        "number": number,
        "title": title,
        "verdict": _verdict(steps),
        "seconds": _seconds(steps),
        "steps": [_step(step) for step in steps],
    }


def _asked(run: Run, plan: Plan | None) -> dict[str, Any]:
    """What was asked for and by whom, as far as that is known; ids of erased users are never shown."""
    request = dict(plan.request if plan else run.request)
    erased, script = request.get(_ERASED), request.get("migration_script")
    if isinstance(erased, list):  # a plan keeps their number and a hash; ids are shown to nobody
        request[_ERASED] = len(erased)
    if isinstance(script, str):  # the step names it by its SHA-256
        request["migration_script"] = f"a text of {len(script):,} characters"
    return {
        "request": request,
        "made_at": _time(plan.made_at) if plan else None,
        "expires_at": _time(plan.expires_at) if plan else None,
        "started_by": run.request.get("started_by"),
        "fenced_by": run.request.get("fenced_by"),
        "digest_is": "SHA-256 over the canonical JSON (sorted keys, compact) of what the plan executes",
    }


def _executed(number: int, step: StepState) -> dict[str, Any]:
    return {
        "number": number,
        "id": step.id,
        "title": step.title,
        "checklist": step.checklist,
        "state": step.state.value,
        "started_at": _time(step.started_at),
        "finished_at": _time(step.finished_at),
        "seconds": _seconds([step]),
        "note": step.note,
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
    read = f"; {sized(report['size'])} read" if report["plan_id"] else ""
    kind = "RESTORE REPORT" if report["plan_id"] else "ENVIRONMENT CHECK"
    return joined(
        [
            *wrapped(f"{kind} {report['run_id']}: {report['verdict'].upper()}", ""),
            *wrapped(report["summary"], ""),
            *wrapped(f"Started {report['started_at']}{took}{read}.", ""),
            *(
                wrapped(f"Plan {report['plan_id']}, digest {report['digest']}.", "")
                if report["plan_id"]
                else []
            ),
            *heading("Checklist"),
            *(line for item in report["checklist"] for line in _item(item)),
            *(line for step in report["other_steps"] for line in _step_lines(step)),
            *(_of_the_plan(report) if report["plan_id"] else []),
            *_findings(report["findings"]),
            *_error(report["error"]),
        ]
    )


def _of_the_plan(report: dict[str, Any]) -> list[str]:
    return [
        *heading("What is consistent with what"),
        *wrapped(report["consistency"]),
        *heading("What is lost"),
        *(bullets(report["losses"]) or ["  Nothing."]),
    ]


def _item(item: dict[str, Any]) -> list[str]:
    took = f" ({lasted(timedelta(seconds=item['seconds']))})" if item["seconds"] else ""
    verdict = str(item["verdict"]).replace("_", " ").upper()
    lines = wrapped(f"{item['title']}: {verdict}{took}", f"  {item['number']}. ")
    for one in item["manual"]:
        says = f"{one['by']} says {one['verdict'].upper()} ({one['at']}): {one['reason']}"
        lines += wrapped(says, " " * 5 + "* ")
    if not item["steps"]:
        lines += wrapped("There is no step for it.", " " * 5)
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
