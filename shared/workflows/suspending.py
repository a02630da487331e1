"""Timers that leave alone what a restore works on, and how they are let on again.

A database that is being overwritten cannot be backed up, and a recovery point that is made of half restored
stores pairs what does not belong together. So a restore suspends the timers of what it is about to change,
and lifts that when its work on the stores is done. When it does not come to its end, only what is in service
is let on: a person hears of the rest from the status, and has the command that lifts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.catalogue import paths
from shared.catalogue.suspensions import Suspension
from shared.composition import System
from shared.errors import BackupSystemError, NotFoundError, RefusedError
from shared.model.findings import Finding, Severity
from shared.model.plans import CollectionStep, Plan, SwapStep
from shared.model.runs import Run, RunKind, State, StepState
from shared.workflows.backups import works_on_stores
from shared.workflows.left_behind import Condition, Left
from shared.workflows.runs import Ticket, end_run

LONGEST = timedelta(hours=24)
"""A suspension that is older is an error, whatever its restore does."""

SUSPENDED = "suspended"
"""In a restore's request: the scopes whose timers it suspends, each with its database or None."""

TIMER_OF_POINTS = "recovery_point"
TIMERS_OF_SQL = ("sql_full", "sql_differential", "sql_log")


@dataclass(frozen=True)
class Suspended:
    """What is suspended now; ``databases`` by case-folded name."""

    databases: dict[str, Suspension]
    vectors: Suspension | None

    def of(self, database: str) -> Suspension | None:
        """The suspension of a database's timers."""
        return self.databases.get(database.casefold())

    def of_points(self, databases: Iterable[str]) -> Suspension | None:
        """A suspension that stands against a recovery point of the vectors and these databases."""
        return self.vectors or next((one for name in databases if (one := self.of(name))), None)

    def stops(self, timer: str, databases: Sequence[str]) -> Suspension | None:
        """A suspension that leaves a timer nothing to do; its slot is kept for when it is lifted."""
        if timer == TIMER_OF_POINTS:
            return self.of_points(databases)
        if timer in TIMERS_OF_SQL and databases and all(self.of(name) for name in databases):
            return self.of(databases[0])
        return None


def suspended(system: System) -> Suspended:
    """What is suspended now."""
    found = system.catalogue.suspensions.all()
    databases = {one.database.casefold(): one for one in found if one.database}
    return Suspended(databases, next((one for one in found if one.database is None), None))


def scopes_of(system: System, plan: Plan) -> dict[str, str | None]:
    """The scopes that a restore changes in place, each with its database; what lies beside is not."""
    steps = plan.execution.steps
    ours = (
        {name.casefold(): name for name in system.settings.sqlserver.databases}
        if system.has_sqlserver
        else {}
    )
    touched = [*plan.execution.target_state.databases]
    touched += [name for step in steps if isinstance(step, SwapStep) for name in (step.live, step.restored)]
    named = {ours[name.casefold()] for name in touched if name.casefold() in ours}
    scopes: dict[str, str | None] = {}
    if named:
        server = system.sqlserver.server().name
        scopes = {paths.sql_scope(server, name): name for name in sorted(named)}
    if any(isinstance(step, CollectionStep) and step.target == step.collection for step in steps):
        scopes[paths.QDRANT_SCOPE] = None
    return scopes


def suspend(system: System, run: Run) -> None:
    """Suspend the timers of what a restore changes; may be repeated."""
    for scope, database in run.request.get(SUSPENDED, {}).items():
        known = system.catalogue.suspensions.find(scope)
        since = known.since if known and known.run_id == run.id else system.clock.now()
        what = f"backups of {database}, and recovery points" if database else "recovery points"
        system.catalogue.suspensions.set(
            Suspension(scope=scope, run_id=run.id, since=since, what=what, database=database)
        )


def lift_when_done(system: System, run: Run) -> None:
    """Let the timers on once a restore has done its work on the stores, though it still waits for the API."""
    if not works_on_stores(run):
        for scope in run.request.get(SUSPENDED, {}):
            _lift(system, scope, run.id)


def lift_at_end(system: System, run: Run, left: Sequence[Left]) -> None:
    """Let the timers on of what is in service after a restore that has ended."""
    whole = run.state is State.SUCCEEDED or not works_on_stores(run)
    half = not whole and _half_done(left)
    for scope, database in run.request.get(SUSPENDED, {}).items():
        if whole or (_in_service(system, database) if database else not half):
            _lift(system, scope, run.id)


def _half_done(left: Sequence[Left]) -> bool:
    """Whether some of it is restored and some is not: no two of these belong together."""
    conditions = {one.condition for one in left}
    return not (conditions <= {Condition.UNTOUCHED} or conditions <= {Condition.RESTORED})


def _in_service(system: System, database: str) -> bool:
    try:
        return system.sqlserver.inspect(database).state_desc == "ONLINE"
    except BackupSystemError:
        return False


