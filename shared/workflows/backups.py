"""Backups of SQL Server: full, differential, log."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from shared.catalogue import paths
from shared.catalogue.targets import held_by
from shared.composition import System
from shared.errors import BackupSystemError, IntegrityError, NotFoundError, NotPermittedError
from shared.model.backups import Kind, Manifest, SqlFacts, Store, Verification
from shared.model.base import Document
from shared.model.findings import Finding, Severity
from shared.model.hints import SqlHint
from shared.model.runs import Run, State, StepState
from shared.stores.sqlserver import SqlBackup, SqlBackupRequest
from shared.workflows.context import ActivityFailedError, Context, Task
from shared.workflows.retrying import LOCK_PATIENCE, persistently
from shared.workflows.runs import Ticket, Work, working

log = logging.getLogger(__name__)


def made_by() -> str:
    """The name and version of this software, for manifests."""
    try:
        return f"octopus-backup {version('octopus-backup')}"
    except PackageNotFoundError:  # deployed as files, not as a package
        return "octopus-backup"


class BackUpDatabase(Document):
    """What a step that backs up one database is about; kept in the step's evidence from the start."""

    database: str
    backup_kind: Kind
    backup_id: str


def backup_steps(system: System, kind: Kind, databases: tuple[str, ...]) -> tuple[StepState, ...]:
    """The steps of a backup run: for each database the backup, then its verification."""
    steps = []
    for database in databases:
        about = BackUpDatabase(database=database, backup_kind=kind, backup_id=system.new_id()).as_json()
        steps += [
            StepState(id=f"back-up:{database}", title=f"Back up {database} ({kind})", evidence=about),
            StepState(id=f"verify:{database}", title=f"Verify that backup of {database}", evidence=about),
        ]
    return tuple(steps)


def sql_backup(ctx: Context, payload: dict[str, Any]) -> Generator[Task, Any, Any]:
    """The workflow of a backup run. One database that fails does not stop the others."""
    begun = yield ctx.activity("begin_run", payload)
    if not begun["go"]:
        return begun
    ticket = Ticket.of(payload).as_payload()
    # The next log backup comes soon, and holds what this one would have; nothing is won by a queue of them.
    patience = timedelta(0) if payload["request"]["backup_kind"] == Kind.LOG else LOCK_PATIENCE
    failed: set[str] = set()
    for step in begun["steps"]:
        verb, database = step.split(":", 1)
        if database in failed:
            continue
        activity = "back_up_database" if verb == "back-up" else "verify_backup"
        try:
            yield from persistently(ctx, activity, {**ticket, "step": step}, lock_patience=patience)
        except ActivityFailedError:
            failed.add(database)  # written down with the step
    return (yield ctx.activity("end_run", ticket))


