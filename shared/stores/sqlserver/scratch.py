"""Copies that a drill restored: read as their users read them, and removed once it is sure whose they are."""

from __future__ import annotations

from shared.errors import ProofFailedError, RefusedError
from shared.planning.drilling import is_copy
from shared.stores.sqlserver import contents, inspection, statements
from shared.stores.sqlserver.connection import Server
from shared.stores.sqlserver.targets import is_own

ROWS_READ = 3
"""Rows of each table in a sample: enough to see that its pages give rows, whatever they hold."""

DROP_SECONDS = 600
"""How long a DROP DATABASE may wait, for a statement of a host that is gone to roll back."""


def read_tables(server: Server, target: str) -> dict[str, int]:
    """Read the first rows of every Octopus table.

    Returns:
        ``schema.table`` → how many rows were read; what they hold is not kept.

    Raises:
        ProofFailedError: a table that counts rows gives fewer of them back.
    """
    with server.session() as session:
        found = contents.tables(session, target)
        counted = contents.row_counts(session, target, found)
        read = {
            table.key: len(
                session.rows(f"SELECT TOP ({ROWS_READ}) * FROM {table.quoted(target)};")  # noqa: S608 - quoted
            )
            for table in found
        }
    short = [key for key, rows in read.items() if rows < min(ROWS_READ, counted[key])]
    if short:
        raise ProofFailedError(
            f"{target}: {', '.join(sorted(short)[:5])} count rows that they do not give back.",
            "Run DBCC CHECKDB on a restored copy, and restore from another backup.",
            code="rows_unreadable",
        )
    return read


def drop_copy(server: Server, target: str, run_id: str) -> str:
    """Remove a database that a run restored side by side, in whatever state it was left.

    Whose it is, its files tell: their names hold a part of the run's id (see ``targets``). A database of
    that name with other files is somebody else's, and stays.

    Returns:
        ``dropped``, ``absent`` or ``not ours``.

    Raises:
        RefusedError: the name is not that of a copy.
        BackupSystemError: it could not be dropped; repeat it.
    """
    if not is_copy(target):
        raise RefusedError(
            f"{target[:128]!r} is not the name of a drill's copy, so it is not dropped.",
            "Report this; nothing that is not a copy may come here.",
            code="not_a_copy",
        )
    with server.session(seconds=DROP_SECONDS) as session:
        state = inspection.database_state(session, target)
        if not state.exists:
            return "absent"
        if not is_own(state, target, run_id):
            return "not ours"
        session.run(statements.drop_copy(target, online=state.state_desc == inspection.ONLINE))
    return "dropped"
