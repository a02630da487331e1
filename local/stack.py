"""The embedded local stack: everything that the system needs, on free loopback ports, below one folder.

Real software: Azurite, Microsoft's ODBC driver, Microsoft's Functions worker library. Stand-ins: SQL Server,
Qdrant, Octopus.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyodbc
from azure.storage.blob import BlobServiceClient, ContainerSasPermissions, generate_container_sas

from local import processes
from local.azurite import ACCOUNT, ACCOUNT_KEY, Azurite
from local.interrupts import ExplainedError
from local.octopus import schema
from local.sqlserver.client import connection_string
from shared.blob.storage import CONTAINERS

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".stack"
DATABASE = "OctopusDB"
EVERY_FEW_MINUTES = {
    "SQL_FULL_SCHEDULE": "0 */10 * * * *",
    "SQL_DIFFERENTIAL_SCHEDULE": "0 */2 * * * *",
    "SQL_LOG_SCHEDULE": "*/15 * * * * *",
    "RECOVERY_POINT_SCHEDULE": "30 */5 * * * *",
    "HISTORY_PURGE_SCHEDULE": "0 0 * * * *",
    "DRILL_SCHEDULE": "0 0 0 * * *",
}
"""Schedules for a stack that somebody plays with: minutes instead of hours."""

START_SECONDS = 60.0
"""How long a part may take until it serves, on a machine that is busy with other things."""

_EMPTYING_TRIES = 20
_SETUP_SQL = ROOT / "infra" / "sqlserver-setup.sql"

type Tell = Callable[[str], None]


class StackRunningError(ExplainedError):
    """Another stack uses the folder."""


@dataclass
class Stack:
    """The running parts and what their users must know."""

    folder: Path
    tell: Tell
    schedules: Mapping[str, str]
    children: list[processes.Child] = field(default_factory=list)
    azurite: Azurite = field(init=False)
    sqlserver: processes.Child = field(init=False)
    qdrant: processes.Child = field(init=False)
    octopus: processes.Child | None = None
    octopus_port: int = 0
    host: processes.Child = field(init=False)
    sa_password: str = field(default_factory=lambda: f"Sa-{secrets.token_urlsafe(18)}")
    function_key: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    octopus_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def sql(self) -> str:
        """ODBC connection string to the Octopus database, with DRIVER."""
        return connection_string(self.sqlserver.ready["port"], self.sa_password, database=DATABASE)

    @property
    def octopus_url(self) -> str:
        """Address of the Octopus API; the same after it was started again."""
        return f"http://127.0.0.1:{self.octopus_port}"

    @property
    def host_url(self) -> str:
        """Address of the function app."""
        return str(self.host.ready["url"])

    def app_settings(self) -> dict[str, str]:
        """The app settings of this stack: for the function app, and for the command line."""
        master = connection_string(self.sqlserver.ready["port"], self.sa_password, database="master")
        without_database = ";".join(p for p in master.split(";") if not p.startswith(("DATABASE=", "APP=")))
        return {
            "BACKUP_STORAGE_URL": self.azurite.url,
            "BACKUP_STORAGE_CREDENTIAL": ACCOUNT_KEY,
            "SQLSERVER_CONNECTION": without_database,
            "SQLSERVER_DATABASES": DATABASE,
            "SQLSERVER_BACKUP_MEDIUM": "url",
            "QDRANT_URLS": str(self.qdrant.ready["url"]),
            "QDRANT_FREE_BYTES": str(shutil.disk_usage(self.folder).free),
            "OCTOPUS_API_URL": self.octopus_url,
            "OCTOPUS_API_TOKEN": self.octopus_token,
            "OCTOPUS_WAIT_SECONDS": "120",
            "ALLOW_KEY_RESTORE": "true",
            **self.schedules,
            **self.azurite.env(),
        }

    def start(self) -> None:
        """Start Azurite, SQL Server, Qdrant and the Octopus API, and make the empty Octopus database.

        They get ready at the same time: each spends a second of processor time on imports.
        """
        self.tell("Azurite (Microsoft's emulator of Blob Storage), over TLS")
        self.azurite = Azurite(self.folder / "azurite")
        self.tell("SQL Server: a stand-in that speaks TDS to Microsoft's ODBC driver")
        sqlserver = self._launch(
            "sqlserver",
            ["--data-dir", str(self.folder / "sqlserver")],
            {"STANDIN_SA_PASSWORD": self.sa_password, **self.azurite.env()},
        )
        self.tell("Qdrant: a stand-in that keeps its points in the real engine (qdrant-edge)")
        qdrant = self._launch("qdrant", ["--data-dir", str(self.folder / "qdrant")], self.azurite.env())
        self.children.append(self.azurite.start().child)
        self.sqlserver, self.qdrant = sqlserver.announced(START_SECONDS), qdrant.announced(START_SECONDS)
        self.tell("Octopus: a small API over both stores")
        octopus = self._launch_octopus()
        prepare_storage(self)
        prepare_database(self)
        self._await_octopus(octopus)

    def start_octopus(self) -> None:
        """Start the Octopus API again, on the port that it had."""
        self._await_octopus(self._launch_octopus())

    def stop_octopus(self) -> None:
        """Stop the Octopus API."""
        if self.octopus:
            self.octopus.stop()
            self.octopus = None

    def launch_host(self) -> None:
        """Start the function app without waiting for it; once it is up, its timers fire."""
        self.tell("the function app, indexed and invoked by Microsoft's worker library")
        self.host = self._launch(
            "functions_host",
            ["--app-dir", str(ROOT)],
            {**self.app_settings(), "LOCAL_FUNCTION_KEY": self.function_key},
        )

    def await_host(self) -> None:
        """Wait until the function app is up."""
        self.host.announced(START_SECONDS)

    def write_env_file(self) -> Path:
        """Write the app settings for the command line, readable by this user only."""
        path = self.folder / "env"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(f"{name}='{value}'\n" for name, value in self.app_settings().items())
        return path

    def _launch_octopus(self) -> processes.Child:
        return self._launch(
            "octopus",
            ["--port", str(self.octopus_port)],
            {
                "OCTOPUS_SQL": self.sql,
                "OCTOPUS_QDRANT": str(self.qdrant.ready["url"]),
                "OCTOPUS_TOKEN": self.octopus_token,
            },
        )

    def _await_octopus(self, launched: processes.Child) -> None:
        self.octopus = launched.announced(START_SECONDS)
        self.octopus_port = int(self.octopus.ready["port"])

    def _launch(self, name: str, arguments: list[str], env: Mapping[str, str]) -> processes.Child:
        command = [sys.executable, "-m", f"local.{name}", *arguments]
        launched = processes.launch(name, command, log=self.folder / f"{name}.log", env=env, cwd=ROOT)
        self.children.append(launched)
        return launched


def prepare_storage(stack: Stack) -> None:
    """Make the containers, as infra/ does on Azure."""
    account = BlobServiceClient(
        stack.azurite.url, credential=ACCOUNT_KEY, connection_verify=str(stack.azurite.certificate)
    )
    with account:
        for container in CONTAINERS:
            account.create_container(container)


def prepare_database(stack: Stack) -> None:
    """Make Octopus' database with its tables and the marker schema, and the credentials for BACKUP TO URL."""
    port = stack.sqlserver.ready["port"]
    master = pyodbc.connect(connection_string(port, stack.sa_password), autocommit=True, timeout=10)
    with contextlib.closing(master):
        master.execute(f"CREATE DATABASE [{DATABASE}]")
        master.execute(f"ALTER DATABASE [{DATABASE}] SET ALLOW_SNAPSHOT_ISOLATION ON")
        for container in ("data", "landing"):
            sas = generate_container_sas(
                ACCOUNT,
                container,
                account_key=ACCOUNT_KEY,
                permission=ContainerSasPermissions(
                    read=True, write=True, create=True, list=True, delete=True
                ),
                expiry=datetime.now(UTC) + timedelta(days=7),
            )
            master.execute(
                f"CREATE CREDENTIAL [{stack.azurite.url}/{container}] "
                f"WITH IDENTITY = N'SHARED ACCESS SIGNATURE', SECRET = N'{sas}'"
            )
    octopus = pyodbc.connect(stack.sql, autocommit=True, timeout=10)
    with contextlib.closing(octopus):
        schema.migrate(octopus)
        for batch in marker_batches():
            octopus.execute(batch)


