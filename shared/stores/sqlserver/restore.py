"""RESTORE: one backup at a time, always NORECOVERY, safe to repeat; recovery is a step of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.errors import BackupSystemError, IntegrityError, RefusedError, SqlServerError
from shared.model.backups import Kind
from shared.model.plans import SqlRestoreStep
from shared.stores.sqlserver import history, inspection, messages, statements, targets
from shared.stores.sqlserver.connection import Server, Session
from shared.stores.sqlserver.execute import Progress, run_long, scaled
from shared.stores.sqlserver.history import BackupRow
from shared.stores.sqlserver.inspection import ServerInfo
from shared.stores.sqlserver.media import Medium
from shared.stores.sqlserver.messages import Message
from shared.stores.sqlserver.server_time import to_local, to_utc
from shared.stores.sqlserver.statements import Devices, Stop, StopAt, StopAtMark
from shared.stores.sqlserver.targets import Admission

_REDO = "SELECT MAX(redo_start_lsn) FROM sys.master_files WHERE database_id = DB_ID(?);"


def restore(
    server: Server,
    medium: Medium,
    step: SqlRestoreStep,
    *,
    run_id: str,
    in_place: bool,
    chain: Sequence[str],
    progress: Progress,
) -> dict[str, Any]:
    """Restore one backup to the step's target and leave it RESTORING.

    A step whose backup set is already restored is recognised and does nothing; one that was interrupted is
    done again from its own beginning. ``chain`` as in ``targets.admit``.

    Returns:
        Evidence: what was restored, SQL Server's own words, whether the stop point was reached.

    Raises:
        TargetInTheWayError, RefusedError: see ``targets.admit``.
        IntegrityError: a blob is gone, changed or damaged, or holds another backup than planned.
        SqlServerError: SQL Server refused; ``stop_not_reached`` when the last log ends before the target.
        OutcomeUnknownError: the connection was lost; repeat the step.
    """
    statements.target_name(step.target)  # refused before anything is sent
    with server.session() as session:
        info = inspection.server_info(session)
        admission = targets.admit(session, info, step, run_id=run_id, in_place=in_place, chain=chain)
        stop = _stop(step)
    answer: list[Message] = []
    if not admission.applied:
        with medium.lend(step.files, scaled(progress, 0, 40)) as devices:
            answer = run_long(
                server,
                _statement(step, devices, stop, admission),
                proof=messages.BACKUP_DONE,
                progress=scaled(progress, 40, 100),
            )
    with server.session() as session:
        row = _restored(session, info, step)
        evidence = _evidence(step, row, answer, skipped=admission.applied)
        if stop is not None and step.last:
            reached = _reached(session, step, row, answer, skipped=admission.applied)
            evidence["stop_reached"] = reached
            if not reached:
                _forgive_idle_night(step, row, answer)
    progress(100)
    return evidence


def recover(server: Server, target: str) -> dict[str, Any]:
    """End the roll-forward: the target becomes usable, and nothing more can be restored to it.

    Returns:
        Evidence: the state, and whether it was so already.

    Raises:
        RefusedError: the target is neither RESTORING nor ONLINE.
        BackupSystemError: SQL Server refused, or the connection was lost; repeat the step.
    """
    with server.session() as session:
        before = inspection.database_state(session, target)
    if before.state_desc not in (inspection.RESTORING, inspection.ONLINE):
        raise RefusedError(
            f"{target} is {before.state_desc}, so it cannot be recovered.",
            "Restore its backups first.",
            code="target_not_restoring",
        )
    skipped = before.state_desc == inspection.ONLINE
    if not skipped:
        run_long(
            server, statements.recover(target), proof=messages.BACKUP_DONE, progress=lambda _percent: None
        )
    with server.session() as session:
        after = inspection.database_state(session, target)
        if after.state_desc == inspection.ONLINE and after.user_access != "MULTI_USER":
            session.run(statements.multi_user(target))  # an in-place restore closed it
        after = inspection.database_state(session, target)
    if after.state_desc != inspection.ONLINE:
        raise SqlServerError(
            f"{target} was recovered, but is {after.state_desc}.",
            number=messages.BACKUP_DONE,
            hint="Read SQL Server's error log; the database is not usable yet.",
            code="not_online",
            meaning="The restore is not finished.",
        )
    return {
        "target": target,
        "state": after.state_desc,
        "user_access": after.user_access,
        "recovery_model": after.recovery_model,
        "skipped": skipped,
    }


def _stop(step: SqlRestoreStep) -> Stop:
    if step.backup_kind is not Kind.LOG:
        return None
    if step.stop.mark:
        return StopAtMark(step.stop.mark)
    if step.stop.at is None:
        return None
    # Log records carry the local time of the server that wrote them, whatever the zone of this one is.
    return StopAt(to_local(step.stop.at, step.utc_offset_minutes))


def _statement(step: SqlRestoreStep, devices: Devices, stop: Stop, admission: Admission) -> str:
    if step.backup_kind is Kind.FULL:
        return statements.restore_full(step.target, devices, moves=admission.moves, replace=admission.replace)
    if step.backup_kind is Kind.DIFFERENTIAL:
        return statements.restore_differential(step.target, devices)
    return statements.restore_log(step.target, devices, stop)


def _restored(session: Session, info: ServerInfo, step: SqlRestoreStep) -> BackupRow:
    """The backup set that was restored, as msdb knows it.

    Raises:
        IntegrityError: it is not the one that the step names.
    """
    row = history.backup_by_uuid(session, info, step.backup_set_uuid)
    done = [one.backup_set_uuid for one in history.restored_sets(session, info, step.target)]
    if row is None or step.backup_set_uuid.lower() not in done:
        raise IntegrityError(
            f"The files of backup {step.backup_id} hold another backup set than its manifest says.",
            f"Do not use {step.target}; drop it and plan the restore again without this backup.",
            code="wrong_backup_set",
        )
    return row


def _evidence(
    step: SqlRestoreStep, row: BackupRow, answer: list[Message], *, skipped: bool
) -> dict[str, Any]:
    done = next((message.text for message in answer if message.number == messages.BACKUP_DONE), None)
    valid = row.last_valid_restore_time
    return {
        "target": step.target,
        "backup_id": step.backup_id,
        "backup_kind": step.backup_kind.value,
        "backup_set_uuid": step.backup_set_uuid,
        "last_lsn": str(int(row.values["last_lsn"])),
        "last_commit": valid.isoformat().replace("+00:00", "Z") if valid else None,
        "bytes": sum(ref.size for ref in step.files),
        "server_said": done,
        "skipped": skipped,
    }


def _reached(
    session: Session, step: SqlRestoreStep, row: BackupRow, answer: list[Message], *, skipped: bool
) -> bool:
    """Whether the roll-forward stopped inside the log.

    For a step that was done before, and whose answer was lost, the database tells: redo goes on from behind
    the mark. Where the mark's place is not known, it goes on from before the end of the log.
    """
    if not skipped:
        return not any(message.number in messages.STOP_NOT_REACHED for message in answer)
    redo = session.rows(_REDO, step.target)[0][0]
    if redo is None or step.stop_lsn is None:
        return redo is not None and int(redo) < int(row.values["last_lsn"])
    return int(redo) > step.stop_lsn


def _forgive_idle_night(step: SqlRestoreStep, row: BackupRow, answer: list[Message]) -> None:
    """A log backup that began at or after a wanted time holds everything up to it.

    SQL Server says "not reached" all the same when nothing was committed between the target and the end of
    that log.

    Raises:
        SqlServerError: the target really lies behind the end of this log.
    """
    # The row is of this server's msdb, which may have taken the local time of the log's maker for its own.
    began = to_utc(to_local(row.started_at, row.utc_offset_minutes), step.utc_offset_minutes)
    if step.stop.at is not None and began >= step.stop.at:
        return
    said = next((m for m in answer if m.number in messages.STOP_NOT_REACHED), None)
    raise stop_not_reached(step, said)


def stop_not_reached(step: SqlRestoreStep, said: Message | None) -> BackupSystemError:
    """The error of a chain that ends before its target."""
    target = f"the mark {step.stop.mark}" if step.stop.mark else f"{step.stop.at:%Y-%m-%d %H:%M:%S} UTC"
    words = f" SQL Server's message {said.number}: {said.text}" if said else ""
    return SqlServerError(
        f"The last log backup of the plan ends before {target}.{words}",
        said.number if said else min(messages.STOP_NOT_REACHED),
        "Plan the restore again when a later log backup is there; or plan it to an earlier target.",
        code="stop_not_reached",
        meaning=f"{step.target} is left RESTORING and can take further logs.",
    )
