"""The servers of the small world: Blob Storage, SQL Server and Qdrant, as child processes."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pyodbc
import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas

from local import processes
from local.azurite import Azurite
from local.sqlserver.client import connection_string

ROOT = Path(__file__).resolve().parents[1]
SA_PASSWORD = "Sa-canary-5e7f1c"  # found nowhere but where it belongs: the tests for secrets look for it
NEVER = "0 0 0 1 1 *"

_ACCOUNTS = 400  # worlds that one set of servers is enough for


def key_of(account: str) -> str:
    return base64.b64encode(hashlib.sha512(account.encode()).digest()).decode()


@dataclass(frozen=True)
class Servers:
    """The running servers of this worker; ``numbers`` tells the worlds on them apart."""

    folder: Path
    azurite: Azurite
    sqlserver: processes.Child
    qdrant: processes.Child
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, _ACCOUNTS)))

    @property
    def qdrant_url(self) -> str:
        return str(self.qdrant.ready["url"])

    def connection(self, database: str = "master") -> str:
        return connection_string(int(self.sqlserver.ready["port"]), SA_PASSWORD, database=database)

    def storage_url(self, account: str) -> str:
        parts = urlsplit(self.azurite.url)
        return f"{parts.scheme}://{parts.netloc}/{account}"


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Servers]:
    """Start the servers; they are stopped when the block is left."""
    names = [f"world{number:03}" for number in range(1, _ACCOUNTS)]
    children: list[processes.Child] = []
    with processes.stopping(children):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AZURITE_ACCOUNTS", ";".join(f"{name}:{key_of(name)}" for name in names))
            azurite = Azurite(folder / "azurite").start()
        children.append(azurite.child)

        def launch(name: str, **env: str) -> processes.Child:
            command = [sys.executable, "-m", f"local.{name}", "--data-dir", str(folder / name)]
            log = folder / f"{name}.log"
            child = processes.start(name, command, log=log, env={**azurite.env(), **env}, cwd=ROOT)
            children.append(child)
            return child

        yield Servers(folder, azurite, launch("sqlserver", STANDIN_SA_PASSWORD=SA_PASSWORD), launch("qdrant"))


def settings_of(servers: Servers, account: str, database: str, medium: str, folder: Path) -> dict[str, str]:
    """The app settings of a world: for the system in this process, and for children."""
    master = servers.connection()
    without_database = ";".join(p for p in master.split(";") if not p.startswith(("DATABASE=", "APP=")))
    disk = {"SQLSERVER_BACKUP_DIR": str(folder), "SQLSERVER_BACKUP_DIR_LOCAL": str(folder)}
    return {
        "BACKUP_STORAGE_URL": servers.storage_url(account),
        "BACKUP_STORAGE_CREDENTIAL": key_of(account),
        "SQLSERVER_CONNECTION": without_database,
        "SQLSERVER_DATABASES": database,
        "SQLSERVER_BACKUP_MEDIUM": medium,
        "QDRANT_URLS": servers.qdrant_url,
        "QDRANT_FREE_BYTES": str(shutil.disk_usage(folder).free),
        "ALLOW_KEY_RESTORE": "true",
        "SQL_FULL_SCHEDULE": NEVER,
        "SQL_DIFFERENTIAL_SCHEDULE": NEVER,
        "SQL_LOG_SCHEDULE": NEVER,
        "RECOVERY_POINT_SCHEDULE": NEVER,
        "HISTORY_PURGE_SCHEDULE": NEVER,
        "DRILL_SCHEDULE": NEVER,
        **(disk if medium == "disk" else {}),
        **servers.azurite.env(),
    }


def allow(servers: Servers, master: pyodbc.Connection, account: str, container: str) -> None:
    """Let SQL Server write to a container."""
    sas = generate_container_sas(
        account,
        container,
        account_key=key_of(account),
        permission=ContainerSasPermissions(read=True, write=True, create=True, list=True, delete=True),
        expiry=datetime.now(UTC) + timedelta(hours=2),
    )
    url = f"{servers.storage_url(account)}/{container}"
    master.execute(f"CREATE CREDENTIAL [{url}] WITH IDENTITY = N'SHARED ACCESS SIGNATURE', SECRET = N'{sas}'")
