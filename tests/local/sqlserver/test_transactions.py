"""Transactions, marks, locks and isolation."""

from __future__ import annotations

import threading
import time

import pyodbc
import pytest

from tests.local.sqlserver.support import Client, Server

MARK = "rp_01JD9ZK3V7Q8W2X4Y6Z8A0B2C4"


def test_with_autocommit_off_the_driver_commits_and_rolls_back(
    items: Client, server: Server, database: str
) -> None:
    other = server.connect(database, autocommit=False)
    other.cursor.execute("INSERT INTO Items VALUES (1, N'kept')")
    assert items.value("SELECT COUNT(*) FROM Items") == 0
    other.connection.commit()
    other.cursor.execute("INSERT INTO Items VALUES (2, N'lost')")
    assert other.value("SELECT @@TRANCOUNT") == 1
    other.connection.rollback()
    assert items.rows("SELECT Name FROM Items") == [("kept",)]
    other.close()


def test_a_failed_statement_is_undone_and_the_transaction_goes_on(items: Client) -> None:
    items.run("BEGIN TRANSACTION; INSERT INTO Items VALUES (1, N'a')")
    assert items.error("INSERT INTO Items VALUES (2, N'b'), (1, N'again')") == 2627
    items.run("INSERT INTO Items VALUES (3, N'c'); COMMIT")
    assert items.rows("SELECT Id FROM Items ORDER BY Id") == [(1,), (3,)]


def test_with_xact_abort_a_failed_statement_undoes_the_transaction(items: Client) -> None:
    items.run("SET XACT_ABORT ON")
    assert (
        items.error(
            "BEGIN TRAN; INSERT INTO Items VALUES (1, N'a'); INSERT INTO Items VALUES (1, N'b'); COMMIT"
        )
        == 2627
    )
    assert items.rows("SELECT @@TRANCOUNT, (SELECT COUNT(*) FROM Items)") == [(0, 0)]


def test_commit_and_rollback_without_a_transaction_are_errors(client: Client) -> None:
    assert client.error("COMMIT") == 3902
    assert client.error("ROLLBACK") == 3903


def test_definitions_are_part_of_a_transaction(items: Client) -> None:
    items.run("BEGIN TRAN; CREATE TABLE Gone (a int); INSERT INTO Gone VALUES (1); ROLLBACK")
    assert items.error("SELECT * FROM Gone") == 208
    items.run("ALTER TABLE Items ADD Extra int NOT NULL DEFAULT 7")
    items.run("INSERT INTO Items (Id) VALUES (1)")
    assert items.rows("SELECT Id, Extra FROM Items") == [(1, 7)]


def test_a_mark_is_remembered_with_its_lsn_and_time(items: Client, database: str) -> None:
    items.run(
        f"BEGIN TRANSACTION {MARK} WITH MARK N'nightly'; INSERT INTO octopus_backup.RecoveryPoint"
        f" (MarkName, PointId, MarkedAt) VALUES (N'{MARK}', 'p', SYSUTCDATETIME()); COMMIT"
    )
    found = items.rows(
        (
            "SELECT mark_name, description, user_name FROM"
            " msdb.dbo.logmarkhistory WHERE database_name = ? AND lsn > 0"
        ),
        database,
    )
    assert found == [(MARK, "nightly", "sa")]


def test_a_mark_in_two_databases_is_in_the_log_of_both(client: Client, server: Server) -> None:
    for name in ("twin_a", "twin_b"):
        client.run(f"CREATE DATABASE [{name}]")
        client.run(f"CREATE TABLE [{name}].dbo.M (a int)")
    client.run("CREATE DATABASE [twin_c]")
    client.run(
        "BEGIN TRANSACTION twins WITH MARK; INSERT INTO [twin_a].dbo.M"
        " VALUES (1); INSERT INTO [twin_b].dbo.M VALUES (1); COMMIT"
    )
    sql = "SELECT database_name FROM msdb.dbo.logmarkhistory WHERE mark_name = 'twins' ORDER BY database_name"
    assert client.rows(sql) == [("twin_a",), ("twin_b",)]


def test_a_mark_needs_a_name_of_at_most_32_characters(items: Client) -> None:
    assert items.error("BEGIN TRANSACTION WITH MARK N'x'") == 3901
    assert items.error(f"BEGIN TRANSACTION {'x' * 33} WITH MARK") == 103
    long = (
        "DECLARE @n varchar(40) = REPLICATE('y', 40); BEGIN TRAN"
        " @n WITH MARK; INSERT INTO Items VALUES (1, NULL); COMMIT"
    )
    items.run(long)
    assert (
        items.value("SELECT mark_name FROM msdb.dbo.logmarkhistory WHERE mark_name LIKE 'yyy%'") == "y" * 32
    )


