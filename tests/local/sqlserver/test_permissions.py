"""Logins, users, roles and permissions: who may do what."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pyodbc
import pytest

from tests.local.sqlserver.chains import Chain
from tests.local.sqlserver.support import PASSWORD, Client, Server, batches

_SETUP = Path(__file__).resolve().parents[3] / "infra" / "sqlserver-setup.sql"
_numbers = itertools.count(1)

type Make = Callable[..., Client]


@pytest.fixture
def login(client: Client) -> Iterator[str]:
    """A login that was granted nothing."""
    name = f"login{next(_numbers)}"
    client.run(f"CREATE LOGIN [{name}] WITH PASSWORD = N'{PASSWORD}', CHECK_POLICY = OFF")
    yield name
    client.run(f"DROP LOGIN [{name}]")


@pytest.fixture
def user(items: Client, login: str, server: Server, database: str) -> Iterator[Client]:
    """A connection of a user of the database who was granted nothing more; the name is the login's."""
    items.run(f"CREATE USER [{login}] FOR LOGIN [{login}]; INSERT INTO dbo.Items VALUES (1, N'one')")
    opened = server.connect_as(login, database)
    yield opened
    opened.close()


def test_a_login_without_a_user_is_not_let_into_a_database(login: str, database: str, server: Server) -> None:
    with pytest.raises(pyodbc.Error, match="4060"):
        server.connect_as(login, database)
    outside = server.connect_as(login)
    assert outside.error(f"SELECT 1 FROM [{database}].dbo.Items") == 916
    assert outside.value(f"SELECT HAS_DBACCESS(N'{database}')") == 0
    assert outside.value("SELECT USER_NAME()") == "guest"
    outside.close()


@pytest.mark.parametrize(
    ("statement", "permission"),
    [
        ("SELECT * FROM dbo.Items", "SELECT"),
        ("INSERT INTO dbo.Items VALUES (2, NULL)", "INSERT"),
        ("UPDATE dbo.Items SET Name = NULL", "UPDATE"),
        ("DELETE FROM dbo.Items", "DELETE"),
    ],
)
def test_what_was_not_granted_is_denied_and_what_was_is_not(
    user: Client, items: Client, login: str, database: str, statement: str, permission: str
) -> None:
    items.run(f"GRANT SELECT ON dbo.Items TO [{login}]" if permission != "SELECT" else "SELECT 1")
    number, text = user.refusal(statement)
    assert number == 229
    wanted = f"The {permission} permission was denied on the object 'Items', database '{database}'"
    assert f"{wanted}, schema 'dbo'." in text
    items.run(f"GRANT {permission} ON OBJECT::dbo.Items TO [{login}]")
    user.run(statement)
    items.run(f"REVOKE {permission} ON dbo.Items FROM [{login}]")
    assert user.error(statement) == 229


def test_denied_outweighs_granted_and_roles(user: Client, items: Client, login: str) -> None:
    items.run(f"ALTER ROLE db_owner ADD MEMBER [{login}]")
    user.run("INSERT INTO octopus_backup.RecoveryPoint VALUES (N'a', 'a', SYSUTCDATETIME(), NULL)")
    items.run(f"DENY INSERT ON OBJECT::octopus_backup.RecoveryPoint TO [{login}]")
    insert = "INSERT INTO octopus_backup.RecoveryPoint VALUES (N'b', 'b', SYSUTCDATETIME(), NULL)"
    assert user.error(insert) == 229
    assert user.error(f"BEGIN TRAN rp_b WITH MARK; {insert}; COMMIT") == 229
    user.run("IF @@TRANCOUNT > 0 ROLLBACK")
    assert user.value("SELECT COUNT(*) FROM octopus_backup.RecoveryPoint") == 1
    items.run(f"ALTER ROLE db_owner DROP MEMBER [{login}]")


def test_a_schema_carries_a_permission_to_its_tables(user: Client, items: Client, login: str) -> None:
    items.run(f"GRANT SELECT ON SCHEMA::octopus_backup TO [{login}]; GRANT SELECT ON dbo.Items TO public")
    assert user.value("SELECT COUNT(*) FROM octopus_backup.RecoveryPoint") == 0
    assert user.value("SELECT COUNT(*) FROM dbo.Items") == 1
    items.run(f"DENY SELECT TO [{login}]")
    assert user.error("SELECT COUNT(*) FROM dbo.Items") == 229
    items.run("REVOKE SELECT ON dbo.Items FROM public")


