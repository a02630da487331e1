"""The process: logins, databases by name, restarts, crashes."""

from __future__ import annotations

import time
from pathlib import Path

import pyodbc
import pytest

from local.sqlserver.client import connection_string, driver_path
from tests.local.sqlserver.support import Client, Server, running


def test_the_driver_is_found_in_its_wheel() -> None:
    assert Path(driver_path()).is_file()


@pytest.mark.parametrize(("user", "password"), [("sa", "wrong"), ("nobody", "Stand-in!23")])
def test_a_wrong_login_is_refused(server: Server, user: str, password: str) -> None:
    text = connection_string(server.port, password).replace("UID=sa", f"UID={user}")
    with pytest.raises(pyodbc.InterfaceError, match=f"Login failed for user '{user}'"):
        pyodbc.connect(text, timeout=10)


def test_a_database_that_does_not_exist_refuses_the_login(server: Server) -> None:
    with pytest.raises(pyodbc.Error, match=r"4060"):
        server.connect("nowhere")


def test_further_logins_can_be_made(client: Client, server: Server) -> None:
    client.run("CREATE LOGIN [backup'er] WITH PASSWORD = N'Pass!1'")
    text = connection_string(server.port, "Pass!1").replace("UID=sa", "UID=backup'er")
    other = pyodbc.connect(text, timeout=10)
    assert other.execute("SELECT SUSER_SNAME()").fetchone()[0] == "backup'er"
    other.close()
    client.run("DROP LOGIN [backup'er]")


def test_database_names_may_hold_anything_and_ignore_case(client: Client, server: Server) -> None:
    client.run("CREATE DATABASE [Kö]]penhagen 'x']")
    assert client.error("CREATE DATABASE [kÖ]]PENHAGEN 'x']") == 1801
    assert client.value("SELECT DB_ID(N'kö]penhagen ''x''')") > 4
    other = server.connect("Kö]penhagen 'x'")
    assert other.value("SELECT DB_NAME()") == "Kö]penhagen 'x'"
    assert client.error("DROP DATABASE [Kö]]penhagen 'x']") == 3702
    other.close()
    client.wait_until_left("Kö]penhagen 'x'")
    client.run("DROP DATABASE [Kö]]penhagen 'x']; DROP DATABASE IF EXISTS [never]")
    assert client.error("DROP DATABASE [never]") == 3701


def test_single_user_throws_the_others_out(database: str, client: Client, server: Server) -> None:
    other = server.connect(database)
    client.run(f"ALTER DATABASE [{database}] SET SINGLE_USER WITH ROLLBACK IMMEDIATE")
    with pytest.raises(pyodbc.Error):
        other.value("SELECT 1")
    alone = server.connect(database)
    with pytest.raises(pyodbc.Error, match="4060"):
        server.connect(database)
    alone.close()
    client.wait_until_left(database)
    client.run(f"ALTER DATABASE [{database}] SET MULTI_USER")
    client.run(f"ALTER DATABASE [{database}] SET OFFLINE; ")
    assert client.error(f"USE [{database}]") == 942
    client.run(f"ALTER DATABASE [{database}] SET ONLINE")
    server.connect(database).close()


def test_what_was_committed_survives_a_crash_and_what_was_not_does_not(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        client = server.connect()
        client.run("CREATE DATABASE d; CREATE TABLE d.dbo.T (a int PRIMARY KEY)")
        client.run("INSERT INTO d.dbo.T VALUES (1)")
        client.run("BEGIN TRAN; INSERT INTO d.dbo.T VALUES (2)")
        server.child.kill()
    with running(tmp_path) as server:
        client = server.connect()
        assert client.rows("SELECT a FROM d.dbo.T") == [(1,)]
        client.run("INSERT INTO d.dbo.T VALUES (2)")
        client.close()


def test_it_ends_within_a_second_of_being_asked(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        client = server.connect()
        started = time.monotonic()
        server.child.stop()
        assert time.monotonic() - started < 1
        del client


def test_a_2025_server_says_so_and_an_older_one_cannot_read_its_backups(tmp_path: Path) -> None:
    with running(tmp_path / "new", "--version", "2025") as server:
        client = server.connect()
        assert client.value("SELECT SERVERPROPERTY('ProductMajorVersion')") == "17"
        client.run("CREATE DATABASE d")
        client.run(f"BACKUP DATABASE d TO DISK = N'{tmp_path}/f'")
        client.close()
    with running(tmp_path / "old") as server:
        client = server.connect()
        assert client.error(f"RESTORE DATABASE d FROM DISK = N'{tmp_path}/f'") == 3169
        client.close()
