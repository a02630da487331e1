"""Every workflow and every activity by name: what an engine must know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shared.composition import System
from shared.workflows import (
    backups,
    checks,
    drill_activities,
    drills,
    point_activities,
    point_commit,
    point_marks,
    points,
    quarantine,
    restore_waiting,
    restores,
    starts,
)
from shared.workflows.context import Workflow
from shared.workflows.outcomes import Activity

WORKFLOWS: dict[str, Workflow] = {
    "sql_backup": backups.sql_backup,
    "make_recovery_point": points.make_recovery_point,
    "restore": restores.restore,
    "check_environment": checks.check_environment,
    "perform_drill": drills.perform_drill,
    "quarantine": quarantine.quarantine,
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
    "set_mark": point_marks.set_mark,
    "commit_point": point_commit.commit_point,
    "begin_restore": restores.begin_restore,
    "restore_step": restores.restore_step,
    "await_health": restore_waiting.await_health,
    "await_rehydration": restore_waiting.await_rehydration,
    "end_restore": restores.end_restore,
    "begin_check": checks.begin_check,
    "check_step": checks.check_step,
    "end_check": checks.end_check,
    "begin_drill": drill_activities.begin_drill,
    "plan_drill": drill_activities.plan_drill,
    "drill_step": drill_activities.drill_step,
    "clean_up_drill": drill_activities.clean_up_drill,
    "end_drill": drill_activities.end_drill,
    "quarantine_step": quarantine.quarantine_step,
    "end_quarantine": quarantine.end_quarantine,
}


def activities(system: Callable[[], System]) -> dict[str, Activity]:
    """The activities, each bound to the system that it works with.

    Args:
        system: gives the system; called when an activity runs, so that binding opens nothing.
    """

    def bound(perform: Callable[[System, dict[str, Any]], dict[str, Any]]) -> Activity:
        return lambda payload: perform(system(), payload)

    return {name: bound(perform) for name, perform in _ACTIVITIES.items()}
