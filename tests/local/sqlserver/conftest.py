"""One stand-in server per worker, a database per test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local.sqlserver.chains import Chain
from tests.local.sqlserver.support import Client, Server, running

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("sqlserver")) as started:
        yield started


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    opened = server.connect()
    yield opened
    opened.close()


@pytest.fixture
def database(client: Client) -> str:
    """The name of a new, empty database."""
    name = f"db{next(_numbers)}"
    client.run(f"CREATE DATABASE [{name}]")
    return name


@pytest.fixture
def items(database: str, server: Server) -> Iterator[Client]:
    """A connection to a database with a table ``Items (Id, Name)`` and a marker table."""
    opened = server.connect(database)
    opened.run("CREATE TABLE dbo.Items (Id int NOT NULL PRIMARY KEY, Name nvarchar(50) NULL)")
    opened.run("CREATE SCHEMA octopus_backup")
    opened.run(
        "CREATE TABLE octopus_backup.RecoveryPoint (MarkName nvarchar(32) NOT NULL PRIMARY KEY,"
        " PointId varchar(40) NOT NULL, MarkedAt datetime2 NOT NULL, VectorSide nvarchar(max) NULL)"
    )
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a test's backups go."""
    return tmp_path


@pytest.fixture
def chain(items: Client, client: Client, database: str, folder: Path) -> Chain:
    return Chain(client, database, folder)
