"""RESTORE: the chain's rules, stop points, forks, interruptions."""

from __future__ import annotations

import datetime as dt
import signal
import threading
from pathlib import Path

import pyodbc

from tests.local.sqlserver.chains import Chain
from tests.local.sqlserver.support import Client, Server, running


def test_full_differential_logs_and_mark_give_exactly_the_rows_of_the_mark(chain: Chain) -> None:
    chain.insert()
    chain.backup("DATABASE", "diff", "DIFFERENTIAL, CHECKSUM")
    chain.insert()
    chain.log("log1")
    chain.insert()
    marked = chain.insert(mark="rp_x")
    chain.insert()
    chain.log("log2")
    target = f"{chain.database}_at_mark"
    chain.start(target)
    chain.client.run(chain.restore(target, "diff", log=False))
    assert 4329 in chain.client.numbers(chain.restore(target, "log1", "NORECOVERY, STOPATMARK = N'rp_x'"))
    assert 4329 not in chain.client.numbers(chain.restore(target, "log2", "NORECOVERY, STOPATMARK = N'rp_x'"))
    chain.recover(target)
    assert chain.rows(target) == list(range(1, marked + 1))
    history = chain.client.rows(
        "SELECT restore_type, stop_at_mark_name, recovery FROM msdb.dbo.restorehistory"
        " WHERE destination_database_name = ?"
        " ORDER BY restore_history_id",
        target,
    )
    assert history == [("D", None, False), ("I", None, False), ("L", "rp_x", False), ("L", "rp_x", False)]


def test_stop_before_mark_leaves_the_marked_transaction_out(chain: Chain) -> None:
    chain.insert(mark="here")
    chain.log("log")
    target = f"{chain.database}_before"
    chain.start(target)
    chain.client.run(chain.restore(target, "log", "RECOVERY, STOPBEFOREMARK = N'here'"))
    assert chain.rows(target) == [1]


def test_mark_names_are_compared_with_their_case(chain: Chain) -> None:
    chain.insert(mark="MixedCase")
    chain.log("log")
    target = f"{chain.database}_case"
    chain.start(target)
    assert 4329 in chain.client.numbers(chain.restore(target, "log", "RECOVERY, STOPATMARK = N'mixedcase'"))
    assert chain.state(target) == "RESTORING"


def test_an_lsn_works_as_a_stop_point(chain: Chain) -> None:
    chain.insert(mark="by_lsn")
    chain.insert()
    chain.log("log")
    lsn = chain.client.value(
        "SELECT lsn FROM msdb.dbo.logmarkhistory WHERE mark_name = 'by_lsn' AND database_name = ?",
        chain.database,
    )
    target = f"{chain.database}_lsn"
    chain.start(target)
    chain.client.run(chain.restore(target, "log", f"RECOVERY, STOPATMARK = N'lsn:{lsn}'"))
    assert chain.rows(target) == [1, 2]
    bad = f"{chain.database}_bad"
    chain.start(bad)
    assert chain.client.error(chain.restore(bad, "log", "NORECOVERY, STOPATMARK = N'lsn:x'")) == 4334


def test_a_point_in_time_stops_between_two_transactions(chain: Chain) -> None:
    chain.insert()
    between = chain.client.value("SELECT SYSDATETIME()") + dt.timedelta(milliseconds=5)
    chain.client.run("WAITFOR DELAY '00:00:00.050'")
    chain.insert()
    chain.log("log")
    target = f"{chain.database}_pit"
    chain.start(target)
    stop = f"STOPAT = N'{between.isoformat()}'"
    chain.client.run(chain.restore(target, "log", f"NORECOVERY, {stop}"))
    chain.recover(target)
    assert chain.rows(target) == [1, 2]
    later = f"{chain.database}_later"
    chain.start(later)
    assert 4322 in chain.client.numbers(
        chain.restore(later, "log", "RECOVERY, STOPAT = N'2099-01-01T00:00:00'")
    )
    assert chain.state(later) == "RESTORING"
    early = f"STOPAT = N'{(between - dt.timedelta(days=1)).isoformat()}'"
    assert chain.client.error(chain.restore(later, "log", f"NORECOVERY, {early}")) in (4335, 4326)


def test_what_is_committed_while_a_full_backup_runs_is_in_it(tmp_path: Path) -> None:
    with running(tmp_path, "--slow", "0.1") as server:
        client, other = server.connect(), server.connect()
        client.run("CREATE DATABASE s; CREATE TABLE s.dbo.Items (Id int)")
        thread = threading.Thread(target=client.run, args=(f"BACKUP DATABASE s TO DISK = N'{tmp_path}/f'",))
        thread.start()
        other.run("WAITFOR DELAY '00:00:00.300'; INSERT INTO s.dbo.Items VALUES (1)")
        thread.join()
        other.run("INSERT INTO s.dbo.Items VALUES (2)")
        other.run(
            f"RESTORE DATABASE r FROM DISK = N'{tmp_path}/f' WITH MOVE N's' TO"
            f" N'{tmp_path}/r', MOVE N's_log' TO N'{tmp_path}/rl'"
        )
        assert other.rows("SELECT Id FROM r.dbo.Items") == [(1,)]
        client.close()
        other.close()


