"""Which function does which step of a restore, and under which locks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from shared.catalogue import paths
from shared.model.plans import (
    AftermathStep,
    AliasesStep,
    CollectionStep,
    ConversationStep,
    MigrationsStep,
    OrphansStep,
    SqlProofStep,
    SqlRecoverStep,
    SqlRestoreStep,
    SqlTailStep,
    Step,
)
from shared.workflows import restore_checks, restore_sql, restore_vectors
from shared.workflows.restore_job import Job


def perform(job: Job, step: Step) -> None:
    """Do one step.

    Raises:
        BackupSystemError: it failed; says what that means and what to do.
    """
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


def _locks(job: Job, step: Step) -> list[str]:
    """A backup of the database that is under way ends first."""
    if isinstance(step, SqlTailStep | SqlRestoreStep | SqlRecoverStep):
        target = step.database if isinstance(step, SqlTailStep) else step.target
        scope = paths.sql_scope(job.system.sqlserver.server().name, target)
        return [f"{scope}/data", f"{scope}/log"]
    return []


_PERFORM: dict[type, Callable[[Job, Any], None]] = {
    SqlTailStep: restore_sql.tail,
    SqlRestoreStep: restore_sql.restore,
    SqlRecoverStep: restore_sql.recover,
    SqlProofStep: restore_sql.prove,
    MigrationsStep: restore_sql.migrations,
    CollectionStep: restore_vectors.collection,
    AliasesStep: restore_vectors.aliases,
    OrphansStep: restore_checks.compare_agents,
    ConversationStep: restore_checks.converse,
    AftermathStep: restore_sql.aftermath,
}