def test_the_catalogue_shows_only_what_a_user_holds_something_on(
    user: Client, items: Client, login: str
) -> None:
    assert user.rows("SELECT name FROM sys.tables") == []
    assert user.value("SELECT OBJECT_ID(N'dbo.Items')") is None
    items.run(f"GRANT SELECT ON dbo.Items TO [{login}]")
    assert user.rows("SELECT name FROM sys.tables") == [("Items",)]
    assert user.value("SELECT OBJECT_ID(N'dbo.Items')") is not None
    assert user.value("SELECT HAS_PERMS_BY_NAME(N'dbo.Items', N'OBJECT', N'SELECT')") == 1
    assert user.value("SELECT HAS_PERMS_BY_NAME(N'dbo.Items', N'OBJECT', N'INSERT')") == 0
    assert user.value("SELECT HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER STATE')") == 0


def test_backing_up_is_a_right_of_its_own(
    user: Client, items: Client, login: str, database: str, folder: Path
) -> None:
    full = f"BACKUP DATABASE [{database}] TO DISK = N'{folder}/full.bak'"
    number, text = user.refusal(full)
    assert (number, "BACKUP DATABASE permission denied in database" in text) == (262, True)
    items.run(f"ALTER ROLE [db_backupoperator] ADD MEMBER [{login}]")
    assert 3014 in user.numbers(full)
    assert 3014 in user.numbers(f"BACKUP LOG [{database}] TO DISK = N'{folder}/log.bak'")
    assert user.error("SELECT * FROM dbo.Items") == 229
    assert user.error(f"RESTORE VERIFYONLY FROM DISK = N'{folder}/full.bak'") == 262


def test_restoring_asks_for_the_right_to_create_databases(
    chain: Chain, client: Client, login: str, server: Server
) -> None:
    other = server.connect_as(login)
    mine = Chain.__new__(Chain)
    mine.client, mine.database, mine.folder = other, chain.database, chain.folder
    target = f"{login}_copy"
    assert other.error("CREATE DATABASE mine") == 262
    with pytest.raises(pyodbc.Error, match="CREATE DATABASE permission denied in database 'master'"):
        mine.start(target)
    client.run(f"GRANT CREATE ANY DATABASE TO [{login}]")
    mine.start(target)
    mine.recover(target)
    assert mine.rows(target) == [1]
    assert other.value(f"SELECT COUNT(*) FROM [{target}].sys.tables") == 2
    assert other.error(f"RESTORE DATABASE [{chain.database}] WITH RECOVERY") == 3110
    assert other.error(f"ALTER DATABASE [{chain.database}] SET SINGLE_USER") == 5011
    assert other.error(f"DROP DATABASE [{chain.database}]") == 3701
    other.run(f"DROP DATABASE [{target}]")
    client.run(f"ALTER SERVER ROLE dbcreator ADD MEMBER [{login}]")
    other.run(f"ALTER DATABASE [{chain.database}] SET RECOVERY BULK_LOGGED")
    other.close()


@pytest.mark.parametrize(
    ("sql", "number"),
    [
        ("CREATE LOGIN x WITH PASSWORD = N'x'", 15247),
        ("CREATE CREDENTIAL [https://x/y] WITH IDENTITY = 'SHARED ACCESS SIGNATURE', SECRET = 's'", 15247),
        ("GRANT VIEW SERVER STATE TO sa", 15247),
        ("KILL 51", 6102),
        ("SELECT * FROM sys.dm_exec_connections", 300),
        ("EXEC standin_fault N'slow', N'%', 1", 15247),
    ],
)
def test_the_server_is_an_administrators(login: str, server: Server, sql: str, number: int) -> None:
    other = server.connect_as(login)
    assert other.error(sql) == number
    other.close()


def test_sessions_and_files_of_others_are_hidden(login: str, client: Client, server: Server) -> None:
    other = server.connect_as(login)
    assert len(other.rows("SELECT * FROM sys.dm_exec_sessions")) == 1
    assert other.rows("SELECT * FROM sys.master_files") == []
    client.run(f"GRANT VIEW SERVER STATE, VIEW ANY DEFINITION TO [{login}]")
    assert len(other.rows("SELECT * FROM sys.dm_exec_sessions")) > 1
    assert len(other.rows("SELECT * FROM sys.master_files")) > 7
    other.close()


def test_checkdb_is_for_the_owner(user: Client, items: Client, login: str, database: str) -> None:
    assert user.error(f"DBCC CHECKDB (N'{database}')") == 7983
    items.run(f"ALTER ROLE db_owner ADD MEMBER [{login}]")
    assert user.numbers(f"DBCC CHECKDB (N'{database}') WITH NO_INFOMSGS") == []
    items.run(f"ALTER ROLE db_owner DROP MEMBER [{login}]")


