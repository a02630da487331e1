"""BACKUP: its rules, its messages, what it leaves in msdb."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pyodbc
import pytest

from tests.local.sqlserver.support import Client, Server, running


def backup_set(client: Client, database: str, columns: str) -> list[tuple[object, ...]]:
    sql = f"SELECT {columns} FROM msdb.dbo.backupset WHERE database_name = ? ORDER BY backup_set_id"
    return client.rows(sql, database)


def test_a_full_backup_reports_progress_pages_and_success(items: Client, database: str, folder: Path) -> None:
    messages = items.run(
        f"BACKUP DATABASE [{database}] TO DISK = N'{folder}/f' WITH COMPRESSION, CHECKSUM, STATS = 25"
    )
    assert [number for number, _ in messages] == ["3211"] * 4 + ["4035", "4035", "3014"]
    assert messages[0][1] == "25 percent processed."
    assert messages[-1][1].startswith("BACKUP DATABASE successfully processed ")
    found = backup_set(
        items, database, "type, is_copy_only, has_backup_checksums, is_damaged, recovery_model, user_name"
    )
    assert found == [("D", False, True, False, "FULL", "sa")]
    media = items.rows(
        "SELECT f.physical_device_name, f.device_type FROM msdb.dbo.backupmediafamily"
        " AS f JOIN msdb.dbo.backupset AS b"
        " ON b.media_set_id = f.media_set_id WHERE b.database_name = ?",
        database,
    )
    assert media == [(f"{folder}/f", 2)]


def test_a_device_can_be_a_parameter(items: Client, database: str, folder: Path) -> None:
    items.run(f"BACKUP DATABASE [{database}] TO DISK = ? WITH CHECKSUM", f"{folder}/p")
    assert (folder / "p").exists()


def test_the_chain_in_msdb_joins_without_gaps(items: Client, database: str, folder: Path) -> None:
    items.run(f"BACKUP DATABASE [{database}] TO DISK = N'{folder}/f'")
    for number in (1, 2):
        items.run(f"INSERT INTO Items VALUES ({number}, N'x')")
        items.run(f"BACKUP LOG [{database}] TO DISK = N'{folder}/l{number}'")
    items.run(f"BACKUP DATABASE [{database}] TO DISK = N'{folder}/d' WITH DIFFERENTIAL")
    columns = (
        "type, first_lsn, last_lsn, checkpoint_lsn, database_backup_lsn,"
        " differential_base_lsn, begins_log_chain"
    )
    full, log1, log2, diff = backup_set(items, database, columns)
    assert (full[0], log1[0], log2[0], diff[0]) == ("D", "L", "L", "I")
    assert log1[1] <= full[2]  # type: ignore[operator]
    assert log1[2] == log2[1]
    assert log2[2] > log2[1]  # type: ignore[operator]
    assert (full[4], log1[4], diff[4], diff[5]) == (0, full[3], full[3], full[3])
    assert (log1[6], log2[6]) == (True, False)
    guids = backup_set(items, database, "backup_set_uuid, differential_base_guid")
    assert guids[3][1] == guids[0][0]


def test_a_net_zero_transaction_moves_the_log_on_and_an_idle_log_backup_is_empty(
    items: Client, database: str, folder: Path
) -> None:
    items.run(f"BACKUP DATABASE [{database}] TO DISK = N'{folder}/f'")
    items.run(f"BACKUP LOG [{database}] TO DISK = N'{folder}/a'")
    items.run("BEGIN TRAN; INSERT INTO Items VALUES (1, NULL); DELETE FROM Items; COMMIT")
    stats = "SELECT recovery_model, log_since_last_log_backup_mb FROM sys.dm_db_log_stats(DB_ID())"
    assert items.rows(stats)[0][0] == "FULL"
    items.run(f"BACKUP LOG [{database}] TO DISK = N'{folder}/b'")
    items.run(f"BACKUP LOG [{database}] TO DISK = N'{folder}/c'")
    first, second = backup_set(items, database, "first_lsn, last_lsn")[-2:]
    assert first[0] < first[1]  # type: ignore[operator]
    assert second[0] == second[1] == first[1]


def test_copy_only_changes_neither_the_base_nor_the_log_chain(
    items: Client, database: str, folder: Path
) -> None:
    items.run(f"BACKUP DATABASE [{database}] TO DISK = N'{folder}/f'")
    items.run("INSERT INTO Items VALUES (1, NULL)")
    items.run(f"BACKUP DATABASE [{database}] TO DISK = N'{folder}/cf' WITH COPY_ONLY")
    items.run(f"BACKUP LOG [{database}] TO DISK = N'{folder}/cl' WITH COPY_ONLY")
    items.run(f"BACKUP LOG [{database}] TO DISK = N'{folder}/l'")
    items.run(f"BACKUP DATABASE [{database}] TO DISK = N'{folder}/d' WITH DIFFERENTIAL")
    rows = backup_set(
        items, database, "type, is_copy_only, first_lsn, backup_set_uuid, differential_base_guid"
    )
    full, _, copied_log, log, diff = rows
    assert copied_log[2] == log[2]
    assert diff[4] == full[3]


def test_misuse_is_refused_with_the_real_numbers(items: Client, database: str, folder: Path) -> None:
    log, full = (
        f"BACKUP LOG [{database}] TO DISK = N'{folder}/l'",
        f"BACKUP DATABASE [{database}] TO DISK = N'{folder}/f'",
    )
    assert items.error(log) == 4214
    assert items.error(f"{full} WITH DIFFERENTIAL") == 3035
    assert items.error(f"BACKUP DATABASE [{database}] TO DISK = N'{folder}/no/such/f'") == 3201
    assert (
        "3(The system cannot find the path"
        in items.refusal(f"BACKUP DATABASE [{database}] TO DISK = N'/dev/null/f'")[1]
    )
    assert items.error("BACKUP DATABASE nowhere TO DISK = N'x'") == 911
    assert items.error("BACKUP DATABASE tempdb TO DISK = N'x'") == 3147
    assert items.error(f"{full} WITH NO_SUCH_OPTION") == 155
    assert items.error(f"{full} WITH CHECKSUM, NO_CHECKSUM") == 3031
    assert items.error(f"{full} WITH NORECOVERY") == 3032
    assert items.error(f"{log} WITH DIFFERENTIAL") == 3032
    assert items.error(f"{full} WITH CREDENTIAL = N'x'") == 3225
    items.run(f"ALTER DATABASE [{database}] SET RECOVERY SIMPLE")
    assert items.error(log) == 4208


def test_every_failure_ends_with_3013(items: Client, database: str) -> None:
    batch = (
        f"BEGIN TRY BACKUP LOG [{database}] TO DISK = N'x' END TRY BEGIN"
        " CATCH SELECT ERROR_NUMBER() END CATCH"
    )
    assert items.value(batch) == 4214


def test_inside_a_transaction_backups_are_refused(server: Server, database: str, folder: Path) -> None:
    client = server.connect(autocommit=False)
    assert client.error(f"BACKUP DATABASE [{database}] TO DISK = N'{folder}/f'") == 3021
    client.close()


def test_a_moment_of_simple_recovery_breaks_the_chain_and_a_differential_bridges_it(
    items: Client, database: str, folder: Path
) -> None:
    items.run(f"BACKUP DATABASE [{database}] TO DISK = N'{folder}/f'")
    items.run(f"ALTER DATABASE [{database}] SET RECOVERY SIMPLE")
    items.run(f"ALTER DATABASE [{database}] SET RECOVERY FULL")
    log = f"BACKUP LOG [{database}] TO DISK = N'{folder}/l'"
    assert items.error(log) == 4214
    items.run(f"BACKUP DATABASE [{database}] TO DISK = N'{folder}/d' WITH DIFFERENTIAL")
    items.run(log)
    assert backup_set(items, database, "begins_log_chain")[-1] == (True,)


def test_dates_are_local_whole_seconds_and_the_zone_is_in_quarters_of_an_hour(tmp_path: Path) -> None:
    with running(tmp_path, "--utc-offset", "-210") as server:
        client = server.connect()
        client.run("CREATE DATABASE z")
        client.run(f"BACKUP DATABASE z TO DISK = N'{tmp_path}/f'")
        zone, start, utc = client.rows(
            "SELECT time_zone, backup_start_date, SYSUTCDATETIME() FROM msdb.dbo.backupset"
        )[0]
        assert zone == -14
        assert start.microsecond == 0
        assert 12590 < (utc - start).total_seconds() < 12630
        client.close()


def test_a_slow_backup_can_be_watched_killed_and_run_beside_a_log_backup(tmp_path: Path) -> None:
    with running(tmp_path, "--slow", "0.3") as server:
        client, other = server.connect(application="runner-1"), server.connect()
        client.run("CREATE DATABASE s; CREATE DATABASE t")
        for name in "st":
            client.run(f"CREATE TABLE {name}.dbo.T (a int)")
        spid = client.value("SELECT @@SPID")
        failure: list[BaseException] = []

        def back_up() -> None:
            try:
                client.run(f"BACKUP DATABASE s TO DISK = N'{tmp_path}/slow'")
            except pyodbc.Error as error:
                failure.append(error)

        thread = threading.Thread(target=back_up)
        thread.start()
        sql = (
            "SELECT r.command, r.percent_complete, DB_NAME(r.database_id),"
            " s.program_name FROM sys.dm_exec_requests AS r"
            " JOIN sys.dm_exec_sessions AS s ON s.session_id = r.session_id WHERE r.session_id = ?"
        )
        seen: list[tuple[object, ...]] = []
        while not seen or not seen[0][1]:
            time.sleep(0.1)
            seen = other.rows(sql, spid)
        assert seen[0][0] == "BACKUP DATABASE"
        assert seen[0][2:] == ("s", "runner-1")
        assert other.error(f"BACKUP DATABASE s TO DISK = N'{tmp_path}/second'") == 3023
        other.run(f"KILL {spid}")
        thread.join(10)
        assert other.value("SELECT COUNT(*) FROM msdb.dbo.backupset") == 0
        assert (tmp_path / "slow").exists()
        assert other.error(f"RESTORE VERIFYONLY FROM DISK = N'{tmp_path}/slow'") in (3241, 3256)
        other.close()


def test_closing_the_cursor_early_aborts_the_backup(tmp_path: Path) -> None:
    with running(tmp_path, "--slow", "0.2") as server:
        client = server.connect()
        client.run("CREATE DATABASE s")
        client.cursor.execute(f"BACKUP DATABASE s TO DISK = N'{tmp_path}/f'")
        client.cursor.close()
        client.cursor = client.connection.cursor()
        assert client.value("SELECT COUNT(*) FROM msdb.dbo.backupset") == 0
        client.close()


def test_a_server_killed_in_mid_backup_shows_only_in_the_messages(tmp_path: Path) -> None:
    with running(tmp_path, "--slow", "0.3") as server:
        client = server.connect()
        client.run("CREATE DATABASE s")
        threading.Timer(0.8, server.child.kill).start()
        try:
            messages = client.run(f"BACKUP DATABASE s TO DISK = N'{tmp_path}/f'")
        except pyodbc.Error as error:
            assert error.args[0] == "08S01"  # noqa: PT017 -- either way is the driver's
        else:
            assert "3014" not in [number for number, _ in messages]
    with running(tmp_path) as server:
        client = server.connect()
        assert client.value("SELECT COUNT(*) FROM msdb.dbo.backupset") == 0
        assert client.error(f"RESTORE HEADERONLY FROM DISK = N'{tmp_path}/f'") == 3256
        client.close()


def test_the_tail_of_the_log_takes_the_database_out_of_service(
    items: Client, client: Client, database: str, folder: Path
) -> None:
    client.run(f"BACKUP DATABASE [{database}] TO DISK = N'{folder}/f'")
    tail = f"BACKUP LOG [{database}] TO DISK = N'{folder}/t' WITH NORECOVERY"
    assert client.error(tail) == 3101
    client.run(f"ALTER DATABASE [{database}] SET SINGLE_USER WITH ROLLBACK IMMEDIATE; {tail}")
    assert client.value("SELECT state_desc FROM sys.databases WHERE name = ?", database) == "RESTORING"
    with pytest.raises(pyodbc.Error):
        items.value("SELECT 1")
    client.run(f"RESTORE DATABASE [{database}] WITH RECOVERY")
    assert client.value("SELECT state_desc FROM sys.databases WHERE name = ?", database) == "ONLINE"


def test_a_tail_that_is_cut_short_leaves_the_database_in_service(
    items: Client, client: Client, database: str, folder: Path
) -> None:
    client.run(f"BACKUP DATABASE [{database}] TO DISK = N'{folder}/f'")
    items.run("INSERT INTO dbo.Items VALUES (1, NULL)")
    items.close()
    client.wait_until_left(database)
    client.run(f"EXEC standin_fault N'slow', N'{database}', 0.2")
    tail = f"BACKUP LOG [{database}] TO DISK = N'{folder}/t' WITH NORECOVERY"
    client.cursor.execute(tail)
    client.cursor.close()  # in its midst: the driver cancels it
    client.cursor = client.connection.cursor()
    client.run(f"EXEC standin_fault N'slow', N'{database}', 0")
    assert client.value("SELECT state_desc FROM sys.databases WHERE name = ?", database) == "ONLINE"
    client.run(f"INSERT INTO [{database}].dbo.Items VALUES (2, NULL)")
    client.run("USE master")
    assert 3014 in client.numbers(tail.replace("/t'", "/u'"))
