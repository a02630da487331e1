"""A session: a logged-in client, its current database, its transaction, its connection to the storage."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import apsw

from local.sqlserver.datatypes import SqlType
from local.sqlserver.engine import database as databases
from local.sqlserver.engine.catalog import Catalog
from local.sqlserver.engine.database import Database
from local.sqlserver.engine.errors import SqlError
from local.sqlserver.engine.events import Cancelled, DatabaseChanged, Event, Message, TransactionChanged
from local.sqlserver.engine.locks import Resource
from local.sqlserver.engine.storage import Single, open_database, quoted
from local.sqlserver.engine.transaction import Transaction

if TYPE_CHECKING:
    from local.sqlserver.engine.instance import Instance


@dataclass
class Variable:
    """A variable or parameter: its type and its Python value."""

    type: SqlType
    value: Any


@dataclass
class Settings:
    """What SET changes."""

    xact_abort: bool = False
    nocount: bool = False
    lock_timeout: int = -1
    isolation: str = "READ COMMITTED"
    implicit_transactions: bool = False
    identity_insert: str | None = None


@dataclass
class Progress:
    """What a long statement is doing, for sys.dm_exec_requests."""

    command: str
    started: Any
    database_id: int
    percent: float = 0.0


@dataclass
class Identity:
    """Who is connected, from where and with what."""

    user: str
    application: str = ""
    host: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)


class Session:
    """One session of the engine. Used by one thread at a time, except ``cancel`` and ``kill``."""

    def __init__(self, instance: Instance, spid: int, identity: Identity) -> None:
        self.instance = instance
        self.spid = spid
        self.identity = identity
        self.database = "master"
        self.settings = Settings()
        self.transaction_count = 0
        self.transaction: Transaction | None = None
        self._statement_transaction: Transaction | None = None
        self.row_count = 0
        self.last_error = 0
        self.last_identity: int | None = None
        self.caught: Message | None = None
        self.progress: Progress | None = None
        self.started = instance.clock()
        self.killed = False
        self.on_kill: Callable[[], None] = lambda: None
        self.connection = open_database(":memory:")
        self.connection.create_aggregate_function("ts_single", lambda: Single())
        self.temporary_names = itertools.count(1)
        self._attached: dict[str, Database] = {}
        self._cancel = threading.Event()
        instance.functions.install(self)

    @property
    def user(self) -> str:
        """The login's name."""
        return self.identity.user

    # --- being stopped

    def cancel(self) -> None:
        """Ask the running statement to stop; called from another thread."""
        self._cancel.set()

    def clear_cancel(self) -> None:
        """The statement has stopped."""
        self._cancel.clear()

    def kill(self) -> None:
        """End the session, from another session."""
        self.killed = True
        self._cancel.set()
        self.on_kill()

    def check_cancelled(self) -> None:
        """Raise Cancelled if the client or another session asked for it."""
        if self._cancel.is_set():
            raise Cancelled

    def sleep(self, seconds: float) -> None:
        """Wait, unless cancelled."""
        if self._cancel.wait(seconds):
            raise Cancelled

    # --- running statements

    def execute(self, text: str, variables: Mapping[str, Variable]) -> Iterator[Event]:
        """Run a batch; the events are its answer.

        Args:
            text: Transact-SQL.
            variables: the batch's parameters by name, ``@`` included, in lower case.
        """
        yield from self.instance.interpret(self, text, variables)

    def call(self, procedure: str, arguments: Sequence[Variable]) -> Iterator[Event]:
        """Run a procedure that the driver calls by name."""
        yield from self.instance.call(self, procedure, arguments)

    def change_database(self, name: str) -> Iterator[Event]:
        """Make another database the current one.

        Raises:
            SqlError: 911 or what keeps the database from being opened.
        """
        database = self.instance.database(name)
        self.check_usable(database)
        old, self.database = self.database, database.name
        yield DatabaseChanged(old, database.name)

    def check_usable(self, database: Database) -> None:
        """Raise what the server answers where ``database`` cannot be opened by this session."""
        state = database.state
        if state.state == databases.RESTORING:
            raise SqlError(927, database.name)
        if state.state == databases.OFFLINE:
            raise SqlError(942, database.name)
        if state.state != databases.ONLINE:
            raise SqlError(926, database.name)
        if state.user_access == "SINGLE_USER" and any(
            s is not self for s in self.instance.sessions_using(database)
        ):
            raise SqlError(924, database.name)
        if not self.instance.permissions.may_enter(self, database):
            raise SqlError(916, self.user, database.name)

    def open(self, name: str | None = None) -> Database:
        """A database that this session may read and write now, attached to its connection."""
        database = self.instance.database(name or self.database)
        self.check_usable(database)
        attached = database.attached_name
        if self._attached.get(attached) is not database:
            self._detach_stale()
            self.connection.execute(f"ATTACH ? AS {quoted(attached)}", (str(database.data_path),))
            self._attached[attached] = database
        transaction = self.transaction
        if transaction is not None and transaction.snapshot:
            if not database.state.snapshot_isolation and not database.is_system:
                raise SqlError(3952, database.name)
            transaction.pin()
        return database

    def _detach_stale(self) -> None:
        """Let go of files that were replaced or dropped; impossible, and not needed, inside a transaction."""
        for attached, database in list(self._attached.items()):
            current = self.instance.by_id(database.id) is database and database.attached_name == attached
            if not current and not self.connection.in_transaction:
                self.connection.execute(f"DETACH {quoted(attached)}")
                del self._attached[attached]

    def lock(self, resource: Resource, mode: str) -> bool:
        """Take a lock; see ``LockManager.acquire``."""
        timeout = self.settings.lock_timeout
        return self.instance.locks.acquire(self, resource, mode, timeout if timeout < 0 else timeout / 1000)

    def catalog(self, database: Database) -> Catalog:
        """The definitions of a database that is attached."""
        return Catalog(self.connection, database.attached_name)

    # --- transactions

    def current_transaction(self) -> Transaction:
        """The transaction that the running statement belongs to."""
        transaction = self.transaction or self._statement_transaction
        if transaction is None:
            raise SqlError(3902)
        return transaction

    @contextlib.contextmanager
    def atomic(self) -> Iterator[Transaction]:
        """The transaction that a changing statement belongs to; the statement is undone if it fails."""
        if self.transaction is None:
            with self._own_transaction() as transaction:
                yield transaction
            return
        transaction = self.transaction
        transaction.pin()
        self.connection.execute("SAVEPOINT statement")
        try:
            yield transaction
        except BaseException:
            self.connection.execute("ROLLBACK TO statement")
            self.connection.execute("RELEASE statement")
            raise
        self.connection.execute("RELEASE statement")

    @contextlib.contextmanager
    def _own_transaction(self) -> Iterator[Transaction]:
        transaction = self._statement_transaction = Transaction(self)
        try:
            transaction.pin()
            yield transaction
            transaction.commit()
        except BaseException:
            transaction.rollback()
            raise
        finally:
            self._statement_transaction = None
            self.instance.locks.release_all(self)

    def begin(self, name: str = "", mark: str | None = None) -> Iterator[Event]:
        """BEGIN TRANSACTION, with a mark if ``mark`` is its description."""
        self.transaction_count += 1
        if self.transaction is None:
            self.transaction = Transaction(self, snapshot=self.settings.isolation == "SNAPSHOT")
            yield TransactionChanged("begin")
        if mark is not None:
            self.transaction.mark = (name, mark)

    def commit(self) -> Iterator[Event]:
        """COMMIT; only the outermost one does something."""
        if self.transaction is None:
            raise SqlError(3902)
        if self.transaction.doomed:
            raise SqlError(3930)
        self.transaction_count -= 1
        if self.transaction_count:
            return
        transaction, self.transaction = self.transaction, None
        try:
            transaction.commit()
        except BaseException:
            transaction.rollback()
            raise
        finally:
            self.instance.locks.release_all(self)
        yield TransactionChanged("commit")

    def rollback(self) -> Iterator[Event]:
        """ROLLBACK; whatever the nesting, everything is undone."""
        if self.transaction is None:
            raise SqlError(3903)
        self.abandon()
        yield TransactionChanged("rollback")

    def abandon(self) -> None:
        """Undo the transaction, if there is one."""
        transaction, self.transaction, self.transaction_count = self.transaction, None, 0
        if transaction is not None:
            try:
                transaction.rollback()
            finally:
                self.instance.locks.release_all(self)

    def reset(self) -> None:
        """A pooled connection is handed to its next user."""
        self.abandon()
        self.settings = Settings()
        self.database = "master"

    def close(self) -> None:
        """End the session."""
        with contextlib.suppress(apsw.Error):
            self.abandon()
        self.instance.forget(self)
        self.connection.close()