def marker_batches() -> list[str]:
    """The batches of infra/sqlserver-setup.sql that make the marker schema, for the database in use."""
    sections = re.split(r"(?m)^-- SECTION ", _SETUP_SQL.read_text("utf-8"))
    section = next(text for text in sections if text.startswith("4 marker-schema"))
    batches = re.split(r"(?mi)^GO\s*$", section.split("\n", 1)[1])
    return [batch for batch in batches if batch.strip() and "USE [" not in batch]


@contextlib.contextmanager
def started(tell: Tell, schedules: Mapping[str, str], folder: Path = FOLDER) -> Iterator[Stack]:
    """A fresh stack, up but for the function app; stopped, whatever happens, when the block is left.

    Args:
        tell: called with a sentence for each part that is started.
        schedules: the schedules of the timers.
        folder: where everything lives; what an earlier stack left there is removed.

    Raises:
        StackRunningError: another stack runs in the folder.
        processes.ChildFailedError: a part did not start.
    """
    with _taken(folder):
        stack = Stack(folder, tell, schedules)
        with processes.stopping(stack.children):
            stack.start()
            yield stack


@contextlib.contextmanager
def _taken(folder: Path) -> Iterator[None]:
    """Make the folder ours and empty, as long as the block lasts."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("a+") as owner:
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner.seek(0)
            pid = owner.read().strip() or "unknown"
            raise StackRunningError(
                f"A stack is running already (process {pid}, folder {folder}). "
                f"Stop it with Ctrl-C where it runs, or with: kill {pid}"
            ) from None
        owner.truncate(0)
        owner.write(str(os.getpid()))
        owner.flush()
        _make_empty(folder)
        yield


def _make_empty(folder: Path) -> None:
    """An empty folder, also where the children of a killed stack are still writing their last."""
    for _ in range(_EMPTYING_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break
        time.sleep(0.25)
    folder.mkdir()


def what_next(stack: Stack) -> str:
    """What somebody can do with a stack that is up. Writes the env file that the commands read."""
    env_file = stack.write_env_file()
    return f"""
The stack is up, and its timers go on. Ctrl-C stops it. In another terminal:

  alias octopus-backup="{ROOT}/.venv/bin/octopus-backup --env-file {env_file}"

  octopus-backup status
  octopus-backup list
  octopus-backup recovery-point --name "before v7"
  octopus-backup plan "before v7"

The plan ends with the command that restores it, beside the live data. The same over HTTP:

  curl -s {stack.host_url}/api/health
  curl -s -H "x-functions-key: {stack.function_key}" {stack.host_url}/api/status

Logs are in {stack.folder}."""
