"""A migration script on a restored database: batch by batch, in order, up to the first that fails."""

from __future__ import annotations

from collections.abc import Sequence

from shared.errors import NotPermittedError, SqlServerError
from shared.model.base import Document
from shared.octopus.migrations import Batch
from shared.stores.sqlserver.connection import Server, Session
from shared.stores.sqlserver.execute import Progress
from shared.stores.sqlserver.statements import quote_name

BATCH_SECONDS = 3600
"""How long one batch may take. Octopus gives all of its migrations 120 s; an index over millions of episodes
takes longer."""


class ScriptDone(Document):
    """What was executed."""

    batches: int
    statements_run: int


def run_script(server: Server, database: str, batches: Sequence[Batch], progress: Progress) -> ScriptDone:
    """Execute a script in a database, all of it or up to its first error.

    With XACT_ABORT the error of one statement ends its batch and takes back what the transaction around it
    had done; otherwise SQL Server would go on with the batch's next statement. Being idempotent, the script
    is begun anew when it is executed again.

    Args:
        server: where.
        database: the database, online.
        batches: the script's batches, in order; see ``shared.octopus.migrations.read_script``.
        progress: told the percents; an exception of it stops before the next batch.

    Raises:
        SqlServerError: code ``migration_failed``: which batch, in which lines of the script, and what was
            done before it.
        OutcomeUnknownError: the connection was lost; the script can be begun anew.
        UnreachableError, NotPermittedError: no login, or no right.
    """
    run = 0
    with server.session(seconds=BATCH_SECONDS) as session:
        session.run(f"USE {quote_name(database)};")
        session.run("SET XACT_ABORT ON;")
        for number, batch in enumerate(batches):
            progress(number * 100 // len(batches))
            for _ in range(batch.times):
                _execute(session, batch, number, len(batches))
                run += 1
        _demand_no_open_transaction(session)
    progress(100)
    return ScriptDone(batches=len(batches), statements_run=run)


def _execute(session: Session, batch: Batch, done: int, total: int) -> None:
    """Execute one batch.

    pyodbc does not hand over the line that SQL Server reports (SQL_DIAG_SS_LINE), so the lines of the whole
    batch are told.
    """
    where = f"Batch {batch.number}, lines {batch.first_line} to {batch.last_line} of the migration script"
    before = f"The {done} batch(es) before it were executed" if done else "It was the first batch"
    meaning = (
        f"{before}; what its own transaction had done was taken back. None of the {total - done - 1} "
        "batch(es) after it was executed."
    )
    hint = "Correct the script and make a new plan with it, or mend the database and resume the restore."
    try:
        session.run(batch.text)
    except SqlServerError as error:
        raise SqlServerError(
            f"{where}, failed: {error.message}",
            error.number,
            hint,
            code="migration_failed",
            meaning=meaning,
            retryable=error.retryable,
        ) from None
    except NotPermittedError as error:
        raise NotPermittedError(f"{where}: {error.message}", error.hint, meaning=meaning) from None


def _demand_no_open_transaction(session: Session) -> None:
    count = int(session.rows("SELECT @@TRANCOUNT;")[0][0])
    if count:
        session.run("ROLLBACK TRANSACTION;")
        raise SqlServerError(
            f"The migration script left {count} transaction(s) open, which were taken back.",
            0,
            "Every BEGIN TRANSACTION of the script needs its COMMIT. Correct it and make a new plan.",
            code="migration_failed",
            meaning="What the script did outside of transactions stays; what it did inside is gone.",
        )