def _lift(system: System, scope: str, run_id: str) -> None:
    known = system.catalogue.suspensions.find(scope)
    if known and known.run_id == run_id:  # else it is a later restore's
        system.catalogue.suspensions.lift(scope)


def skip_suspended(system: System, ticket: Ticket, run: Run) -> Run:
    """Skip the steps of a timer's run that are about what is suspended, each with a note that says why.

    A backup of several databases goes on with the others; a recovery point needs everything, and ends here.

    Returns:
        The run as it is then; it has ended as skipped where nothing is left to do.
    """
    held = suspended(system)
    if not (held.databases or held.vectors):
        return run
    whole = (
        held.of_points(system.settings.sqlserver.databases) if run.kind is RunKind.RECOVERY_POINT else None
    )

    def skipped(stored: Run) -> Run:
        steps = tuple(_skipped(step, whole or held.of(step.id.partition(":")[2])) for step in stored.steps)
        return stored.model_copy(update={"steps": steps})

    run = system.catalogue.runs.update(ticket.kind, ticket.run_id, ticket.attempt, skipped)
    if all(step.state is State.SKIPPED for step in run.steps):
        return end_run(system, ticket)
    return run


def _skipped(step: StepState, why: Suspension | None) -> StepState:
    if why is None or step.state is State.SUCCEEDED:
        return step
    what = why.database or "the collections"
    note = f"skipped: restore {why.run_id} works on {what}, or has not come to its end"
    return step.model_copy(update={"state": State.SKIPPED, "note": note})


def demand_none_half_restored(system: System) -> None:
    """Make sure that no restore has left behind what must not go into a recovery point.

    Raises:
        RefusedError: one that no longer works has.
    """
    now = system.clock.now()
    why = suspended(system).of_points(system.settings.sqlserver.databases)
    run = _run(system, why.run_id) if why else None
    if why and (run is None or run.ended or run.dead(now)):
        raise RefusedError(
            f"Restore {why.run_id} did not come to its end, so {why.database or 'the collections'} may be "
            "half restored: a recovery point of that would pair what does not belong together.",
            "Start its plan again; or see to it by hand, and then run "
            f"`octopus-backup resume-timers {why.database or why.scope}`.",
            code="timers_suspended",
        )


def suspensions(system: System) -> list[Finding]:
    """What is suspended, for the status: noteworthy while a restore works, an error when it was forgotten."""
    now = system.clock.now()
    return [_finding(system, one, now) for one in system.catalogue.suspensions.all()]


def _finding(system: System, one: Suspension, now: datetime) -> Finding:
    run = _run(system, one.run_id)
    at_work = run is not None and not run.ended and not run.dead(now)
    begun = f"since {one.since:%Y-%m-%d %H:%M:%S} UTC"
    if at_work and now - one.since <= LONGEST:
        return Finding(
            code="timers_suspended",
            severity=Severity.INFO,
            message=f"Suspended {begun}, while restore {one.run_id} works: {one.what}.",
            hint=f"They are resumed when its work on the stores is done (GET /api/restores/{one.run_id}).",
        )
    why = "still works" if at_work else "has not come to its end"
    return Finding(
        code="timers_suspended",
        severity=Severity.ERROR,
        message=f"Suspended {begun}, and restore {one.run_id} {why}: {one.what}.",
        hint=f"Start its plan again, or see to {one.database or 'the collections'} by hand and then run "
        f"`octopus-backup resume-timers {one.database or one.scope}`.",
    )


def _run(system: System, run_id: str) -> Run | None:
    try:
        return system.catalogue.runs.find(run_id)
    except NotFoundError:
        return None


def resume_timers(system: System, wanted: str) -> list[Suspension]:
    """Lift suspensions by hand.

    Args:
        system: the system.
        wanted: a scope as the status shows it, the name of a database, or ``qdrant``.

    Returns:
        What was lifted.

    Raises:
        NotFoundError: nothing of that name is suspended.
        RefusedError: the restore that it is suspended for is at work.
    """
    known = system.catalogue.suspensions.all()
    found = [
        one for one in known if wanted.casefold() in (one.scope.casefold(), (one.database or "").casefold())
    ]
    if not wanted or not found:
        names = ", ".join(one.database or one.scope for one in known) or "nothing is"
        raise NotFoundError(f"The timers of {wanted[:100]!r} are not suspended.", f"Suspended: {names}.")
    now = system.clock.now()
    for one in found:
        run = _run(system, one.run_id)
        if run and not run.ended and not run.dead(now) and works_on_stores(run):
            raise RefusedError(
                f"Restore {run.id} works on {one.database or 'the collections'} right now.",
                f"Wait for its end, or cancel it (octopus-backup cancel {run.id}).",
                code="restore_under_way",
            )
    for one in found:
        system.catalogue.suspensions.lift(one.scope)
    return found
