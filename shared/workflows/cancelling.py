"""A restore that a person stops: noticed between two steps and with every sign of progress inside one."""

from __future__ import annotations

from typing import Any

from shared.composition import System
from shared.errors import NotFoundError, RefusedError
from shared.model.runs import Cancellation, Run, RunKind
from shared.workflows.restores import end
from shared.workflows.runs import Ticket

CANCELLABLE = (RunKind.RESTORE, RunKind.DRILL, RunKind.CHECK)
"""What works by a plan. A backup is not worth it: it changes nothing, and ends by itself."""


def cancel(system: System, run_id: str, by: str) -> Run:
    """Ask a run to stop. It goes on until it notices; nothing is undone.

    A run whose host is dead has nobody to notice it, so it is ended here. Asking twice changes nothing.

    Args:
        system: the system.
        run_id: the run.
        by: the name of who wants it.

    Returns:
        The run as it is now.

    Raises:
        NotFoundError: there is no such run, or it is of a kind that cannot be cancelled.
        RefusedError: it has ended.
    """
    run = _find(system, run_id)
    dead = run.dead(system.clock.now())

    def asked(stored: Run) -> Run:
        if stored.ended:
            raise RefusedError(
                f"Run {stored.id} has ended: {stored.state}.",
                f"There is nothing to cancel. Look at it (octopus-backup show {stored.id}).",
                code="run_ended",
            )
        if stored.cancel:
            return stored
        update: dict[str, Any] = {"cancel": Cancellation(by=by, at=system.clock.now())}
        if dead:  # its host must find that it lost the run, should it only have slept
            update |= {"attempt": stored.attempt + 1}
        return stored.model_copy(update=update)

    run = system.catalogue.runs.update(run.kind, run.id, run.attempt, asked)
    return end(system, Ticket(run.kind, run.id, run.attempt)) if dead else run


def _find(system: System, run_id: str) -> Run:
    for kind in CANCELLABLE:
        try:
            return system.catalogue.runs.get(kind, run_id)
        except NotFoundError:
            continue
    raise NotFoundError(f"There is no restore {run_id[:40]!r}.", "`octopus-backup runs` lists them.")
