"""The steps of a restore that back up, restore and prove a database, and what they leave as evidence."""

from __future__ import annotations

from shared.catalogue import paths
from shared.checklist import Judgement, Marker, judge_check, judge_sql
from shared.composition import System
from shared.model.backups import Kind, Store
from shared.model.plans import (
    AftermathStep,
    SqlProofStep,
    SqlRecoverStep,
    SqlRestoreStep,
    SqlTailStep,
)
from shared.workflows.backups import (
    BackUpDatabase,
    adopt_unrecorded,
    back_up,
    commit_backup,
    request_for,
)
from shared.workflows.restore_job import Job
from shared.workflows.runs import Work


def tail(job: Job, step: SqlTailStep) -> None:
    """Take the tail of the log and leave the live database RESTORING."""
    # An earlier attempt may have taken it, and not lived to write that down. It cannot be taken twice.
    adopt_unrecorded(job.system, job.ticket.run_id, step.database)
    scope = paths.sql_scope(job.system.sqlserver.server().name, step.database)
    about = BackUpDatabase(database=step.database, backup_kind=Kind.LOG, backup_id=step.backup_id)
    request = request_for(scope, about, f"a{job.ticket.attempt}")
    if job.system.catalogue.backups.find(Store.SQLSERVER, scope, Kind.LOG, step.backup_id) is None:
        made = job.system.sqlserver.take_tail(request, job.work.progress)
        commit_backup(job.system, job.ticket.run_id, request, made)
    job.work.evidence |= {"backup_id": step.backup_id}


def _backup_of(job: Job, database: str, kind: Kind) -> BackUpDatabase:
    """The backup that this step takes: the same one when the step is repeated."""
    runs, key = job.system.catalogue.runs, f"backup/{job.work.step.id}"
    kept = runs.find_part(job.ticket.run_id, key)
    if kept is None:
        about = BackUpDatabase(database=database, backup_kind=kind, backup_id=job.system.new_id())
        runs.save_part(job.ticket.run_id, key, about.as_json())
    else:
        about = BackUpDatabase.model_validate(kept)
    job.work.evidence |= about.as_json()
    return about


def restore(job: Job, step: SqlRestoreStep) -> None:
    """Restore one backup, NORECOVERY."""
    steps = job.plan.execution.steps
    mine = [one for one in steps if isinstance(one, SqlRestoreStep) and one.target == step.target]
    job.work.evidence |= job.system.sqlserver.restore(
        step,
        run_id=job.ticket.run_id,
        in_place=job.plan.execution.in_place,
        chain=[one.backup_set_uuid for one in mine],
        progress=job.work.progress,
    )


def recover(job: Job, step: SqlRecoverStep) -> None:
    """End the roll-forward."""
    job.work.evidence |= job.system.sqlserver.recover(step.target)


def prove(job: Job, step: SqlProofStep) -> None:
    """Compare marker row and row counts with the recovery point, then check the database if that is wanted.

    Raises:
        ProofFailedError: counts or marker row are not those of the point, or DBCC CHECKDB found errors.
    """
    counts = job.system.sqlserver.counts(step.target)
    rows = sum(count.value for count in counts.values())
    job.work.note = f"{rows:,} rows in {len(counts)} tables"
    expected = job.side(step.database)
    judgement = Judgement({"tables": {table: {"found": count.value} for table, count in counts.items()}})
    if job.point is None or expected is None:
        job.work.note += "; no recovery point to compare them with"
    else:
        marker = marker_in(job.system, step.target)
        judgement = judge_sql(expected, job.point.id, marker, counts, at_the_point=job.at_the_point)
    job.judge(judgement)
    if step.checkdb:  # hours of reading, so only of what is right so far
        job.judge(judgement.also(check_database(job.system, job.work, step.target)))
        job.work.note += "; DBCC CHECKDB found no error"


def marker_in(system: System, database: str) -> Marker | None:
    """The newest marker row of a database, for a judge."""
    row = system.sqlserver.marker(database)
    return Marker(row.mark_name, row.point_id) if row else None


def check_database(system: System, work: Work, database: str) -> Judgement:
    """Run DBCC CHECKDB and judge it; reads the whole database.

    Raises:
        BackupSystemError: it could not be checked; see ``SqlServerStore.check``.
    """
    found = system.sqlserver.check(database, work.progress)
    return judge_check(found.clean, found.allocation_errors, found.consistency_errors, found.messages)


def aftermath(job: Job, step: AftermathStep) -> None:
    """Take a full backup of what was restored in place."""
    manifest = back_up(job.system, job.ticket, _backup_of(job, step.database, Kind.FULL), job.work)
    job.work.evidence |= {"size": manifest.size}
