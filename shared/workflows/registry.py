"""Every workflow and every activity by name: what an engine must know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shared.composition import System
from shared.workflows import backups, point_activities, points, restores, starts
from shared.workflows.context import Workflow
from shared.workflows.outcomes import Activity

WORKFLOWS: dict[str, Workflow] = {
    "sql_backup": backups.sql_backup,
    "make_recovery_point": points.make_recovery_point,
    "restore": restores.restore,
}

_ACTIVITIES: dict[str, Callable[[System, dict[str, Any]], dict[str, Any]]] = {
    "begin_run": starts.begin_run,
    "end_run": starts.close_run,
    "back_up_database": backups.back_up_database,
    "verify_backup": backups.verify_backup,
    "list_snapshots": point_activities.list_snapshots,
    "take_snapshot": point_activities.take_snapshot,
    "end_snapshots": point_activities.end_snapshots,
    "commit_snapshot_set": point_activities.commit_snapshot_set,
    "set_mark": point_activities.set_mark,
    "commit_point": point_activities.commit_point,
    "begin_restore": restores.begin_restore,
    "restore_step": restores.restore_step,
    "await_health": restores.await_health,
    "end_restore": restores.end_restore,
}


def activities(system: Callable[[], System]) -> dict[str, Activity]:
    """The activities, each bound to the system that it works with.

    Args:
        system: gives the system; called when an activity runs, so that binding opens nothing.
    """

    def bound(perform: Callable[[System, dict[str, Any]], dict[str, Any]]) -> Activity:
        return lambda payload: perform(system(), payload)

    return {name: bound(perform) for name, perform in _ACTIVITIES.items()}