def back_up_database(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: one backup, from the lock to the manifest. A repetition finds what is already done."""
    ticket = Ticket.of(payload)
    with working(system, ticket, payload["step"]) as work:
        manifest = back_up(system, ticket, BackUpDatabase.model_validate(work.evidence), work)
        work.evidence |= _summary(manifest)
        return {"backup_id": manifest.id}


def back_up(system: System, ticket: Ticket, about: BackUpDatabase, work: Work) -> Manifest:
    """Take a backup under its lock and commit it, unless it was committed before.

    Raises:
        LockedError: another run backs the database up, or restores it.
        BackupSystemError: it failed; no backup was recorded.
    """
    refuse_while_restored(system, ticket, [f"database:{about.database}"])
    scope = paths.sql_scope(system.sqlserver.server().name, about.database)
    is_log = about.backup_kind is Kind.LOG
    with system.catalogue.locks.hold(f"{scope}/{'log' if is_log else 'data'}", ticket.run_id) as held:
        if is_log:
            adopt_unrecorded(system, ticket.run_id, about.database)
        done = system.catalogue.backups.find(Store.SQLSERVER, scope, about.backup_kind, about.backup_id)
        if done:
            return done
        request = request_for(scope, about, f"a{ticket.attempt}")
        made = system.sqlserver.back_up(request, work.progress)
        work.check()
        held.check()
        findings = _findings(system, made.facts, about.backup_kind)
        work.note = " ".join(finding.message for finding in findings)
        return commit_backup(system, ticket.run_id, request, made, slot=work.run.slot, findings=findings)


def request_for(scope: str, about: BackUpDatabase, attempt: str) -> SqlBackupRequest:
    """What the store is asked for: the backup under the names that belong to this attempt at it.

    Raises:
        NotFoundError: its id is not one that a backup of ours can have.
    """
    return SqlBackupRequest(
        backup_id=about.backup_id,
        attempt=attempt,
        database=about.database,
        kind=about.backup_kind,
        prefix=paths.data_prefix(Store.SQLSERVER, scope, about.backup_kind, about.backup_id, attempt),
    )


RESTORES = "restores"
"""The lock under which a restore or a recovery point looks whether the other kind is under way."""


def refuse_while_restored(system: System, ticket: Ticket, targets: Iterable[str]) -> None:
    """Make sure that no other run restores to one of these targets.

    A restore that has done its work on the stores, and only waits for the API, is in nobody's way.

    Args:
        system: the system.
        ticket: the run that asks; it is not in its own way.
        targets: ``database:{name}`` and ``collection:{name}``, as a restore's request lists them.

    Raises:
        LockedError: a restore that lives works on one of them; says which.
    """
    wanted = list(targets)
    found = system.catalogue.targets.holder(wanted, besides=ticket.run_id)
    if found and (found[0] is None or works_on_stores(found[0])):
        raise held_by(found[1], wanted)


_WORK_ON_STORES = ("-sql_", "-migrations", "-erasures", "-swap", "-collection", "-aliases", "-clean_up")
"""What is in the ids of steps that write to a database or a collection, or look whether that went well."""


def works_on_stores(restore: Run) -> bool:
    """Whether a step of it that writes to a database or a collection is still to be done."""
    undone = [step.id for step in restore.steps if step.state is not State.SUCCEEDED]
    return any(kind in step for step in undone for kind in _WORK_ON_STORES)


def commit_backup(
    system: System,
    run_id: str,
    request: SqlBackupRequest,
    made: SqlBackup,
    *,
    slot: datetime | None = None,
    findings: tuple[Finding, ...] = (),
) -> Manifest:
    """Write the manifest: from here on the backup exists."""
    manifest = Manifest(
        id=request.backup_id,
        store=Store.SQLSERVER,
        scope=paths.sql_scope(made.facts.server, made.facts.database),
        kind=request.kind,
        run_id=run_id,
        attempt=request.attempt,
        slot=slot,
        started_at=made.started_at,
        finished_at=made.finished_at,
        made_by=made_by(),
        facts=made.facts,
        findings=findings,
    )
    system.catalogue.backups.commit(manifest)
    return manifest


ADOPTED = Finding(
    code="adopted",
    severity=Severity.INFO,
    message="SQL Server had made this backup, but its manifest was missing; it was added later.",
)


def adopt_unrecorded(system: System, run_id: str, database: str) -> None:
    """Commit log backups of ours that SQL Server made, but whose manifest was never written.

    A log backup whose host died before the manifest cannot be made again: the log is truncated. Left out, it
    would be a gap that no later log bridges. One that cannot be adopted any more (its file is gone) is that
    gap; it must not stop the next log backup, which says so.

    Raises:
        BackupSystemError: it could not be adopted now, but may be later; no log backup must go past it.
    """
    scope = paths.sql_scope(system.sqlserver.server().name, database)
    for own in reversed(system.sqlserver.own_logs(database)):
        about = BackUpDatabase(database=database, backup_kind=Kind.LOG, backup_id=own.backup_id)
        try:
            request = request_for(scope, about, own.attempt)
        except NotFoundError:
            continue  # not an id of ours: somebody else's backup under a name like ours
        if system.catalogue.backups.find(Store.SQLSERVER, scope, Kind.LOG, own.backup_id):
            continue
        try:
            made = system.sqlserver.back_up(request)
        except BackupSystemError as error:
            if error.retryable or isinstance(error, NotPermittedError):
                raise
            log.error("The log backup %s of %s is lost: %s", own.backup_id, database, error)  # noqa: TRY400
            continue
        commit_backup(system, run_id, request, made, findings=(ADOPTED,))


def _findings(system: System, facts: SqlFacts, kind: Kind) -> tuple[Finding, ...]:
    """Whether a log or a differential continues what the catalogue holds."""
    if kind is Kind.FULL:
        return ()
    backups = system.catalogue.backups  # of which a year has 38,000: only those that matter are listed
    if kind is Kind.DIFFERENTIAL:
        return _base_missing(facts, backups.full_hints(facts.server, facts.database))
    fork = facts.first_recovery_fork_guid
    newest = backups.newest_sql_hints(facts.server, facts.database, fork, system.clock.now())
    return _log_gap(facts, newest)


def _base_missing(facts: SqlFacts, hints: list[SqlHint]) -> tuple[Finding, ...]:
    """Whether the full backup that a differential builds on is one of ours."""
    if facts.differential_base_guid in {hint.backup_set_uuid for hint in hints}:
        return ()
    return (
        Finding(
            code="differential_base_missing",
            severity=Severity.ERROR,
            message=f"This differential of {facts.database} builds on a full backup that is not in the "
            "catalogue: somebody else took it, or it could not be stored.",
            hint="Take a full backup at once; until then no differential can be restored.",
        ),
    )


def _log_gap(facts: SqlFacts, hints: list[SqlHint]) -> tuple[Finding, ...]:
    """Whether a log begins behind the end of all that we hold: what lies between is in no backup of ours."""
    fork = facts.first_recovery_fork_guid
    earlier = [hint.last_lsn for hint in hints if hint.last_recovery_fork_guid == fork]
    if not earlier or facts.begins_log_chain or facts.first_lsn <= max(earlier):
        return ()
    return (
        Finding(
            code="log_chain_gap",
            severity=Severity.ERROR,
            message=f"The log of {facts.database} between LSN {max(earlier)} and {facts.first_lsn} is in no "
            "backup of ours: somebody else has backed it up, or it was lost.",
            hint="Take a differential backup at once to bridge the gap, and find out who backs up this log.",
        ),
    )


def _summary(manifest: Manifest) -> dict[str, Any]:
    facts = manifest.facts
    summary = {"size": manifest.size, "finished_at": manifest.as_json()["finished_at"]}
    if isinstance(facts, SqlFacts):
        summary |= {"first_lsn": str(facts.first_lsn), "last_lsn": str(facts.last_lsn)}
    return summary


def verify_backup(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: verify a committed backup, and keep what was found as a document of its own."""
    ticket = Ticket.of(payload)
    with working(system, ticket, payload["step"]) as work:
        manifest = system.catalogue.backups.get(work.evidence["backup_id"])
        store = system.sqlserver if manifest.store is Store.SQLSERVER else system.qdrant
        look = {"backup_id": manifest.id, "run_id": ticket.run_id, "verified_at": system.clock.now()}
        try:
            evidence = store.verify(manifest)
        except IntegrityError as error:
            finding = Finding(
                code=error.specific_code, severity=Severity.ERROR, message=error.message, hint=error.hint
            )
            system.catalogue.backups.add_verification(
                Verification(**look, passed=False, evidence={}, findings=(finding,))
            )
            raise
        system.catalogue.backups.add_verification(Verification(**look, passed=True, evidence=evidence))
        work.evidence |= {"verified": evidence}
        return {"backup_id": manifest.id}
