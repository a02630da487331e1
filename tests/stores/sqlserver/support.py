"""What the contract tests of the SQL Server store share: servers, databases, chains of backups."""

from __future__ import annotations

import contextlib
import re
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from pydantic import SecretStr

from local import processes
from local.azurite import ACCOUNT, Azurite
from local.sqlserver.client import connection_string
from shared.blob.storage import Storage
from shared.clock import SystemClock, new_ulid
from shared.model.backups import Kind, Manifest, Store
from shared.model.plans import SqlRestoreStep, Stop
from shared.settings import SqlServerSettings
from shared.stores.sqlserver.backup import SqlBackup, SqlBackupRequest
from shared.stores.sqlserver.connection import Session
from shared.stores.sqlserver.statements import literal, quote_name
from shared.stores.sqlserver.store import SqlServerStore

PASSWORD = "Only-for-tests-1"
AWAY = ("--utc-offset", "330")
SETUP = Path(__file__).parents[3] / "infra" / "sqlserver-setup.sql"


@dataclass(frozen=True)
class TestServer:
    """A SQL Server to test against; ``child`` only when it is the stand-in."""

    __test__ = False

    connection: SecretStr
    backup_dir: str
    backup_dir_local: Path
    child: processes.Child | None = None

    @property
    def real(self) -> bool:
        return self.child is None


def real_server(env: Mapping[str, str]) -> TestServer:
    return TestServer(
        SecretStr(env["SQLSERVER_CONNECTION"]),
        env["SQLSERVER_BACKUP_DIR"],
        Path(env["SQLSERVER_BACKUP_DIR_LOCAL"]),
    )


@contextlib.contextmanager
def standin_server(folder: Path, azurite: Azurite, *options: str) -> Iterator[TestServer]:
    """A stand-in far from Greenwich, so that a local time taken for UTC is seen."""
    backups = folder / "backup"
    backups.mkdir()
    child = processes.start(
        "sqlserver",
        [sys.executable, "-m", "local.sqlserver", "--data-dir", str(folder / "data"), *AWAY, *options],
        log=folder / "sqlserver.log",
        env={**azurite.env(), "STANDIN_SA_PASSWORD": PASSWORD},
        cwd=Path(__file__).parents[3],
    )
    try:
        text = connection_string(child.ready["port"], PASSWORD)
        yield TestServer(SecretStr(text), str(backups), backups, child)
    finally:
        child.stop()


def allow_containers(server: TestServer, storage: Storage, account_key: str) -> None:
    """Give the server a credential for the containers that it writes to and restores from."""
    from shared.stores.sqlserver.connection import Server

    with Server(server.connection).session() as admin:
        for container in ("data", "landing"):
            sas = generate_container_sas(
                ACCOUNT,
                container,
                account_key=account_key,
                permission=ContainerSasPermissions(read=True, write=True, create=True, list=True),
                expiry=datetime.now(UTC) + timedelta(hours=2),
            )
            name = quote_name(f"{storage.url}/{container}")
            admin.run(
                f"CREATE CREDENTIAL {name} "
                f"WITH IDENTITY = 'SHARED ACCESS SIGNATURE', SECRET = {literal(sas)[1:]};"
            )


def store_for(server: TestServer, storage: Storage, medium: str) -> SqlServerStore:
    settings = SqlServerSettings.model_validate(
        {
            "SQLSERVER_CONNECTION": server.connection,
            "SQLSERVER_BACKUP_MEDIUM": medium,
            "SQLSERVER_BACKUP_DIR": server.backup_dir,
            "SQLSERVER_BACKUP_DIR_LOCAL": str(server.backup_dir_local),
        }
    )
    return SqlServerStore(settings, storage, SystemClock())


@dataclass
class Database:
    """A database of the tests, written to by somebody who is not us."""

    admin: Session
    name: str

    def add_agent(self, agent: str | None = None) -> str:
        identity = agent or str(uuid.uuid4())
        self.admin.run(
            f"INSERT INTO {self.of('dbo', 'Octopus_Agents')} (AgentId, Name) VALUES (?, ?);",
            identity,
            f"agent {identity[:8]}",
        )
        return identity

    def add_episode(self, text: str) -> None:
        self.admin.run(
            f"INSERT INTO {self.of('dbo', 'Octopus_Episodes')} (EpisodeId, Text) VALUES (?, ?);",
            str(uuid.uuid4()),
            text,
        )

    def texts(self, database: str | None = None) -> list[str]:
        """The text of every episode, sorted."""
        table = self.of("dbo", "Octopus_Episodes", database)
        return sorted(row[0] for row in self.admin.rows(f"SELECT Text FROM {table};"))

    def of(self, schema: str, table: str, database: str | None = None) -> str:
        return ".".join(quote_name(part) for part in (database or self.name, schema, table))

    def run(self, sql: str) -> None:
        """One statement in the database itself."""
        self.admin.run(f"USE {quote_name(self.name)}; {sql}")
        self.admin.run("USE [master];")

    def side(self, suffix: str = "_restored") -> str:
        return self.name + suffix