def test_a_wrong_order_is_refused_whichever_it_is(chain: Chain) -> None:
    chain.insert()
    chain.log("log1")
    chain.insert()
    chain.log("log2")
    chain.backup("DATABASE", "full2")
    chain.backup("DATABASE", "diff2", "DIFFERENTIAL")
    client, target = chain.client, f"{chain.database}_order"
    assert client.error(chain.restore(target, "log1")) == 3118
    chain.start(target)
    assert client.error(chain.restore(target, "log2")) == 4305
    assert client.error(chain.restore(target, "diff2", log=False)) == 3136
    client.run(chain.restore(target, "log1"))
    assert client.error(chain.restore(target, "log1")) == 4326
    assert client.error(f"USE [{target}]") == 927
    assert client.error(f"SELECT * FROM [{target}].dbo.Items") == 927
    assert client.error(chain.restore(target, "full", log=True)) == 3135
    chain.recover(target)
    assert client.error(chain.restore(target, "log2")) == 3117
    assert client.error(f"RESTORE DATABASE [{target}] WITH RECOVERY") == 3153
    assert chain.rows(target) == [1, 2]


def test_a_copy_only_full_starts_a_roll_forward_but_is_no_base(chain: Chain) -> None:
    chain.backup("DATABASE", "copy", "COPY_ONLY")
    chain.insert()
    chain.backup("DATABASE", "diff", "DIFFERENTIAL")
    chain.log("log")
    target = f"{chain.database}_copy"
    chain.start(target, "copy")
    assert chain.client.error(chain.restore(target, "diff", log=False)) == 3136
    chain.client.run(chain.restore(target, "log", "RECOVERY"))
    assert chain.rows(target) == [1, 2]


def test_after_a_recovery_to_an_earlier_point_the_old_logs_no_longer_fit(chain: Chain, items: Client) -> None:
    items.close()
    client, name = chain.client, chain.database
    client.wait_until_left(name)
    before = client.rows(
        "SELECT family_guid, database_guid, recovery_fork_guid FROM"
        " sys.database_recovery_status WHERE database_id = DB_ID(?)",
        name,
    )[0]
    chain.insert(mark="keep")
    chain.insert()
    chain.log("log1")
    chain.insert()
    chain.log("log2")
    client.run(chain.restore(name, "full", "NORECOVERY, REPLACE", log=False))
    client.run(chain.restore(name, "log1", "RECOVERY, STOPATMARK = N'keep'"))
    assert chain.rows(name) == [1, 2]
    after = client.rows(
        "SELECT family_guid, database_guid, recovery_fork_guid FROM"
        " sys.database_recovery_status WHERE database_id = DB_ID(?)",
        name,
    )[0]
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert after[2] != before[2]
    client.run(f"INSERT INTO [{name}].dbo.Items VALUES (100, NULL)")
    chain.log("fork_log")
    forks = client.rows(
        "SELECT TOP (1) first_recovery_fork_guid, last_recovery_fork_guid,"
        " fork_point_lsn FROM msdb.dbo.backupset"
        " WHERE database_name = ? ORDER BY backup_set_id DESC",
        name,
    )[0]
    assert forks[0] == before[2]
    assert forks[1] == after[2]
    assert forks[2] is not None
    # The new log spans the fork: it fits where the old path is no further than the fork's point …
    good, bad = f"{name}_good", f"{name}_bad"
    chain.start(good)
    client.run(chain.restore(good, "fork_log", "RECOVERY"))
    assert chain.rows(good) == [1, 2, 100]
    # … and not where the database went on along the old path.
    chain.start(bad)
    client.run(chain.restore(bad, "log1"))
    assert client.error(chain.restore(bad, "fork_log")) in (4326, 4330)
    chain.insert()
    client.run(f"INSERT INTO [{name}].dbo.Items SELECT Id + 200, NULL FROM [{name}].dbo.Items")
    chain.log("fork_log2")
    assert client.error(chain.restore(bad, "fork_log2")) in (4305, 4330)
    assert client.error(chain.restore(bad, "fork_log")) in (4326, 4330)