def test_a_second_mark_inside_a_marked_transaction_is_ignored_with_a_warning(items: Client) -> None:
    numbers = items.numbers(
        "BEGIN TRAN outer_mark WITH MARK; BEGIN TRAN inner_mark WITH"
        " MARK; INSERT INTO Items VALUES (1, NULL); COMMIT; COMMIT"
    )
    assert 3920 in numbers
    sql = "SELECT COUNT(*) FROM msdb.dbo.logmarkhistory WHERE mark_name IN ('outer_mark', 'inner_mark')"
    assert items.value(sql) == 1


def test_a_shared_table_lock_holds_writers_off_until_its_transaction_ends(
    items: Client, server: Server, database: str
) -> None:
    items.run("INSERT INTO Items VALUES (1, N'a')")
    marker = server.connect(database)
    marker.run("BEGIN TRANSACTION; SELECT COUNT_BIG(*) FROM Items WITH (TABLOCK, HOLDLOCK)")
    items.run("SET LOCK_TIMEOUT 100")
    assert items.error("INSERT INTO Items VALUES (2, N'b')") == 1222
    assert items.value("SELECT COUNT(*) FROM Items") == 1
    # Whoever holds the table may still write elsewhere while a writer of the table waits.
    items.run("SET LOCK_TIMEOUT -1")
    writer = threading.Thread(target=items.run, args=("INSERT INTO Items VALUES (2, N'b')",))
    writer.start()
    time.sleep(0.2)
    marker.run("INSERT INTO octopus_backup.RecoveryPoint VALUES (N'm', 'p', SYSUTCDATETIME(), NULL)")
    assert marker.value("SELECT COUNT(*) FROM Items") == 1
    marker.run("COMMIT")
    writer.join(10)
    assert items.value("SELECT COUNT(*) FROM Items") == 2
    marker.close()


def test_writers_of_one_database_take_turns(items: Client, server: Server, database: str) -> None:
    first = server.connect(database)
    first.run("BEGIN TRAN; INSERT INTO Items VALUES (1, N'a')")
    items.run("SET LOCK_TIMEOUT 50")
    assert items.error("INSERT INTO Items VALUES (2, N'b')") == 1222
    first.run("COMMIT")
    items.run("INSERT INTO Items VALUES (2, N'b')")
    first.close()


def test_two_sessions_that_wait_for_each_other_end_with_a_victim(
    items: Client, server: Server, database: str
) -> None:
    other = server.connect(database)
    items.run("BEGIN TRAN; SELECT COUNT(*) FROM Items WITH (TABLOCK, HOLDLOCK)")
    other.run("BEGIN TRAN; SELECT COUNT(*) FROM Items WITH (TABLOCK, HOLDLOCK)")
    waiting = threading.Thread(target=lambda: other.run("INSERT INTO Items VALUES (1, N'a'); COMMIT"))
    waiting.start()
    time.sleep(0.2)
    assert items.error("INSERT INTO Items VALUES (2, N'b')") == 1205
    waiting.join(10)
    assert items.rows("SELECT @@TRANCOUNT, (SELECT MAX(Id) FROM Items)") == [(0, 1)]
    other.close()


def test_a_snapshot_transaction_sees_the_database_as_it_was(
    items: Client, server: Server, database: str
) -> None:
    reader = server.connect(database)
    reader.run("SET TRANSACTION ISOLATION LEVEL SNAPSHOT")
    assert reader.error("BEGIN TRAN; SELECT COUNT(*) FROM Items") == 3952
    reader.run("ROLLBACK")
    items.run(f"ALTER DATABASE [{database}] SET ALLOW_SNAPSHOT_ISOLATION ON")
    reader.run("BEGIN TRAN; SELECT COUNT(*) FROM Items")
    items.run("INSERT INTO Items VALUES (1, N'later')")
    assert reader.value("SELECT COUNT(*) FROM Items") == 0
    assert (
        reader.error("UPDATE Items SET Name = N'x' WHERE Id = 1; INSERT INTO Items VALUES (5, N'x')") == 3960
    )
    assert reader.value("SELECT @@TRANCOUNT") == 0
    assert reader.value("SELECT COUNT(*) FROM Items") == 1
    reader.close()


def test_a_waiting_statement_can_be_cancelled_and_a_session_killed(items: Client, server: Server) -> None:
    canceller = threading.Timer(0.3, items.cursor.cancel)
    canceller.start()
    with pytest.raises(pyodbc.Error, match="HY008"):
        items.run("WAITFOR DELAY '00:00:30'")
    canceller.join()  # the driver takes no other call for this cursor before its own SQLCancel has returned
    assert items.value("SELECT 1") == 1
    victim = server.connect()
    spid = victim.value("SELECT @@SPID")
    items.run(f"KILL {spid}")
    with pytest.raises(pyodbc.Error):
        victim.value("SELECT 1")
    assert items.error(f"KILL {spid}") == 6106
