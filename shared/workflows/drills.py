"""Drills: a recovery point restored into scratch copies that nobody uses, proven, measured and removed.

A drill never touches a live name: whatever its plan says, no step is done before all of them were seen to
write to copies of this drill only (:mod:`shared.planning.drilling`).
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from typing import Any

from shared.composition import System, for_drill
from shared.errors import NothingToRestoreError
from shared.model.drills import DrillRequest
from shared.model.findings import Finding, Severity
from shared.model.runs import Run, RunKind, State
from shared.planning.drill_figures import no_recent_drill
from shared.workflows.context import ActivityFailedError, Context, Task
from shared.workflows.drill_activities import DRILLS, RECENT, demand_quiet, left_over, new_drill
from shared.workflows.restores import collections
from shared.workflows.retrying import persistently
from shared.workflows.runs import Start, Ticket
from shared.workflows.starts import person_start

NO_PATIENCE = timedelta(0)
"""A drill does not wait for what another run holds; there is another day for it."""


def start_drill(system: System, request: DrillRequest, key: str | None = None) -> Start:
    """A drill that a person asked for. Nothing is restored yet.

    Args:
        system: the system.
        request: what to restore.
        key: the caller's idempotency key; the same key gives the same run.

    Raises:
        InvalidSettingsError: ``drill_servers_missing``: there is no server for it.
        NotFoundError, NothingToRestoreError: there is no such recovery point, or no complete one.
        LockedError: another drill, or a restore, is under way.
        RefusedError: the key was used for another request.
    """
    for_drill(system)
    named = request.recovery_point
    if named is not None:
        system.catalogue.points.get(named)
    elif not any(point.complete for point in system.catalogue.points.outlines()):
        raise NothingToRestoreError(
            "There is no complete recovery point.",
            "Make one first: `octopus-backup recovery-point`.",
            code="no_recovery_point",
        )
    own = system.catalogue.claims.run_for_key(f"{RunKind.DRILL.value}/{key}", system.new_id()) if key else ""
    with system.catalogue.locks.hold(DRILLS, system.new_id()):  # two starts at once must see one another
        demand_quiet(system, own)
        return person_start(system, RunKind.DRILL, {"recovery_point": named}, key, new_drill)


def perform_drill(ctx: Context, payload: dict[str, Any]) -> Generator[Task, Any, Any]:
    """The workflow of a drill. Whatever fails, the copies are removed, and a report is written."""
    begun = yield ctx.activity("begin_drill", payload)
    if not begun["go"]:
        return begun
    ticket = Ticket.of(payload).as_payload()
    ended = ticket
    try:
        groups = (yield from persistently(ctx, "plan_drill", ticket, lock_patience=NO_PATIENCE))["groups"]
        for kind, first, beyond in groups:
            yield from _group(ctx, [{**ticket, "index": index} for index in range(first, beyond)], kind)
    except ActivityFailedError as failure:
        ended = {**ticket, "error": failure.as_dict()}
    try:
        yield from persistently(ctx, "clean_up_drill", ticket, lock_patience=NO_PATIENCE)
    except ActivityFailedError as failure:
        ended = {**ticket, "error": failure.as_dict()} | ended
    return (yield from persistently(ctx, "end_drill", ended))


def _group(ctx: Context, payloads: list[dict[str, Any]], kind: str) -> Generator[Task, Any]:
    if kind == "collection":
        yield from collections(ctx, "drill_step", payloads, NO_PATIENCE)
        return
    for payload in payloads:
        yield from persistently(ctx, "drill_step", payload, lock_patience=NO_PATIENCE)


def last_drill(system: System) -> dict[str, Any] | None:
    """The last drill that has ended; None if there was none.

    Returns:
        ``id``, ``when`` (ISO, when it ended), ``verdict`` (``passed`` or ``failed``), ``recovery_point``,
        ``rto_seconds`` and ``rpo_seconds`` (None where not measured), ``target_rto_seconds``,
        ``target_rpo_seconds``, ``findings``.
    """
    drills = system.catalogue.runs.recent(RunKind.DRILL, RECENT)
    return next((_line(run) for run in drills if run.ended), None)


def _line(run: Run) -> dict[str, Any]:
    figures = run.result.get("figures") or {}
    names = ("rto_seconds", "target_rto_seconds", "rpo_seconds", "target_rpo_seconds")
    verdict = "passed" if run.state is State.SUCCEEDED else "failed"
    return {
        "id": run.id,
        "title": run.title,
        "state": run.state.value,
        "when": run.as_json()["finished_at"],
        "verdict": verdict if run.ended else None,
        "recovery_point": run.result.get("recovery_point"),
        **{name: figures.get(name) for name in names},
        "error": run.error.as_json() if run.error else None,
        "findings": [finding.as_json() for finding in run.findings],
    }


def drill_findings(system: System) -> list[Finding]:
    """What the status has to say of drills: none succeeded lately, or one has left copies behind."""
    now = system.clock.now()
    drills = system.catalogue.runs.recent(RunKind.DRILL, RECENT)
    good = next((run.finished_at for run in drills if run.state is State.SUCCEEDED), None)
    found = [no_recent_drill(good, now, timedelta(days=system.settings.drill.warn_days))]
    left = left_over(system)
    if left:
        found.append(
            Finding(
                code="drill_left_copies",
                severity=Severity.WARNING,
                message=f"Drill {left[0].id} was interrupted and may have left copies behind (drill_…).",
                hint="The next drill removes them; `octopus-backup drill --clean-up` does at once.",
            )
        )
    return [one for one in found if one]


def drills(system: System) -> dict[str, Any]:
    """The newest drills, newest first, and what is to be said of them."""
    newest = system.catalogue.runs.recent(RunKind.DRILL, RECENT)
    return {
        "drills": [_line(run) for run in newest],
        "findings": [finding.as_json() for finding in drill_findings(system)],
    }
