"""The statement or request of each step, for a person to read: short, without secrets, and never sent.

What is sent is built where it is sent, from the same step; a test compares the two. An address that gives
access (a SAS, a hook) is named, not shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote

from shared.model.backups import BlobRef, Kind
from shared.model.plans import (
    AftermathStep,
    AliasesStep,
    CleanUpStep,
    CollectionStep,
    ConversationStep,
    ErasuresStep,
    FenceStep,
    GapStep,
    HealthStep,
    Migrations,
    MigrationsStep,
    OrphansStep,
    RehydrateStep,
    SafetyStep,
    SampleStep,
    SqlProofStep,
    SqlRecoverStep,
    SqlRestoreStep,
    SqlTailStep,
    Step,
    SwapStep,
)
from shared.planning.words import said

MOST_FILES = 2
"""Stripes, snapshots or names that are written out; the step itself holds them all."""


@dataclass(frozen=True)
class Where:
    """Addresses that statements name.

    ``storage`` is that of the storage account, without any right to it. ``folder`` is the one that SQL Server
    reads backups from, None where it reads Blob Storage itself.
    """

    storage: str = "https://…"
    folder: str | None = None


NOWHERE = Where()


def statement_of(step: Step, where: Where) -> str:
    """What the step sends."""
    match step:
        case SqlRestoreStep():
            return _restore(step, where)
        case SqlTailStep(database=database):
            name = _name(database)
            return (
                f"ALTER DATABASE {name} SET SINGLE_USER WITH ROLLBACK IMMEDIATE; "
                f"BACKUP LOG {name} TO {_somewhere(where)} WITH NORECOVERY, COMPRESSION, CHECKSUM"
            )
        case SqlRecoverStep(target=target):
            return f"RESTORE DATABASE {_name(target)} WITH RECOVERY"
        case SqlProofStep() | MigrationsStep() | ErasuresStep() | SwapStep() | AftermathStep():
            return _on_database(step, where)
        case CollectionStep() | SafetyStep() | GapStep() | AliasesStep():
            return _on_vectors(step, where)
        case _:
            return _around(step, where)


def _restore(step: SqlRestoreStep, where: Where) -> str:
    what = "LOG" if step.backup_kind is Kind.LOG else "DATABASE"
    devices = _some([_device(file, where) for file in step.files])
    options = ["NORECOVERY", "CHECKSUM"]
    if step.backup_kind is Kind.FULL and step.data_files:
        files = _some([_literal(file.logical_name) for file in step.data_files])
        options.append(f"MOVE {files} TO files of their own")
    if step.backup_kind is Kind.LOG and step.stop.mark:
        options.append(f"STOPATMARK = {_literal(step.stop.mark)}")
    elif step.backup_kind is Kind.LOG and step.stop.at:
        local = (step.stop.at + timedelta(minutes=step.utc_offset_minutes)).replace(tzinfo=None)
        options.append(f"STOPAT = {_literal(local.isoformat(timespec='milliseconds'))}")
    return f"RESTORE {what} {_name(step.target)} FROM {devices} WITH {', '.join(options)}"


def _on_database(
    step: SqlProofStep | MigrationsStep | ErasuresStep | SwapStep | AftermathStep, where: Where
) -> str:
    match step:
        case SqlProofStep(target=target, checkdb=checkdb):
            check = f"; DBCC CHECKDB ({_name(target)})" if checkdb else ""
            return f"SELECT COUNT_BIG(*) of every Octopus_ table of {_name(target)}, the marker row{check}"
        case MigrationsStep(how=Migrations.SCRIPT, script=script, target=target):
            name = f"{script.container}/{script.name}" if script else "the script"
            return f"the batches of {name} in {_name(target)}, in their order; then its migrations and tables"
        case MigrationsStep(how=Migrations.COMMAND, target=target):
            return f"OCTOPUS_MIGRATION_COMMAND for {_name(target)}; then its migrations and tables"
        case MigrationsStep(target=target):
            return f"SELECT the newest row of __EFMigrationsHistory and the tables of {_name(target)}"
        case ErasuresStep(target=target, users=users):
            return f"DELETE the rows of {users} listed user(s) from every Octopus_ table of {_name(target)}"
        case SwapStep(restored=restored, live=live, aside=aside):
            away = f"ALTER DATABASE {_name(live)} MODIFY NAME = {_name(aside)}; " if aside else ""
            return f"{away}ALTER DATABASE {_name(restored)} MODIFY NAME = {_name(live)}"
        case AftermathStep(database=database):
            return f"BACKUP DATABASE {_name(database)} TO {_somewhere(where)} WITH COMPRESSION, CHECKSUM"


def _on_vectors(step: CollectionStep | SafetyStep | GapStep | AliasesStep, where: Where) -> str:
    match step:
        case CollectionStep(target=target, parts=parts):
            first = parts[0] if parts else None
            body = (
                f'{{"location": "{_address(first.blob, where)}" and a right to read, "priority": "snapshot", '
                f'"checksum": "{first.checksum}"}}'
                if first
                else "{}"
            )
            more = f"; likewise {len(parts) - 1} more snapshot(s), on their peers" if len(parts) > 1 else ""
            return f"PUT /collections/{_path(target)}/snapshots/recover?wait=true {body}{more}"
        case SafetyStep(collections=collections):
            return f"POST /collections/{{name}}/snapshots, for {_names(collections)}; each is downloaded"
        case GapStep(collections=collections, since=since):
            return (
                f"POST /collections/{{name}}/points/scroll, for {_names(collections)}: "
                f"points indexed after {said(since)}"
            )
        case AliasesStep(aliases=aliases):
            pairs = [f"{alias} → {collection}" for alias, collection in aliases.items()]
            return f"POST /collections/aliases: {_some(pairs)}"


def _around(step: Step, where: Where) -> str:
    match step:
        case FenceStep(hook=hook):
            stop = "POST to OCTOPUS_STOP_HOOK; then " if hook else ""
            return f"{stop}GET OCTOPUS_HEALTH_PATH until it no longer answers 200"
        case HealthStep(hook=hook):
            start = "POST to OCTOPUS_START_HOOK; then " if hook else ""
            return f"{start}GET OCTOPUS_HEALTH_PATH until it answers 200"
        case RehydrateStep(files=files):
            names = _some([_address(file, where) for file in files])
            return f"Set Blob Tier to Hot: {names}"
        case OrphansStep(target=target):
            return f"SELECT the agents of {_name(target)}; GET /collections; read points of each"
        case ConversationStep():
            return "POST OCTOPUS_CHAT_PATH, read until turn_end; the searches in episodes and in knowledge"
        case SampleStep(databases=databases, collections=collections):
            rows = f"SELECT some rows of every table of {_names(databases)}"
            return f"{rows}; a search in each of {_names(collections)}"
        case CleanUpStep(databases=databases, collections=collections):
            return (
                f"DROP DATABASE {_names(databases)}; DELETE /collections/{{name}} for {_names(collections)}"
            )
        case _:
            return step.title


def _device(file: BlobRef, where: Where) -> str:
    if where.folder is None:
        return f"URL = {_literal(_address(file, where))}"
    return f"DISK = a copy in {_literal(where.folder)} of {file.container}/{file.name}"


def _somewhere(where: Where) -> str:
    return f"URL = {_literal(where.storage + '/…')}" if where.folder is None else f"DISK = {where.folder}"


def _address(file: BlobRef, where: Where) -> str:
    return f"{where.storage}/{file.container}/{file.name}"


def _name(name: str) -> str:
    return f"[{name.replace(']', ']]')}]"


def _literal(text: str) -> str:
    return "N'" + text.replace("'", "''") + "'"


def _path(name: str) -> str:
    return quote(name, safe="")


def _names(names: Sequence[str]) -> str:
    return _some(list(names)) or "none"


def _some(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - MOST_FILES} more" if len(texts) > MOST_FILES else ""
    return ", ".join(texts[:MOST_FILES]) + more
