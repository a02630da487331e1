"""How long steps took: kept when a run ends, and what plans expect from it."""

from __future__ import annotations

from collections.abc import Iterable

from shared.composition import System
from shared.model.measures import Measures
from shared.model.plans import Plan
from shared.model.runs import Run, State
from shared.planning.details import explain, windows_of
from shared.planning.durations import History, measured
from shared.planning.resolving import Known
from shared.planning.statements import Where


def keep_measures(system: System, run: Run, plan: Plan) -> None:
    """Keep how long the steps of a restore or a drill took that succeeded. May be repeated.

    A run that was broken off and taken up again is left out: the time in which nobody worked on it would be
    among that of its steps.

    Args:
        system: the system.
        run: as it ended.
        plan: what it executed.

    Raises:
        UnreachableError, NotPermittedError, StorageError: it could not be written.
    """
    seconds = {
        step.id: max(0.0, (step.finished_at - step.started_at).total_seconds())
        for step in run.steps
        if step.state is State.SUCCEEDED and step.started_at and step.finished_at
    }
    steps = measured(plan.execution.steps, seconds)
    if run.attempt == 1 and steps:
        at = run.finished_at or run.heartbeat_at
        system.catalogue.measures.save(Measures(run_id=run.id, measured_at=at, steps=steps))


def explained(system: System, plans: Iterable[Plan], what: Known) -> list[Plan]:
    """Plans with what there is to know of them: statements, durations, windows, alternatives.

    Args:
        system: the system; its storage and settings are looked at, no server is.
        plans: all made from the same.
        what: what they were made from.

    Raises:
        UnreachableError, NotPermittedError, StorageError: the storage does not answer.
    """
    history, windows = History(system.catalogue.measures.recent()), windows_of(what)
    sql = system.settings.sqlserver
    where = Where(system.storage.url, sql.backup_dir if sql.medium == "disk" else None)
    return [explain(plan, what, history, where=where, windows=windows) for plan in plans]
