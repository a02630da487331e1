"""DBCC CHECKDB: whether the pages and structures of a database are sound.

With NO_INFOMSGS a sound database is silent; every message is then one of an error. pyodbc reads the first
error of an answer only and gives the rest up, so what was found is asked for once more, as a table, where
something was found (TABLERESULTS, which every version takes and Microsoft's syntax page leaves out).
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field

from shared.errors import BackupSystemError, IntegrityError, SqlServerError
from shared.model.base import Document
from shared.stores.sqlserver import messages
from shared.stores.sqlserver.connection import Server
from shared.stores.sqlserver.execute import SILENCE_SECONDS, Progress, run_long
from shared.stores.sqlserver.statements import literal

MOST_MESSAGES = 20
"""Errors that are kept with their words; the rest is counted."""

_LONGEST_MESSAGE = 300
_SUMMARY = 8989  # "CHECKDB found %d allocation errors and %d consistency errors in database '%ls'."
_NOT_CHECKED = frozenset(
    {
        *(208, 229, 262, 297, 300, 911, 916, 924, 927, 942, 945),  # no such database, or no right to it
        *(2520, 4060, 7983),  # likewise
        *(1823, 5030, 5123, 7926, 7928, 7929),  # neither a snapshot nor a lock of the database could be had
        *(1205, 1222, 40510, 40517),
    }
)
"""Numbers that say that nothing was checked. Any other error is one that the check found (Microsoft's
documentation, "DBCC CHECKDB" and "Database engine events and errors")."""


class DatabaseCheck(Document):
    """What a check found. The numbers are None where only the first error could be read."""

    clean: bool
    allocation_errors: int | None = 0
    consistency_errors: int | None = 0
    messages: tuple[str, ...] = Field((), description="the first errors, as number and words")


def statement(database: str) -> str:
    """The check of one database, silent if it is sound."""
    return f"DBCC CHECKDB ({literal(database)}) WITH NO_INFOMSGS, ALL_ERRORMSGS"


def check(server: Server, database: str, progress: Progress) -> DatabaseCheck:
    """Check a database; reads all of it, and changes nothing.

    Args:
        server: where.
        database: an online database.
        progress: told the percents, from ``sys.dm_exec_requests``.

    Raises:
        OutcomeUnknownError: the connection was lost; it can be checked again.
        SqlServerError, NotPermittedError: it could not be checked (no such database, no right, no space for
            its snapshot).
    """
    try:
        run_long(server, statement(database), proof=None, progress=progress)
    except IntegrityError as error:  # a page that cannot be read ends the check itself
        return DatabaseCheck(
            clean=False, allocation_errors=None, consistency_errors=None, messages=(error.message,)
        )
    except SqlServerError as error:
        if error.number in _NOT_CHECKED or error.retryable:
            raise
        return _counted(server, database, error)
    return DatabaseCheck(clean=True)


def _counted(server: Server, database: str, first: SqlServerError) -> DatabaseCheck:
    """What was found, as a table; only the first error where that is refused or finds nothing more."""
    known = DatabaseCheck(
        clean=False,
        allocation_errors=None,
        consistency_errors=None,
        messages=(first.message[:_LONGEST_MESSAGE],),
    )
    try:
        with server.session(seconds=SILENCE_SECONDS) as session:
            rows = session.rows(f"{statement(database)}, TABLERESULTS")
    except BackupSystemError:
        return known
    return _read(rows) or known


def _read(rows: list[Any]) -> DatabaseCheck | None:
    """The columns of TABLERESULTS begin with Error, Level, State, MessageText."""
    errors = [row for row in rows if int(row[1]) > 10]
    summary = next((str(row[3]) for row in reversed(rows) if int(row[0]) == _SUMMARY), "")
    counts = [int(number) for number in re.findall(r"\d+", summary)[:2]]
    if not errors:
        return None
    allocation, consistency = counts if len(counts) == 2 else (None, len(errors))
    return DatabaseCheck(
        clean=False,
        allocation_errors=allocation,
        consistency_errors=consistency,
        messages=tuple(
            f"{row[0]}: {messages.redact(str(row[3]))[:_LONGEST_MESSAGE]}" for row in errors[:MOST_MESSAGES]
        ),
    )
