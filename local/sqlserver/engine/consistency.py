"""DBCC CHECKDB: whether a database is sound."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import apsw

from local.sqlserver.engine.columns import columns_of
from local.sqlserver.engine.database import Database
from local.sqlserver.engine.errors import SqlError, message
from local.sqlserver.engine.events import Event, Rows
from local.sqlserver.engine.faults import CHECKDB
from local.sqlserver.engine.progress import slowness
from local.sqlserver.engine.session import Progress
from local.sqlserver.engine.storage import open_database
from local.sqlserver.syntax import commands

if TYPE_CHECKING:
    from local.sqlserver.engine.session import Session

_COMMAND = "DBCC TABLE CHECK"  # what sys.dm_exec_requests shows for the longest part of it
_STEPS = 10


def check_database(session: Session, node: commands.CheckDatabase) -> Iterator[Event]:
    """Run DBCC CHECKDB: silent with NO_INFOMSGS unless something is wrong.

    What is checked is the storage of this server. A test can order errors (``faults.py``); they are reported
    as pages that cannot be read, with the texts of the real server.

    Raises:
        SqlError: 2520 or 927 … the database cannot be checked, 7983 not allowed, 8928 and its companions for
            what was found.
    """
    name = node.database or session.database
    if session.instance.find(name) is None:
        raise SqlError(2520, name)
    database = session.open(name)
    if not session.instance.permissions.owns(session, database) and (
        "db_owner" not in session.instance.permissions.rights(session, database).roles
    ):
        raise SqlError(7983, session.user, "CHECKDB", database.name)
    session.progress = Progress(_COMMAND, session.instance.clock(), database.id)
    try:
        for step in range(_STEPS):
            session.sleep(slowness(session, database.id))
            session.progress.percent = 100.0 * (step + 1) / _STEPS
        errors = _storage_errors(database) + int(session.instance.faults.amount(CHECKDB, database.name))
    finally:
        session.progress = None
    if errors:
        report = _report(session, database, errors)
        if "TABLERESULTS" not in node.options:
            raise report
        yield _as_rows(report, database)
        return
    if "NO_INFOMSGS" not in node.options:
        yield message(2536, database.name)
        yield message(8989, 0, 0, database.name)
        yield message(2528)


def _as_rows(report: SqlError, database: Database) -> Rows:
    """WITH TABLERESULTS: what was found as rows; of the many columns the first ones, in their order."""
    columns = columns_of(
        """Error int, Level int, State int, MessageText nvarchar(4000), RepairLevel nvarchar(64), Status int,
        DbId int"""
    )
    told = [[m.number, m.severity, m.state, m.text, None, 0, database.id] for m in report.messages]
    return Rows(columns, told)


def _storage_errors(database: Database) -> int:
    connection = open_database(database.data_path)
    try:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    except apsw.Error:
        return 1
    finally:
        connection.close()
    return 0 if found == ["ok"] else len(found)


def _report(session: Session, database: Database, errors: int) -> SqlError:
    """The messages for so many consistency errors, all in the first table."""
    table = next(iter(session.catalog(database).tables()), None)
    number, name = (table.object_id, table.name) if table else (0, "sys.sysschobjs")
    place = (number, 1, number * 65536, number * 65536 + 1, "In-row data")
    report = SqlError(8928, *place, 1, 256)
    for page in range(257, 256 + errors):
        values = (29493257, -4)  # a page that fails its checksum, in Microsoft's example of 8939
        report.followed_by(8939, *place, 1, page, "IS_OFF (BUF_IOERR, pBUF->bstat)", *values)
    report.followed_by(8990, 0, errors, name, number).followed_by(8989, 0, errors, database.name)
    return report.followed_by(8958, database.name).followed_by(2528)
