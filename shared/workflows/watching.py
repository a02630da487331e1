"""Runs for who watches them: one with all that it keeps, or the newest of every kind."""

from __future__ import annotations

from typing import Any

from shared.composition import System
from shared.model.runs import Run, RunKind

LISTED = 50

WITH_CHECKLIST = (RunKind.RESTORE, RunKind.CHECK)
"""Kinds of runs that people give verdicts on."""


def run(system: System, kind: RunKind, run_id: str) -> dict[str, Any]:
    """A run of a kind as plain JSON, with the evidence of all steps and its report.

    Raises:
        NotFoundError: there is none of that id.
    """
    runs = system.catalogue.runs
    shown = runs.whole(runs.get(kind, run_id)).as_json()
    if kind in WITH_CHECKLIST:
        shown["manual_verdicts"] = [said.as_json() for said in system.catalogue.reports.verdicts(run_id)]
    return shown


def found(system: System, run_id: str) -> Run:
    """A run of any kind, whole.

    Raises:
        NotFoundError: there is none of that id.
    """
    return system.catalogue.runs.whole(system.catalogue.runs.find(run_id))


def newest(system: System, limit: int = LISTED) -> list[Run]:
    """The newest runs of every kind together, newest first."""
    known = [one for kind in RunKind for one in system.catalogue.runs.recent(kind, limit)]
    return sorted(known, key=lambda one: (one.started_at, one.id), reverse=True)[:limit]


def line(one: Run) -> dict[str, Any]:
    """What a listing tells of a run."""
    shown = one.as_json()
    wanted = ("id", "kind", "title", "state", "attempt", "slot", "started_at", "finished_at", "error")
    return {name: shown[name] for name in wanted}
