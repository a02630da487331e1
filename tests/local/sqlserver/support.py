"""What the tests of the stand-in SQL Server share: running one, talking to it, reading its answers."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyodbc
import pytest

from local import processes
from local.sqlserver.client import connection_string

PASSWORD = "Stand-in!23"
_NUMBER = re.compile(r"\((\d+)\) \(SQL\w+\)")
_ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Server:
    """A running stand-in and the folder that it keeps everything in."""

    child: processes.Child
    folder: Path

    @property
    def port(self) -> int:
        return int(self.child.ready["port"])

    def connect(self, database: str = "master", *, autocommit: bool = True, application: str = "") -> Client:
        text = connection_string(self.port, PASSWORD, database=database, application=application)
        return Client(pyodbc.connect(text, autocommit=autocommit, timeout=10))

    def connect_as(self, login: str, database: str = "master") -> Client:
        """A connection of another login than sa, which was made with the same password."""
        text = connection_string(self.port, PASSWORD, database=database).replace("UID=sa", f"UID={login}")
        return Client(pyodbc.connect(text, autocommit=True, timeout=10))


class Client:
    """A connection with one cursor."""

    def __init__(self, connection: pyodbc.Connection) -> None:
        self.connection = connection
        self.cursor = connection.cursor()
        self._closed = False

    def run(self, sql: str, *values: Any) -> list[tuple[str, str]]:
        """Run a batch to its end; the messages as (number, text)."""
        self.cursor.execute(sql, *values)
        found = list(self.cursor.messages or [])
        while self.cursor.nextset():
            found += self.cursor.messages or []
        # A message is ("[SQLSTATE] (number)", "[source] … text").
        return [(state.split("(")[1].rstrip(")"), text.rsplit("]", 1)[-1]) for state, text in found]

    def numbers(self, sql: str, *values: Any) -> list[int]:
        """The numbers of the messages, without those of progress."""
        return [int(number) for number, _ in self.run(sql, *values) if number != "3211"]

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """The first result set."""
        return [tuple(row) for row in self.cursor.execute(sql, *values).fetchall()]

    def value(self, sql: str, *values: Any) -> Any:
        """The first column of the first row."""
        return self.cursor.execute(sql, *values).fetchone()[0]

    def error(self, sql: str, *values: Any) -> int:
        """The number of the error that a batch must end with."""
        return self.refusal(sql, *values)[0]

    def refusal(self, sql: str, *values: Any) -> tuple[int, str]:
        """The number and text of the error that a batch must end with."""
        with pytest.raises(pyodbc.Error) as caught:
            self.run(sql, *values)
        text = str(caught.value.args[1])
        found = _NUMBER.search(text)
        assert found, text
        return int(found[1]), text

    def wait_until_left(self, database: str, seconds: float = 5.0) -> None:
        """A closed connection is gone for the server a moment later: wait until nobody uses the database."""
        deadline = time.monotonic() + seconds
        sql = "SELECT COUNT(*) FROM sys.dm_exec_sessions WHERE database_id = DB_ID(?)"
        while self.value(sql, database):
            assert time.monotonic() < deadline, "somebody still uses the database"
            time.sleep(0.01)

    def close(self) -> None:
        """Close; may be done twice."""
        if not self._closed:
            self._closed = True
            self.connection.close()


def start_server(folder: Path, *options: str, env: dict[str, str] | None = None) -> Server:
    command = [sys.executable, "-m", "local.sqlserver", "--data-dir", str(folder), *options]
    child = processes.start(
        "sqlserver",
        command,
        log=folder / "server.log",
        env={"STANDIN_SA_PASSWORD": PASSWORD, **(env or {})},
        cwd=_ROOT,
    )
    return Server(child, folder)


@contextmanager
def running(folder: Path, *options: str, env: dict[str, str] | None = None) -> Iterator[Server]:
    """A server for as long as the block lasts."""
    server = start_server(folder, *options, env=env)
    try:
        yield server
    finally:
        server.child.stop()


def batches(script: str) -> list[str]:
    """The batches of a script, as sqlcmd cuts it at GO."""
    return [batch for batch in re.split(r"(?mi)^GO\s*$", script) if batch.strip()]
