"""What can only be shown on a server that we may slow down, kill and start in other versions."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.azurite import Azurite
from shared.blob.storage import Storage
from shared.clock import new_ulid
from shared.errors import ConflictError, OutcomeUnknownError, SqlServerError, UnreachableError
from shared.model.backups import Kind
from shared.stores.sqlserver.connection import Server
from shared.stores.sqlserver.store import SqlServerStore
from tests.stores.sqlserver.support import (
    Chain,
    Database,
    TestServer,
    allow_containers,
    make_database,
    standin_server,
    store_for,
)

pytestmark = pytest.mark.skipif(
    "SQLSERVER_CONNECTION" in os.environ, reason="a real server is neither slowed down nor killed"
)

NAME = "octopus_test_powers"


@pytest.fixture
def slow(azurite: Azurite, tmp_path: Path) -> Iterator[TestServer]:
    """A server whose backups and restores take 0.25 s for every tenth."""
    with standin_server(tmp_path, azurite, "--slow", "0.25") as started:
        yield started


@pytest.fixture
def slow_store(slow: TestServer, storage: Storage) -> SqlServerStore:
    return store_for(slow, storage, "disk")


@pytest.fixture
def slow_database(slow: TestServer) -> Iterator[Database]:
    with Server(slow.connection).session() as admin:
        yield make_database(admin, NAME)


def kill_after(server: TestServer, seconds: float) -> threading.Timer:
    assert server.child is not None
    timer = threading.Timer(seconds, server.child.kill)
    timer.start()
    return timer


def test_progress_is_seen_while_the_server_works(slow_store: SqlServerStore, slow_database: Database) -> None:
    told: list[int] = []
    slow_store.back_up(Chain(slow_store, NAME).request(Kind.FULL), told.append)
    assert told == sorted(told)
    assert len({percent for percent in told if 0 < percent < 60}) >= 1
    assert told[-1] == 100


@pytest.mark.parametrize("seconds", [0.6, 1.4, 2.2])
def test_a_server_killed_in_mid_backup_never_looks_like_success(
    slow: TestServer, slow_store: SqlServerStore, slow_database: Database, storage: Storage, seconds: float
) -> None:
    request = Chain(slow_store, NAME).request(Kind.FULL)
    timer = kill_after(slow, seconds)
    with pytest.raises(UnreachableError) as failed:
        slow_store.back_up(request)
    timer.join()
    assert isinstance(failed.value, OutcomeUnknownError)
    assert list(storage.container("data").list_blobs(name_starts_with=request.prefix)) == []


def test_a_server_killed_in_mid_restore_never_looks_like_success(
    slow: TestServer, slow_store: SqlServerStore, slow_database: Database
) -> None:
    chain = Chain(slow_store, NAME)
    chain.take(Kind.FULL)
    timer = kill_after(slow, 1.5)
    with pytest.raises(UnreachableError):
        chain.restore(slow_database.side())
    timer.join()
    assert list(slow.backup_dir_local.glob("octopus-restore-*")) == []


def test_a_second_start_of_the_same_attempt_waits_for_the_first_and_adopts_its_backup(
    slow_store: SqlServerStore, slow_database: Database
) -> None:
    request = Chain(slow_store, NAME).request(Kind.FULL)
    done: list[str] = []
    first = threading.Thread(target=lambda: done.append(slow_store.back_up(request).facts.backup_set_uuid))
    first.start()
    time.sleep(1.0)
    second = slow_store.back_up(request)
    first.join()
    assert done == [second.facts.backup_set_uuid]
    rows = slow_database.admin.rows("SELECT COUNT(*) FROM msdb.dbo.backupset;")
    assert rows[0][0] == 1


def test_a_run_that_lost_its_lock_stops_its_statement(
    slow_store: SqlServerStore, slow_database: Database
) -> None:
    def lost(percent: int) -> None:
        raise ConflictError("The lock was taken over.")

    request = Chain(slow_store, NAME).request(Kind.FULL)
    began = time.monotonic()
    with pytest.raises(ConflictError, match="taken over"):
        slow_store.back_up(request, lost)
    assert time.monotonic() - began < 2.2  # the whole would take 2.5 s
    assert slow_database.admin.rows("SELECT COUNT(*) FROM msdb.dbo.backupset;")[0][0] == 0


def test_two_backups_of_one_database_at_once_are_refused_for_now(
    slow_store: SqlServerStore, slow_database: Database
) -> None:
    chain = Chain(slow_store, NAME)
    first = threading.Thread(target=chain.take, args=(Kind.FULL,))
    first.start()
    time.sleep(0.8)
    with pytest.raises(SqlServerError) as failed:
        slow_store.back_up(chain.request(Kind.FULL))
    first.join()
    assert (failed.value.specific_code, failed.value.retryable) == ("backup_running", True)


def test_a_restore_that_was_broken_off_is_repeated_by_its_own_run(
    slow_store: SqlServerStore, slow_database: Database
) -> None:
    chain = Chain(slow_store, NAME)
    chain.take(Kind.FULL)
    step = chain.steps(slow_database.side())[0]
    run = new_ulid()

    def lost(percent: int) -> None:
        if percent > 40:
            raise ConflictError("The lock was taken over.")

    with pytest.raises(ConflictError):
        slow_store.restore(step, run_id=run, progress=lost)
    assert slow_store.restore(step, run_id=run)["skipped"] is False
    slow_store.recover(slow_database.side())
    assert slow_database.texts(slow_database.side()) == ["the first"]


def test_sql_server_2025_writes_straight_into_the_data_container(
    azurite: Azurite, storage: Storage, tmp_path: Path
) -> None:
    with (
        standin_server(tmp_path, azurite, "--version", "2025") as started,
        Server(started.connection).session() as admin,
    ):
        allow_containers(started, storage, azurite.account_key)
        made = make_database(admin, NAME)
        store = store_for(started, storage, "url")
        chain = Chain(store, NAME)
        request = chain.request(Kind.FULL)
        landed = len(list(storage.container("landing").list_blobs()))
        backup = store.back_up(request)
        assert backup.facts.server_version.startswith("17.")
        assert len(list(storage.container("landing").list_blobs())) == landed
        assert store.back_up(request).facts == backup.facts
        chain.taken.append((request.backup_id, Kind.FULL, backup))
        chain.restore(made.side())
        assert made.texts(made.side()) == ["the first"]
        store.verify(chain.manifest(0))
