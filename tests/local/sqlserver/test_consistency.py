"""DBCC CHECKDB, renaming, and the faults that a test can order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local.sqlserver.engine.events import Message
from local.sqlserver.engine.instance import Instance, Options
from tests.local.sqlserver.chains import Chain
from tests.local.sqlserver.support import Client, Server

WITH = "WITH NO_INFOMSGS, ALL_ERRORMSGS"


@pytest.fixture
def fault(client: Client) -> Iterator[list[tuple[str, str]]]:
    """The faults that a test has ordered, as (kind, pattern); they end with it."""
    ordered: list[tuple[str, str]] = []
    yield ordered
    for kind, pattern in ordered:
        client.run("EXEC standin_fault ?, ?, 0", kind, pattern)


def test_a_sound_database_passes_without_a_word(items: Client, database: str) -> None:
    assert items.numbers(f"DBCC CHECKDB (N'{database}') {WITH}") == []
    assert items.numbers(f"DBCC CHECKDB ([{database}]) WITH PHYSICAL_ONLY, NO_INFOMSGS") == []
    assert items.numbers("DBCC CHECKDB") == [2536, 8989, 2528]


def test_a_damaged_database_is_told_with_the_servers_numbers(
    items: Client, client: Client, database: str, fault: list[tuple[str, str]]
) -> None:
    client.run(f"EXEC standin_fault N'checkdb', N'{database}', 2")
    fault.append(("checkdb", database))
    number, text = client.refusal(f"DBCC CHECKDB (N'{database}') {WITH}")
    assert number == 8928
    assert "Page (1:256) could not be processed" in text
    client.run(f"EXEC standin_fault N'checkdb', N'{database}', 0")
    assert client.numbers(f"DBCC CHECKDB (N'{database}') {WITH}") == []


def test_every_error_is_followed_by_the_sums(tmp_path: Path) -> None:
    """Asked of the engine itself: on Linux the driver shows the first of several errors only."""
    instance = Instance(Options(tmp_path), "x")
    instance.faults.order("checkdb", "master", 2)
    with instance.internal_session() as session:
        said = [event for event in session.execute("DBCC CHECKDB", {}) if isinstance(event, Message)]
    assert [one.number for one in said] == [8928, 8939, 8990, 8989, 8958, 2528]
    assert [one.severity for one in said] == [16, 16, 10, 10, 10, 10]
    assert said[3].text == "CHECKDB found 0 allocation errors and 2 consistency errors in database 'master'."


@pytest.mark.parametrize(
    ("name", "number"),
    [("nowhere", 2520), ("restoring", 927)],
)
def test_only_an_open_database_can_be_checked(chain: Chain, client: Client, name: str, number: int) -> None:
    target = f"{chain.database}_{name}"
    if name == "restoring":
        chain.start(target)
    assert client.error(f"DBCC CHECKDB (N'{target}') {WITH}") == number


def test_a_check_shows_its_progress(
    items: Client, client: Client, database: str, server: Server, fault: list[tuple[str, str]]
) -> None:
    client.run(f"EXEC standin_fault N'slow', N'{database}', 0.05")
    fault.append(("slow", database))
    busy = server.connect()
    worker = threading.Thread(target=busy.run, args=(f"DBCC CHECKDB (N'{database}') {WITH}",))
    worker.start()
    sql = "SELECT percent_complete FROM sys.dm_exec_requests WHERE command = N'DBCC TABLE CHECK'"
    seen = []
    while worker.is_alive():
        seen += [row[0] for row in client.rows(sql)]
        time.sleep(0.02)
    worker.join()
    busy.close()
    assert seen == sorted(seen)
    assert any(0 < percent < 100 for percent in seen)


def test_a_slow_statement_is_slow_for_its_database_only(
    chain: Chain, client: Client, fault: list[tuple[str, str]]
) -> None:
    client.run(f"EXEC standin_fault N'slow', N'{chain.database}[_]slow', 0.03")
    fault.append(("slow", f"{chain.database}[_]slow"))
    began = time.monotonic()
    chain.start(f"{chain.database}_slow")
    slow, began = time.monotonic() - began, time.monotonic()
    chain.start(f"{chain.database}_quick")
    assert slow >= 0.3 > time.monotonic() - began


def test_the_clock_can_be_ahead(client: Client, fault: list[tuple[str, str]]) -> None:
    client.run("EXEC standin_fault N'clock', N'', 3600")
    fault.append(("clock", ""))
    ahead = client.value("SELECT SYSUTCDATETIME()") - datetime.now(UTC).replace(tzinfo=None)
    assert timedelta(minutes=59) < ahead < timedelta(minutes=61)
    client.run("EXEC standin_fault N'clock', N'', 0")
    ahead = client.value("SELECT SYSUTCDATETIME()") - datetime.now(UTC).replace(tzinfo=None)
    assert abs(ahead) < timedelta(minutes=1)


def test_an_unknown_fault_is_refused(client: Client) -> None:
    assert client.error("EXEC standin_fault N'earthquake', N'%', 1") == 40517


def test_a_renamed_database_goes_on_with_its_chain(chain: Chain, client: Client, items: Client) -> None:
    """As putting a restored copy in service does: the copy takes the name, the files stay where they are."""
    old, new = chain.database, f"{chain.database} renamed"
    guids = """SELECT family_guid, recovery_fork_guid, last_log_backup_lsn FROM sys.database_recovery_status
               WHERE database_id = DB_ID(?)"""
    files = "SELECT name, physical_name FROM sys.master_files WHERE database_id = DB_ID(?) ORDER BY file_id"
    before = client.rows(guids, old), client.rows(files, old)
    assert client.error(f"ALTER DATABASE [{old}] MODIFY NAME = [{new}]") == 5030  # somebody else is in it
    items.close()
    client.wait_until_left(old)
    assert client.error(f"ALTER DATABASE [{old}] MODIFY NAME = [msdb]") == 1801
    client.run(f"ALTER DATABASE [{old}] SET SINGLE_USER WITH ROLLBACK IMMEDIATE")
    renamed = client.run(f"ALTER DATABASE [{old}] MODIFY NAME = [{new}]")
    assert renamed == [("5021", f"The database name '{new}' has been set.")]
    client.run(f"ALTER DATABASE [{new}] SET MULTI_USER")
    assert (client.rows(guids, new), client.rows(files, new)) == before
    assert client.error(f"USE [{old}]") == 911
    chain.database = new
    chain.insert()
    chain.log("after")
    names = (
        "SELECT database_name FROM msdb.dbo.backupset WHERE database_name IN (?, ?) ORDER BY backup_set_id"
    )
    assert client.rows(names, old, new) == [(old,), (new,)]
    chain.database = old  # its logical files are called as before
    chain.start("copy of both")
    client.run(chain.restore("copy of both", "after"))
    chain.recover("copy of both")
    assert chain.rows("copy of both") == [1, 2]
