"""A SQL Server, a storage account and a database to work on.

The server is the one that the environment names (``SQLSERVER_CONNECTION``, ``SQLSERVER_BACKUP_DIR``,
``SQLSERVER_BACKUP_DIR_LOCAL``: `make test-real`), else the stand-in. Only databases whose names begin with
``octopus_test_`` are ever made, overwritten or dropped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.azurite import Azurite
from shared.blob.storage import Storage
from shared.clock import SystemClock, new_ulid
from shared.stores.sqlserver.connection import Server
from shared.stores.sqlserver.store import SqlServerStore
from tests.stores.sqlserver.support import (
    Database,
    TestServer,
    allow_containers,
    drop_test_databases,
    make_database,
    real_server,
    standin_server,
    store_for,
)

GIVEN = dict(os.environ)
"""As the tests were started: other tests change the environment while they run."""


@pytest.fixture(scope="session")
def storage(azurite: Azurite) -> Iterator[Storage]:
    with Storage(azurite.url, azurite.account_key, SystemClock()) as opened:
        opened.ensure_containers()
        yield opened


@pytest.fixture(scope="session")
def server(
    azurite: Azurite, storage: Storage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestServer]:
    if GIVEN.get("SQLSERVER_CONNECTION"):
        yield real_server(GIVEN)
        return
    with standin_server(tmp_path_factory.mktemp("sqlserver"), azurite) as started:
        allow_containers(started, storage, azurite.account_key)
        yield started


@pytest.fixture(params=["disk", "url"])
def medium(request: pytest.FixtureRequest, server: TestServer) -> str:
    if request.param == "url" and server.real:
        pytest.skip("a real SQL Server cannot reach this machine's Azurite; TO URL needs a real account")
    return str(request.param)


@pytest.fixture
def store(server: TestServer, storage: Storage, medium: str) -> SqlServerStore:
    return store_for(server, storage, medium)


@pytest.fixture
def disk_store(server: TestServer, storage: Storage) -> SqlServerStore:
    """For what does not depend on the medium."""
    return store_for(server, storage, "disk")


@pytest.fixture
def database(server: TestServer) -> Iterator[Database]:
    """A database in the FULL recovery model with Octopus' tables, some rows, and the marker schema."""
    prefix = f"octopus_test_{new_ulid().lower()}"
    with Server(server.connection).session() as admin:
        made = make_database(admin, prefix)
        yield made
        drop_test_databases(admin, prefix)


@pytest.fixture
def backup_folder(server: TestServer) -> Path:
    """The folder that the server writes to, as the tests see it."""
    return server.backup_dir_local
