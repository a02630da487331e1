# ruff: noqa: S608 -- every name in SQL text is quoted by ``storage.quoted``, every value is bound
"""One transaction of a session: what it changes, in how many databases, and how it ends."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import apsw

from local.sqlserver.engine import log as logs
from local.sqlserver.engine.database import Database
from local.sqlserver.engine.errors import SqlError
from local.sqlserver.engine.locks import EXCLUSIVE
from local.sqlserver.engine.storage import quoted

if TYPE_CHECKING:
    from local.sqlserver.engine.session import Session


class Recorder:
    """Collects what a transaction does to one attached database."""

    def __init__(self, connection: apsw.Connection, attached: str) -> None:
        self._connection = connection
        self._attached = attached
        self._pieces: list[tuple[bytes, bytes]] = []
        self._changes = self._listen()

    def _listen(self) -> apsw.Session:
        changes = apsw.Session(self._connection, self._attached)
        changes.config(apsw.SQLITE_SESSION_OBJCONFIG_ROWID, True)  # tables without a primary key, too
        changes.table_filter(lambda name: name != "_state")
        changes.attach()
        return changes

    def _cut(self) -> None:
        if data := self._changes.changeset():
            self._pieces.append((logs.CHANGES, data))
        self._changes.close()

    def define(self, statements: list[str], local: list[str]) -> None:
        """Run definitions; ``statements`` is what the log keeps, ``local`` the same for this connection.

        A changeset knows only tables as they are when it is taken, so the changes so far are taken first.
        """
        self._cut()
        for statement in local:
            self._connection.execute(statement)
        self._pieces += [(logs.DEFINITION, statement.encode()) for statement in statements]
        self._changes = self._listen()

    def finish(self) -> bytes:
        """The body of the log record."""
        self._cut()
        return logs.pack(self._pieces)

    def discard(self) -> None:
        """Stop listening: the transaction is rolled back."""
        self._changes.close()


class Transaction:
    """A transaction, explicit or of a single statement."""

    def __init__(self, session: Session, *, snapshot: bool = False) -> None:
        self._session = session
        self._recorders: dict[Database, Recorder] = {}
        self._began = False
        self.snapshot = snapshot
        self.name = "user_transaction"
        self.mark: tuple[str, str] | None = None
        self.doomed = False

    def pin(self) -> None:
        """Begin in SQLite: from now on every database that is read stays as it is (a snapshot)."""
        if not self._began:
            self._session.connection.execute("BEGIN")
            self._began = True

    def write_to(self, database: Database) -> Recorder:
        """Become the writer of ``database`` for the rest of the transaction.

        Raises:
            SqlError: 3930 in a transaction that can only be rolled back, 1222 or 1205 from waiting.
        """
        if self.doomed:
            raise SqlError(3930)
        if database not in self._recorders:
            session = self._session
            session.lock(("writer", database.id, 0), EXCLUSIVE)
            self.pin()
            self._recorders[database] = Recorder(session.connection, database.attached_name)
        return self._recorders[database]

    def commit(self) -> None:
        """Write the log records, then commit; all databases together."""
        session = self._session
        databases = sorted(self._recorders, key=lambda d: d.id)
        now = session.instance.clock()
        with contextlib.ExitStack() as stack:
            for database in databases:
                stack.enter_context(database.commit_lock)
            written = []
            for database in databases:
                body = self._recorders[database].finish()
                record = database.log.append(now.isoformat(), database.fork, self.mark, body)
                session.connection.execute(
                    f"UPDATE {quoted(database.attached_name)}._state SET applied = ?",
                    (record.next_lsn,),
                )
                written.append((database, record))
            self._end("COMMIT")
            for database in databases:
                if database.state.recovery_model == "SIMPLE":
                    database.truncate_log()
        session.instance.locks.release_all(session)
        if self.mark:
            for database, record in written:
                if database.state.recovery_model != "SIMPLE":
                    session.instance.history.add_mark(database.name, record, session.user, now)

    def rollback(self) -> None:
        """Undo everything."""
        for recorder in self._recorders.values():
            recorder.discard()
        self._end("ROLLBACK")

    def _end(self, how: str) -> None:
        if self._began:
            self._session.connection.execute(how)
            self._began = False
        self._recorders.clear()
