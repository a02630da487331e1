"""The read side: what is there, how old it is, and what is going on."""

from __future__ import annotations

from typing import Any

from shared.composition import System
from shared.errors import NotFoundError
from shared.model.hints import SetHint, SqlHint
from shared.model.points import RecoveryPoint
from shared.model.runs import Run, RunKind

LISTED = 200
"""How many backups or runs a listing shows, newest first."""


def backups(system: System) -> dict[str, Any]:
    """The newest backups of every store, and the newest runs."""
    found: list[SqlHint | SetHint] = [*system.catalogue.backups.all_sql_hints()]
    found += system.catalogue.backups.set_hints()
    # SQL Server tells whole seconds: of the same second, the ids say which came later.
    newest = sorted(found, key=lambda hint: (hint.finished_at, hint.id), reverse=True)[:LISTED]
    return {
        "backups": [_line(hint) for hint in newest],
        "runs": [run_line(run) for run in system.catalogue.runs.recent(RunKind.BACKUP, 20)],
    }


def _line(hint: SqlHint | SetHint) -> dict[str, Any]:
    shown = hint.as_json()
    common = {"id": hint.id, "finished_at": shown["finished_at"], "size": hint.size}
    if isinstance(hint, SqlHint):
        return {"store": "sqlserver", "kind": hint.kind.value, "database": hint.database, **common}
    return {
        "store": "qdrant",
        "kind": "snapshot_set",
        "collections": hint.collections,
        "complete": hint.complete,
        **common,
    }


def run_line(run: Run) -> dict[str, Any]:
    """A run in a list."""
    shown = run.as_json()
    wanted = ("id", "kind", "title", "state", "attempt", "slot", "started_at", "finished_at", "error")
    return {name: shown[name] for name in wanted}


def backup_or_run(system: System, wanted: str) -> dict[str, Any]:
    """A backup's run, or else a committed backup with its verifications.

    Raises:
        NotFoundError: neither has that id.
    """
    try:
        return system.catalogue.runs.get(RunKind.BACKUP, wanted).as_json()
    except NotFoundError:
        manifest = system.catalogue.backups.get(wanted)
    looks = [v.as_json() for v in system.catalogue.backups.verifications(wanted)]
    return {**manifest.as_json(), "verifications": looks}


def points(system: System) -> dict[str, Any]:
    """The recovery points, newest first, and the newest runs that made or make one."""
    return {
        "recovery_points": [point_line(point) for point in system.catalogue.points.newest(LISTED)],
        "runs": [run_line(run) for run in system.catalogue.runs.recent(RunKind.RECOVERY_POINT, 20)],
    }


def pin(system: System, wanted: str, *, pinned: bool) -> dict[str, Any]:
    """Keep a recovery point whatever the retention says, or leave it to the retention again.

    Raises:
        NotFoundError: there is no point of that id or name.
    """
    return point_line(system.catalogue.points.pin(wanted, pinned, system.clock.now()))


def point_line(point: RecoveryPoint) -> dict[str, Any]:
    """A recovery point in a list."""
    shown = point.as_json()
    wanted = ("id", "name", "made_at", "slot", "complete", "reasons", "skew_seconds", "pinned")
    return {
        **{name: shown[name] for name in wanted},
        "databases": [side.database for side in point.sql],
        "collections": len(point.vectors.collections),
        "points": sum(count.value for count in point.vectors.collections.values()),
    }


def runs(system: System, kind: RunKind) -> dict[str, Any]:
    """The newest runs of a kind."""
    return {"runs": [run_line(run) for run in system.catalogue.runs.recent(kind, 50)]}
