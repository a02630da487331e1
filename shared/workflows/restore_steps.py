"""Which function does which step of a restore, under which locks, and what is looked at before."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from shared.catalogue import paths
from shared.errors import ConflictError
from shared.model.backups import Kind
from shared.model.plans import (
    AftermathStep,
    AliasesStep,
    CollectionStep,
    ConversationStep,
    ErasuresStep,
    FenceStep,
    GapStep,
    MigrationsStep,
    OrphansStep,
    SafetyStep,
    SqlProofStep,
    SqlRecoverStep,
    SqlRestoreStep,
    SqlTailStep,
    Step,
    SwapStep,
)
from shared.workflows import (
    restore_checks,
    restore_erasures,
    restore_migrations,
    restore_safety,
    restore_service,
    restore_sql,
    restore_vectors,
)
from shared.workflows.left_behind import begun_key
from shared.workflows.restore_job import Job

_WRITES = (
    SqlTailStep
    | SqlRestoreStep
    | SqlRecoverStep
    | MigrationsStep
    | ErasuresStep
    | SwapStep
    | CollectionStep
    | AliasesStep
)
"""Steps that change a database or a collection."""


def perform(job: Job, step: Step) -> None:
    """Do one step.

    Raises:
        BackupSystemError: it failed; says what that means and what to do.
    """
    _look_before(job, step)
    locks = job.system.catalogue.locks
    with ExitStack() as stack:
        held = [stack.enter_context(locks.hold(name, job.ticket.run_id)) for name in _locks(job, step)]
        run_is_ours = job.work.check

        def check() -> None:
            run_is_ours()
            for lock in held:
                lock.check()

        job.work.check = check  # asked with every sign of progress, so that a lost lock ends the statement
        _PERFORM[type(step)](job, step)


def _look_before(job: Job, step: Step) -> None:
    """What must hold before a step writes: its targets are still this run's, and Octopus is still stopped.

    Raises:
        ConflictError: another run has taken the targets over.
        StoreError: the Octopus API has come up (``octopus_came_up``).
    """
    if isinstance(step, _WRITES):
        restores = "targets" in job.work.run.request  # a drill holds none: nobody else knows its names
        if restores and not job.system.catalogue.targets.holds(job.ticket.run_id):
            raise _lost(job.ticket.run_id)
        restore_service.demand_stopped(job, always=not isinstance(step, CollectionStep))
    elif isinstance(step, OrphansStep):  # what it compares must not change any more
        restore_service.demand_stopped(job)
    if isinstance(step, SqlRestoreStep) and step.backup_kind is Kind.FULL:
        begun = {"attempt": job.ticket.attempt}
        job.system.catalogue.runs.save_part(job.ticket.run_id, begun_key(step.id), begun)


def _lost(run_id: str) -> ConflictError:
    error = ConflictError(
        f"Restore {run_id} no longer holds its targets: it has ended, or another one took them over.",
        "Look at both runs (octopus-backup runs). Start the plan again if it is still wanted.",
        code="targets_lost",
        meaning="The step was not begun.",
    )
    error.retryable = False
    return error


def _locks(job: Job, step: Step) -> list[str]:
    """A backup of the database that is under way ends first."""
    if isinstance(step, SwapStep):
        names = [step.restored, step.live]
    elif isinstance(step, SqlTailStep):
        names = [step.database]
    elif isinstance(step, SqlRestoreStep | SqlRecoverStep):
        names = [step.target]
    else:
        return []
    server = job.system.sqlserver.server().name
    return [f"{paths.sql_scope(server, name)}/{what}" for name in names for what in ("data", "log")]


_PERFORM: dict[type, Callable[[Job, Any], None]] = {
    FenceStep: restore_service.fence,
    SwapStep: restore_service.swap,
    SqlTailStep: restore_sql.tail,
    SqlRestoreStep: restore_sql.restore,
    SqlRecoverStep: restore_sql.recover,
    SqlProofStep: restore_sql.prove,
    MigrationsStep: restore_migrations.migrations,
    ErasuresStep: restore_erasures.erase,
    GapStep: restore_safety.gap,
    SafetyStep: restore_safety.safety,
    CollectionStep: restore_vectors.collection,
    AliasesStep: restore_vectors.aliases,
    OrphansStep: restore_vectors.compare_agents,
    ConversationStep: restore_checks.converse,
    AftermathStep: restore_sql.aftermath,
}