def test_a_live_database_is_not_overwritten_by_accident(chain: Chain, items: Client, server: Server) -> None:
    client, name = chain.client, chain.database
    assert client.error(chain.restore(name, "full", log=False)) == 3101
    items.close()
    client.wait_until_left(name)
    inside = server.connect(name)
    assert inside.error(chain.restore(name, "full", log=False)) == 3102
    inside.close()
    client.wait_until_left(name)
    chain.insert()
    assert client.error(chain.restore(name, "full", log=False)) == 3159
    client.run("CREATE DATABASE other_family")
    assert client.error(chain.restore("other_family", "full", log=False)) == 3154
    assert client.error(chain.restore(f"{name}_side", "full", log=False)) == 1834
    assert client.error(chain.restore(f"{name}_side", "full", "MOVE N'no' TO N'/tmp/x'", log=False)) == 3234
    client.run(chain.restore(name, "full", "REPLACE", log=False))
    assert chain.rows(name) == [1]
    assert client.error(f"BEGIN TRAN; {chain.restore(name, 'full', log=False)}") == 3021


def test_a_restored_database_is_sound_and_can_be_renamed_into_place(chain: Chain, items: Client) -> None:
    items.close()
    chain.client.wait_until_left(chain.database)
    target = f"{chain.database}_new"
    chain.start(target, options="RECOVERY")
    chain.client.run(f"DBCC CHECKDB ([{target}]) WITH NO_INFOMSGS")
    chain.client.run(f"ALTER DATABASE [{chain.database}] MODIFY NAME = [{chain.database}_old]")
    chain.client.run(f"ALTER DATABASE [{target}] MODIFY NAME = [{chain.database}]")
    assert chain.rows(chain.database) == [1]


def test_a_restore_that_was_cut_off_must_be_repeated_from_its_start(tmp_path: Path) -> None:
    moves = f"MOVE N's' TO N'{tmp_path}/r', MOVE N's_log' TO N'{tmp_path}/rl'"
    full = f"RESTORE DATABASE r FROM DISK = N'{tmp_path}/f' WITH NORECOVERY, {moves}"
    with running(tmp_path) as server:
        client = server.connect()
        client.run("CREATE DATABASE s; CREATE TABLE s.dbo.Items (Id int)")
        client.run(f"BACKUP DATABASE s TO DISK = N'{tmp_path}/f'")
        client.run(f"INSERT INTO s.dbo.Items VALUES (1); BACKUP LOG s TO DISK = N'{tmp_path}/l'")
        client.close()
    with running(tmp_path, "--slow", "0.3") as server:
        client = server.connect()
        threading.Timer(0.8, server.child.process.send_signal, (signal.SIGKILL,)).start()
        try:
            assert 3014 not in client.numbers(full)
        except pyodbc.Error as error:
            assert error.args[0] == "08S01"  # noqa: PT017 -- either way is the driver's
    with running(tmp_path) as server:
        client = server.connect()
        assert client.value("SELECT state_desc FROM sys.databases WHERE name = 'r'") == "RESTORING"
        assert client.error(f"RESTORE LOG r FROM DISK = N'{tmp_path}/l' WITH NORECOVERY") == 4319
        assert client.error("RESTORE DATABASE r WITH RECOVERY") == 4333
        client.run(full)
        client.run(f"RESTORE LOG r FROM DISK = N'{tmp_path}/l' WITH RECOVERY")
        assert client.rows("SELECT Id FROM r.dbo.Items") == [(1,)]
        client.close()


def cut_short(client: Client, sql: str, percent: int) -> None:
    """Run a statement until it has said so many percent, then leave: the driver cancels it."""
    client.cursor.execute(sql)
    while not any(f"{percent} percent" in text for _, text in client.cursor.messages or []):
        assert client.cursor.nextset()
    client.cursor.close()
    client.cursor = client.connection.cursor()


def test_an_interrupted_roll_forward_is_repeated_from_its_beginning(chain: Chain, client: Client) -> None:
    chain.insert()
    chain.backup("DATABASE", "differential", "DIFFERENTIAL")
    chain.insert()
    chain.insert(mark="here")
    chain.insert()
    chain.log("log")
    target = f"{chain.database}_copy"
    chain.start(target)
    client.run(f"EXEC standin_fault N'slow', N'{target}', 0.02")
    differential = chain.restore(target, "differential", log=False)
    last = chain.restore(target, "log", "NORECOVERY, STOPATMARK = N'here'")

    cut_short(client, differential, 50)
    assert client.error(last) == 4319  # nothing else fits, until it is repeated
    assert client.error(f"RESTORE DATABASE [{target}] WITH RECOVERY") == 4333
    client.run(differential)
    cut_short(client, last, 90)
    assert 4329 not in client.numbers(last)  # the mark is found once more
    client.run(f"EXEC standin_fault N'slow', N'{target}', 0")
    chain.recover(target)
    assert chain.rows(target) == [1, 2, 3, 4]
