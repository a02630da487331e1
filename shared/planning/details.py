"""What a person wants to know of each step of a plan, and of the plan as a whole, before it is executed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from shared.model.plans import Plan, Policy, StepDetail
from shared.planning.alternatives import alternatives
from shared.planning.consistency import sql_time
from shared.planning.durations import History, expectations, read_by, together
from shared.planning.resolving import Known
from shared.planning.statements import NOWHERE, Where, statement_of
from shared.planning.step_notes import interrupted, needs_of, overwritten_by
from shared.planning.windows import Window, restorable_windows

MOST_WINDOWS = 8
"""So many windows of a database are shown, the newest."""


def explain(
    plan: Plan,
    known: Known,
    history: History,
    *,
    where: Where = NOWHERE,
    windows: Mapping[str, Sequence[Window]] | None = None,
) -> Plan:
    """A plan with what there is to know of it; what will be executed, and so the digest, stays as it is.

    Args:
        plan: as the planner made it.
        known: what it was made from.
        history: what like steps took.
        where: the addresses that statements name.
        windows: the restorable windows by database, where they were computed before.

    Returns:
        The plan with ``details``, ``expected_seconds``, ``sql_at``, ``vectors_at``, ``windows`` and
        ``alternatives``.
    """
    steps = plan.execution.steps
    expected = expectations(steps, history)
    details = tuple(
        StepDetail(
            step_id=step.id,
            statement=statement_of(step, where),
            size=read_by(step),
            expected_seconds=expected[step.id].seconds,
            basis=expected[step.id].basis,
            interrupted=interrupted(step),
            needs=needs_of(step, plan, where),
            overwrites=overwritten_by(step, plan),
        )
        for step in steps
    )
    shown = windows_of(known) if windows is None else windows
    databases = {step.database for step in steps if step.kind == "sql_restore"}
    return plan.model_copy(
        update={
            "details": details,
            "expected_seconds": together(steps, expected),
            "sql_at": _sql_at(plan, known),
            "vectors_at": _vectors_at(plan, known),
            "windows": {name: told(shown.get(name, ())) for name in sorted(databases)},
            "alternatives": alternatives(plan, known),
        }
    )


def _sql_at(plan: Plan, known: Known) -> datetime | None:
    target = plan.execution.target
    if not any(step.kind == "sql_restore" for step in plan.execution.steps):
        return None
    if target.sql_stop.at:
        return target.sql_stop.at
    point = next((one for one in known.points if one.id == target.recovery_point_id), None)
    if plan.execution.policy is Policy.PAIRED and point:
        return sql_time(point)
    last = {step.database: step.backup_id for step in plan.execution.steps if step.kind == "sql_restore"}
    begun = {one.id: one.started_at for backups in known.backups.values() for one in backups}
    # What was committed when its backup began is surely in a log; of several databases the oldest counts.
    return min((begun[backup] for backup in last.values() if backup in begun), default=None)


def _vectors_at(plan: Plan, known: Known) -> datetime | None:
    target = plan.execution.target
    if not any(step.kind == "collection" for step in plan.execution.steps):
        return None
    ends = [one.finished_at for one in known.sets if one.id == target.snapshot_set_id]
    ends += [
        one.vectors.finished_at
        for one in known.points
        if one.vectors.snapshot_set_id == target.snapshot_set_id
    ]
    return max(ends, default=None)


def windows_of(known: Known) -> dict[str, list[Window]]:
    """The restorable windows of every database in use, the oldest first."""
    return {name: restorable_windows(backups) for name, backups in known.in_use.items()}


def told(windows: Sequence[Window]) -> tuple[str, ...]:
    """Windows in words, each with why it ends, the newest last; of many the newest."""
    left_out = len(windows) - MOST_WINDOWS
    first = (f"{left_out} older windows are not shown",) if left_out > 0 else ()
    return (*first, *(f"{window}: {window.why}" for window in windows[-MOST_WINDOWS:]))