def make_database(admin: Session, name: str, *, simple: bool = False) -> Database:
    quoted = quote_name(name)
    admin.run(f"CREATE DATABASE {quoted};")
    admin.run(f"ALTER DATABASE {quoted} SET RECOVERY {'SIMPLE' if simple else 'FULL'};")
    made = Database(admin, name)
    agents, episodes = made.of("dbo", "Octopus_Agents"), made.of("dbo", "Octopus_Episodes")
    admin.run(
        f"CREATE TABLE {agents} (AgentId uniqueidentifier NOT NULL CONSTRAINT PK_Octopus_Agents PRIMARY KEY, "
        "Name nvarchar(200) NOT NULL);"
    )
    admin.run(
        f"CREATE TABLE {episodes} (EpisodeId uniqueidentifier NOT NULL PRIMARY KEY, "
        "Text nvarchar(max) NOT NULL, IsDeleted bit NOT NULL DEFAULT 0);"
    )
    admin.run(f"CREATE TABLE {made.of('dbo', 'Unrelated')} (Id int NOT NULL PRIMARY KEY);")
    for batch in marker_schema(name):
        admin.run(batch)
    admin.run("USE [master];")
    made.add_agent()
    made.add_episode("the first")
    return made


def marker_schema(database: str) -> list[str]:
    """The batches of infra/sqlserver-setup.sql that make the marker table in ``database``."""
    text = SETUP.read_text("utf-8")
    section = text.split("-- SECTION 4 marker-schema")[1].split("-- SECTION 4b")[0]
    section = section.partition("\n")[2].replace("[$(Database)]", quote_name(database))
    return [batch.strip() for batch in re.split(r"(?m)^GO\s*$", section) if batch.strip()]


def drop_test_databases(admin: Session, prefix: str) -> None:
    """Drop every database whose name begins with ``prefix``, in whatever state."""
    if not prefix.startswith("octopus_test_"):
        raise ValueError(f"{prefix} is not a name of the tests.")
    for name, state in admin.rows("SELECT name, state_desc FROM sys.databases;"):
        if name.startswith(prefix):
            if state == "ONLINE":
                admin.run(f"ALTER DATABASE {quote_name(name)} SET SINGLE_USER WITH ROLLBACK IMMEDIATE;")
            admin.run(f"DROP DATABASE {quote_name(name)};")


@dataclass
class Chain:
    """Backups of one database, and the steps that restore them."""

    store: SqlServerStore
    database: str
    taken: list[tuple[str, Kind, SqlBackup]] = field(default_factory=list)

    def request(self, kind: Kind) -> SqlBackupRequest:
        backup_id, attempt = new_ulid(), new_ulid()
        return SqlBackupRequest(
            backup_id=backup_id,
            attempt=attempt,
            database=self.database,
            kind=kind,
            prefix=f"sqlserver/test/{kind}/{backup_id}/{attempt}",
        )

    def take(self, kind: Kind) -> SqlBackup:
        request = self.request(kind)
        made = self.store.back_up(request)
        self.taken.append((request.backup_id, kind, made))
        return made

    def manifest(self, number: int) -> Manifest:
        backup_id, kind, made = self.taken[number]
        return Manifest(
            id=backup_id,
            store=Store.SQLSERVER,
            scope="test",
            kind=kind,
            run_id=new_ulid(),
            attempt=new_ulid(),
            started_at=made.started_at,
            finished_at=made.finished_at,
            made_by="tests",
            facts=made.facts,
        )

    def steps(
        self, target: str, stop: Stop | None = None, leave_out: Sequence[int] = ()
    ) -> list[SqlRestoreStep]:
        kept = [one for number, one in enumerate(self.taken) if number not in leave_out]
        return [
            SqlRestoreStep(
                id=f"sql-{number}",
                title=f"Restore {kind}",
                database=self.database,
                target=target,
                backup_id=backup_id,
                backup_kind=kind,
                backup_set_uuid=made.facts.backup_set_uuid,
                utc_offset_minutes=made.facts.utc_offset_minutes,
                files=made.facts.files,
                data_files=made.facts.data_files if kind is Kind.FULL else (),
                stop=(stop or Stop()) if kind is Kind.LOG else Stop(),
                last=number == len(kept) - 1,
            )
            for number, (backup_id, kind, made) in enumerate(kept)
        ]

    def restore(
        self,
        target: str,
        stop: Stop | None = None,
        *,
        run_id: str | None = None,
        in_place: bool = False,
        leave_out: Sequence[int] = (),
    ) -> list[dict[str, Any]]:
        """Restore all of it to ``target`` and recover."""
        run = run_id or new_ulid()
        evidence = [
            self.store.restore(step, run_id=run, in_place=in_place)
            for step in self.steps(target, stop, leave_out)
        ]
        return [*evidence, self.store.recover(target)]


def mark_name() -> str:
    return f"rp_{new_ulid()}"