@pytest.mark.parametrize(
    ("sql", "number"),
    [
        ("CREATE USER nobody", 15007),
        ("CREATE USER dbo FOR LOGIN sa", 15023),
        ("CREATE USER administrator FOR LOGIN sa", 15063),
        ("DROP USER nobody", 15151),
        ("ALTER ROLE db_chef ADD MEMBER dbo", 15151),
        ("ALTER ROLE db_owner ADD MEMBER nobody", 15151),
        ("ALTER SERVER ROLE chef ADD MEMBER sa", 15151),
        ("GRANT SELECT ON dbo.Nothing TO public", 15151),
        ("GRANT SELECT ON SCHEMA::nothing TO public", 15151),
        ("GRANT SELECT ON dbo.Items TO nobody", 15151),
        ("GRANT VIEW SERVER STATE TO sa", 4621),
        ("GRANT SELECT (Id) ON dbo.Items TO public", 40517),
        ("GRANT SELECT ON dbo.Items TO public WITH GRANT OPTION", 40517),
        ("GRANT TAKE OWNERSHIP ON dbo.Items TO public", 40517),
    ],
)
def test_what_cannot_be_granted_is_refused(items: Client, sql: str, number: int) -> None:
    assert items.error(sql) == number


def test_users_and_rights_travel_with_a_backup(
    items: Client, chain: Chain, login: str, server: Server
) -> None:
    items.run(f"CREATE USER [{login}]; GRANT SELECT ON dbo.Items TO [{login}]")
    chain.log("log")
    target = f"{login}_copy"
    chain.start(target)
    chain.client.run(chain.restore(target, "log"))
    chain.recover(target)
    elsewhere = server.connect_as(login, target)
    assert elsewhere.value("SELECT COUNT(*) FROM dbo.Items") == 1
    assert elsewhere.error("DELETE FROM dbo.Items") == 229
    elsewhere.close()


def test_the_setup_script_gives_each_login_what_it_needs_and_no_more(
    items: Client, client: Client, database: str, server: Server, folder: Path
) -> None:
    """infra/sqlserver-setup.sql, run twice as an administrator would, and then its two logins at work."""
    items.run("DROP TABLE octopus_backup.RecoveryPoint; DROP SCHEMA octopus_backup")
    values = {
        "Database": database,
        "BackupPassword": PASSWORD,
        "RestorePassword": PASSWORD,
        "ContainerUrl": "https://account.blob.core.windows.net/landing",
        "ContainerSas": "sig=x",
    }
    script = re.sub(r"\$\((\w+)\)", lambda match: values[match[1]], _SETUP.read_text("utf-8"))
    for batch in batches(script) * 2:
        client.run(batch)
    client.run("USE master")
    backup, restore = (server.connect_as(f"octopus_{name}") for name in ("backup", "restore"))
    try:
        backup.run(f"BACKUP DATABASE [{database}] TO DISK = N'{folder}/full'")
        backup.run(
            f"USE [{database}]; BEGIN TRAN rp_1 WITH MARK; INSERT INTO octopus_backup.RecoveryPoint VALUES"
            " (N'rp_1', N'1', SYSUTCDATETIME(), N'{}'); COMMIT; USE master"
        )
        assert backup.value(f"SELECT COUNT(*) FROM [{database}].dbo.Items") == 0
        assert backup.value("SELECT COUNT(*) FROM msdb.dbo.logmarkhistory WHERE mark_name = N'rp_1'") == 1
        assert backup.error(f"DELETE FROM [{database}].octopus_backup.RecoveryPoint") == 229
        assert backup.error("CREATE DATABASE mine") == 262
        assert restore.error(f"BACKUP DATABASE [{database}] TO DISK = N'{folder}/x'") == 916
        restore.run(
            f"RESTORE DATABASE [{database}_r] FROM DISK = N'{folder}/full' WITH"
            f" MOVE N'{database}' TO N'{folder}/r.mdf', MOVE N'{database}_log' TO N'{folder}/r.ldf'"
        )
        assert restore.value(f"SELECT COUNT(*) FROM [{database}_r].dbo.Items") == 0
        assert restore.error(f"SELECT * FROM [{database}].dbo.Items") == 916
    finally:
        backup.close()
        restore.close()
        client.run("DROP LOGIN octopus_backup; DROP LOGIN octopus_restore")
