from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyodbc
import pytest

from local.octopus import loading, schema
from local.octopus.loading import Loaded
from local.octopus.memory import Memory
from local.octopus.rows import unit_of_work
from local.processes import Child, start, stopping
from local.sqlserver.client import connection_string
from shared.clock import SystemClock
from tests.local.octopus.octopus import PASSWORD, TOKEN, Octopus, Stores

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """Both stand-ins, with no database and no collection of ours."""
    base = tmp_path_factory.mktemp("octopus")
    with stopping([]) as running:

        def launch(name: str, **env: str) -> Child:
            command = [sys.executable, "-m", f"local.{name}", "--data-dir", str(base / name)]
            running.append(start(name, command, log=base / f"{name}.log", env=env, cwd=ROOT))
            return running[-1]

        sqlserver = launch("sqlserver", STANDIN_SA_PASSWORD=PASSWORD)
        qdrant = launch("qdrant")
        yield Stores(int(sqlserver.ready["port"]), str(qdrant.ready["url"]), base)


def create_database(stores: Stores, name: str) -> str:
    """A new database with the product's tables; returns its connection string."""
    master = pyodbc.connect(connection_string(stores.sql_port, PASSWORD), autocommit=True)
    with contextlib.closing(master):
        master.execute(f"CREATE DATABASE [{name}]")
    return connection_string(stores.sql_port, PASSWORD, database=name)


@pytest.fixture(scope="session")
def sql(stores: Stores) -> str:
    """Connection string of a database with the product's tables."""
    sql = create_database(stores, "OctopusDB")
    with unit_of_work(sql) as connection:
        schema.migrate(connection)
    return sql


@pytest.fixture
def empty_sql(stores: Stores, request: pytest.FixtureRequest) -> str:
    """Connection string of an empty database of the test's own."""
    return create_database(stores, f"Empty_{request.node.name}")


@pytest.fixture(scope="session")
def memory(stores: Stores, sql: str) -> Iterator[Memory]:
    with contextlib.closing(Memory(sql, stores.qdrant, SystemClock())) as memory:
        yield memory


@pytest.fixture(scope="session")
def loaded(memory: Memory) -> Loaded:
    """The demo's beginning, loaded once a process; tests add to it with agents of their own."""
    return loading.load(memory, random.Random(1))


@pytest.fixture(scope="session")
def octopus(stores: Stores, sql: str, loaded: Loaded) -> Iterator[Octopus]:
    """The API as a process of its own, over the loaded stores."""
    env = {"OCTOPUS_SQL": sql, "OCTOPUS_QDRANT": stores.qdrant, "OCTOPUS_TOKEN": TOKEN}
    child = start(
        "octopus", [sys.executable, "-m", "local.octopus"], log=stores.base / "octopus.log", env=env, cwd=ROOT
    )
    with stopping([child]):
        url = str(child.ready["url"])
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as http:
            yield Octopus(url, http, loaded)
