"""What an interruption of each step costs, what the step needs, and what it overwrites."""

from __future__ import annotations

from shared.model.backups import Kind
from shared.model.plans import (
    AliasesStep,
    CollectionStep,
    Migrations,
    MigrationsStep,
    Plan,
    SqlProofStep,
    SqlRestoreStep,
    SqlTailStep,
    Step,
    SwapStep,
)
from shared.planning.statements import Where
from shared.planning.words import sized

_READS = "starts over: it only reads"

_INTERRUPTED = {
    "fence": "starts over: the API is told to stop, and looked at, once more",
    "rehydrate": "resumed: Azure goes on by itself, and files that are back are left alone",
    "gap": f"{_READS}; of what has been overwritten since nothing can be listed any more",
    "safety": "resumed: collections whose snapshots are kept are not done again",
    "sql_tail": "resumed: a tail that was taken is found and kept; no second one can be taken",
    "sql_recover": "resumed: a database that is open already is left alone",
    "sql_proof": _READS,
    "migrations": _READS,
    "erasures": "starts over: rows that are gone stay gone",
    "swap": "resumed: names that were changed already are left alone",
    "collection": "starts over: this collection is recovered from its first snapshot; others are kept",
    "aliases": "starts over: all are set in one request",
    "orphans": _READS,
    "health": "resumed: it is waited for again",
    "conversation": "starts over in a new session",
    "sample": _READS,
    "clean_up": "resumed: what is gone stays gone",
    "aftermath": "starts over, unless the backup was committed already",
}


def interrupted(step: Step) -> str:
    """What it costs when the step is cut off, in words: whether it is resumed or starts over."""
    if isinstance(step, SqlRestoreStep):
        if step.backup_kind is Kind.LOG:
            return "starts over with this log; the backups that were restored before it are kept"
        return "starts over with this backup, from its beginning; those restored before it are kept"
    if isinstance(step, MigrationsStep) and step.how is Migrations.SCRIPT:
        return "starts over with the first batch: the script is idempotent"
    if isinstance(step, MigrationsStep) and step.how is Migrations.COMMAND:
        return "starts over: the command is run again"
    return _INTERRUPTED[step.kind]


def needs_of(step: Step, plan: Plan, where: Where) -> tuple[str, ...]:
    """Space, rights, versions, certificates and settings without which the step fails."""
    match step:
        case SqlRestoreStep(backup_kind=Kind.FULL):
            return _full(step, plan, where)
        case SqlTailStep():
            return ("ALTER and BACKUP LOG on the database; whoever is connected is put out",)
        case SqlProofStep(checkdb=True):
            return ("membership of sysadmin or db_owner for DBCC CHECKDB; it reads every page",)
        case MigrationsStep(how=Migrations.SCRIPT):
            return ("db_ddladmin, db_datareader and db_datawriter in the database, or db_owner",)
        case MigrationsStep(how=Migrations.COMMAND):
            return ("the command line: a server runs no commands", "OCTOPUS_MIGRATION_COMMAND")
        case CollectionStep():
            return _collection(step)
        case SwapStep():
            return ("ALTER on both databases; whoever is connected to them is put out",)
        case _:
            return _SETTINGS.get((step.kind, getattr(step, "hook", False)), ())


_SETTINGS = {
    ("fence", True): ("OCTOPUS_STOP_HOOK",),
    ("fence", False): ("somebody who has stopped the API and says so",),
    ("health", True): ("OCTOPUS_START_HOOK",),
    ("health", False): ("somebody who starts the API",),
    ("conversation", False): ("OCTOPUS_API_TOKEN",),
    ("rehydrate", False): ("the right to set the tier of these files",),
}


def _full(step: SqlRestoreStep, plan: Plan, where: Where) -> tuple[str, ...]:
    size = sum(file.size for file in step.data_files)
    server = [
        "a SQL Server at least as new as the one that made the backup",
        "if the database or its backup is encrypted: the certificate on that server",
    ]
    if plan.execution.target_state.databases.get(step.target, "absent") == "absent":
        server.append("CREATE ANY DATABASE")
        server += [f"{sized(size)} free for its files"] if size else []
    else:
        server.append("ownership of the database that is overwritten, or dbcreator")
    if where.folder is None:
        server.append("a credential on the server for the container of its files")
    else:
        server.append(f"{sized(sum(file.size for file in step.files))} free in {where.folder}")
    return tuple(server)


def _collection(step: CollectionStep) -> tuple[str, ...]:
    largest = max((part.blob.size for part in step.parts), default=0)
    return (
        "a Qdrant at least as new as the one that made the snapshots",
        "a key with global manage access (QDRANT_RESTORE_API_KEY)",
        f"free space on every peer, at least {sized(largest)}; the sum stands under space",
    )


def overwritten_by(step: Step, plan: Plan) -> tuple[str, ...]:
    """What is there now and is not there afterwards, in words."""
    state = plan.execution.target_state
    match step:
        case SqlRestoreStep(backup_kind=Kind.FULL, target=target):
            now = state.databases.get(target, "absent")
            return (f"database {target}, which is {now} now",) if now != "absent" else ()
        case CollectionStep(overwrites=True, target=target):
            return (f"collection {target}",)
        case AliasesStep(aliases=aliases):
            moved = [
                f"alias {alias}, which stands for {state.aliases[alias]} now"
                for alias, collection in aliases.items()
                if state.aliases.get(alias, "") not in ("", collection)
            ]
            return tuple(moved)
        case SwapStep(live=live, aside=aside):
            return (f"the name {live}; the database that has it now is {aside} then",) if aside else ()
        case _:
            return ()
