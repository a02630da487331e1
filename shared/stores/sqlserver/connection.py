"""Logging in to SQL Server, and sessions on it. All use of pyodbc's connections and cursors is here.

One session runs one statement at a time. A session always begins in ``master`` (RESTORE refuses a session
that stands in its target, message 3102) and with autocommit (BACKUP refuses a transaction, message 3021).
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from pydantic import SecretStr

from shared.errors import (
    BackupSystemError,
    InvalidSettingsError,
    NotPermittedError,
    UnreachableError,
)
from shared.stores.sqlserver import messages
from shared.stores.sqlserver.messages import Message

PROGRAM = "octopus-backup"
"""What ``program_name`` of our sessions begins with; a statement's own session adds the backup's id."""

LOGIN_SECONDS = 15
QUERY_SECONDS = 120
"""How long a session waits for the next answer of the server; long statements bring a limit of their own."""

_LONGEST_PROGRAM = 128
_DRIVER = re.compile(r"ODBC Driver (\d+) for SQL Server")
_PAIR = re.compile(r"\s*([^=;{}]+?)\s*=\s*(\{(?:[^}]|\}\})*\}|[^;{}]*)\s*(?:;|$)")
_OURS = frozenset({"app", "database", "initial catalog"})


@dataclass
class Answer:
    """What a statement answered: the rows of its first result, and every message of the server."""

    rows: list[Any] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)


class Session:
    """An open connection: sends statements, drains their answers, turns failures into our errors."""

    def __init__(self, connection: Any, driver: ModuleType) -> None:
        self._connection = connection
        self._driver = driver
        self._cursor: Any = None
        self._ending = threading.Lock()  # a cursor freed while it is being cancelled would crash the process

    def rows(self, sql: str, *parameters: object) -> list[Any]:
        """Run a query and return its rows.

        Raises:
            BackupSystemError: see ``messages.error_of``.
        """
        return self.run(sql, *parameters).rows

    def run(
        self, sql: str, *parameters: object, on_messages: Callable[[list[Message]], None] | None = None
    ) -> Answer:
        """Run a statement to its very end.

        ``execute`` returns with the first message, and leaving it at that would abort a BACKUP silently; so
        every result is drained. A connection that dies in mid-statement can end the results without an
        exception (measured with Microsoft's driver 18.6), the only sign being a message whose SQLSTATE is
        not 01000: that counts as a failure.

        Args:
            sql: one batch.
            parameters: for its question marks.
            on_messages: is handed the messages as they come.

        Raises:
            BackupSystemError: see ``messages.error_of``.
        """
        answer = Answer()
        with self._translated():
            self._cursor = self._connection.cursor()
            try:
                self._drain(sql, parameters, answer, on_messages)
            finally:
                self._close_cursor()
        failures = [message for message in answer.messages if not message.is_information]
        if failures:
            raise messages.error_of(failures)
        return answer

    def cancel(self) -> None:
        """Ask the server to stop the statement that another thread runs on this session."""
        with self._ending:
            if self._cursor is not None:
                with contextlib.suppress(self._driver.Error):  # it has just ended
                    self._cursor.cancel()

    def close(self) -> None:
        """Log out; the server rolls back what is open."""
        with contextlib.suppress(self._driver.Error):  # a dead connection is closed already
            self._connection.close()

    def _drain(
        self,
        sql: str,
        parameters: tuple[object, ...],
        answer: Answer,
        on_messages: Callable[[list[Message]], None] | None,
    ) -> None:
        cursor = self._cursor
        cursor.execute(sql, *parameters)
        seen: object = None
        first = True
        while True:
            if cursor.description is not None:
                rows = cursor.fetchall()
                answer.rows = rows if first else answer.rows
                first = False
            if cursor.messages and cursor.messages is not seen:
                seen = cursor.messages
                fresh = messages.from_cursor(cursor.messages)
                answer.messages += fresh
                if on_messages:
                    on_messages(fresh)
            if not cursor.nextset():
                break
        if cursor.messages and cursor.messages is not seen:
            answer.messages += messages.from_cursor(cursor.messages)

    def _close_cursor(self) -> None:
        with self._ending:
            cursor, self._cursor = self._cursor, None
            with contextlib.suppress(self._driver.Error):  # the connection is gone, and with it the cursor
                cursor.close()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self._driver.Error as error:
            raise messages.error_of(messages.from_exception(error.args)) from None


class Server:
    """One SQL Server and how to log in to it.

    Args:
        connection: ODBC connection string; DRIVER is optional, APP and DATABASE are ours to choose.

    Raises:
        InvalidSettingsError: the string is missing or is not a connection string.
    """

    def __init__(self, connection: SecretStr | None) -> None:
        if connection is None:
            raise InvalidSettingsError(
                "SQLSERVER_CONNECTION is not set, so there is no SQL Server to work with.",
                "Example: SERVER=tcp:sql.example.net,1433;UID=octopus_backup;PWD=…;Encrypt=yes",
            )
        self._pairs = _parse(connection.get_secret_value())

    def __repr__(self) -> str:
        return f"Server({self.address!r})"

    @property
    def address(self) -> str:
        """Where the server is, for messages; never the login."""
        return next((value for key, value in self._pairs if key.lower() in ("server", "dsn")), "?")

    @contextlib.contextmanager
    def session(self, *, program: str = PROGRAM, seconds: int = QUERY_SECONDS) -> Iterator[Session]:
        """Log in, and log out when the block is left.

        Args:
            program: ``program_name`` in sys.dm_exec_sessions.
            seconds: how long the session waits for each answer of the server.

        Raises:
            UnreachableError: the server does not answer.
            NotPermittedError: it refused the login.
            InvalidSettingsError: there is no ODBC driver, or it cannot use the connection string.
        """
        driver = _pyodbc()
        try:
            connection = driver.connect(self._string(driver, program), autocommit=True, timeout=LOGIN_SECONDS)
        except driver.Error as error:
            raise self._login_error(error.args) from None
        connection.timeout = seconds  # has to be set before the first cursor
        session = Session(connection, driver)
        try:
            yield session
        finally:
            session.close()

    def _string(self, driver: ModuleType, program: str) -> str:
        pairs = [pair for pair in self._pairs if pair[0].lower() not in _OURS]
        if not any(key.lower() in ("driver", "dsn") for key, _ in pairs):
            pairs.insert(0, ("DRIVER", _newest_driver(driver.drivers())))
        pairs += [("DATABASE", "master"), ("APP", program[:_LONGEST_PROGRAM])]
        return ";".join(f"{key}={_brace(value)}" for key, value in pairs) + ";"

    def _login_error(self, arguments: tuple[object, ...]) -> BackupSystemError:
        found = messages.from_exception(arguments)
        text = messages.redact(found[0].text, *self._secrets())
        state = found[0].state
        known = messages.known_problem(found)
        if known is not None:
            known.message = messages.redact(known.message, *self._secrets())
            return known
        if state.startswith("28"):
            return NotPermittedError(
                f"SQL Server {self.address} refused the login: {text}",
                "Correct user and password (or identity) in SQLSERVER_CONNECTION.",
                code="login_failed",
            )
        if state.startswith("IM") or state in ("01000", "01S00", "FA005"):
            return InvalidSettingsError(
                f"The ODBC driver cannot use SQLSERVER_CONNECTION: {text}",
                "Check its keywords, and that the driver named in DRIVER= is installed.",
            )
        return UnreachableError(
            f"SQL Server {self.address} does not answer: {text}",
            "Check address, port and firewall, and whether the server runs; where the message speaks of a "
            "certificate, install the server's authority or add TrustServerCertificate=yes for tests.",
        )

    def _secrets(self) -> list[str]:
        return [value for key, value in self._pairs if key.lower() in ("pwd", "password") and value]


def _pyodbc() -> ModuleType:
    """Pyodbc, loaded when it is needed: where its driver manager is missing, all else still works."""
    try:
        import pyodbc
    except ImportError:
        raise InvalidSettingsError(
            "The ODBC driver manager (libodbc.so.2) is missing on this machine.",
            "Install it: `apt-get install libodbc2` on Debian; the Azure Functions image has it.",
        ) from None
    pyodbc.pooling = False  # a pooled session would keep its program_name, by which we find running backups
    driver: ModuleType = pyodbc
    return driver


def _newest_driver(installed: list[str]) -> str:
    found = [(int(match[1]), name) for name in installed if (match := _DRIVER.fullmatch(name))]
    if not found:
        raise InvalidSettingsError(
            "Microsoft's ODBC driver for SQL Server is not installed on this machine.",
            "Install the package msodbcsql18, or name a driver file with DRIVER= in SQLSERVER_CONNECTION.",
        )
    return max(found)[1]


def _parse(text: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    position = 0
    while position < len(text.rstrip("; \t\r\n")):
        match = _PAIR.match(text, position)
        if match is None:
            raise InvalidSettingsError(
                "SQLSERVER_CONNECTION is not an ODBC connection string: "
                f"it cannot be read from character {position + 1} on.",
                "It is a list of KEY=value with semicolons; a value with ; or { stands in braces: PWD={a;b}.",
            )
        value = match[2]
        pairs.append((match[1], value[1:-1].replace("}}", "}") if value.startswith("{") else value))
        position = match.end()
    if not any(key.lower() in ("server", "dsn") and value for key, value in pairs):
        raise InvalidSettingsError("SQLSERVER_CONNECTION names no server.", "Add SERVER=tcp:host,1433 to it.")
    return pairs


def _brace(value: str) -> str:
    return "{" + value.replace("}", "}}") + "}" if re.search(r"[;{}=\s]", value) else value
