"""The steps of a restore that work on SQL Server, and what they leave as evidence."""

from __future__ import annotations

from shared.catalogue import paths
from shared.checklist import Marker, judge_migrations, judge_sql
from shared.model.backups import Kind, Store
from shared.model.plans import (
    AftermathStep,
    MigrationsStep,
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
    job.work.evidence |= job.system.sqlserver.restore(
        step,
        run_id=job.ticket.run_id,
        in_place=job.plan.execution.in_place,
        progress=job.work.progress,
    )


def recover(job: Job, step: SqlRecoverStep) -> None:
    """End the roll-forward."""
    job.work.evidence |= job.system.sqlserver.recover(step.target)


def prove(job: Job, step: SqlProofStep) -> None:
    """Compare marker row and row counts with the recovery point."""
    counts = job.system.sqlserver.counts(step.target)
    rows = sum(count.value for count in counts.values())
    job.work.note = f"{rows:,} rows in {len(counts)} tables"
    expected = job.side(step.database)
    if job.point is None or expected is None:
        job.work.evidence |= {"tables": {table: count.value for table, count in counts.items()}}
        job.work.note += "; no recovery point to compare them with"
        return
    row = job.system.sqlserver.marker(step.target)
    marker = Marker(row.mark_name, row.point_id) if row else None
    job.judge(judge_sql(expected, job.point.id, marker, counts, at_the_point=job.at_the_point))


def migrations(job: Job, step: MigrationsStep) -> None:
    """Compare the migration history's head and the tables with the recovery point."""
    found = job.system.sqlserver.migrations(step.target)
    job.work.note = f"head {found.head}, {len(found.tables)} tables"
    side = job.side(step.database)
    head = side.migration if side and job.at_the_point else None
    job.judge(judge_migrations(head, side.tables if side else (), found.head, found.tables))


def aftermath(job: Job, step: AftermathStep) -> None:
    """Take a full backup of what was restored in place."""
    manifest = back_up(job.system, job.ticket, _backup_of(job, step.database, Kind.FULL), job.work)
    job.work.evidence |= {"size": manifest.size}
