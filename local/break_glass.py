"""Runs the scripts that lie beside a recovery point, as a person would after a total loss.

The shell script runs with ``sh``. The T-SQL runs with ``tsql`` (Debian's freetds-bin) where that is there,
otherwise over pyodbc; either way batch by batch, with sqlcmd's variables put in, and up to the first error.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyodbc
from azure.storage.blob import BlobServiceClient, ContainerSasPermissions, generate_container_sas

from local.azurite import ACCOUNT, ACCOUNT_KEY
from local.interrupts import ExplainedError
from local.sqlserver.client import connection_string
from local.stack import Stack
from shared.catalogue import paths

LIMIT_SECONDS = 600.0
_SETVAR = re.compile(r'(?m)^:setvar (\w+) "(.*)"$')
_VARIABLE = re.compile(r"\$\((\w+)\)")
_GO = re.compile(r"(?mi)^GO[ \t]*$")
_SEVERITY = re.compile(r"Msg (\d+) \(severity (\d+)")
_ERROR_FROM = 11
"""Severity of the first message that is an error; 10 and below only tell something."""


class ScriptFailedError(ExplainedError):
    """A script ended with an error."""


@dataclass(frozen=True)
class Place:
    """The servers to restore to, and where the backups are.

    ``folder`` is empty and also seen by SQL Server; ``certificate`` is the authority of the storage account.
    """

    storage_url: str
    account: str
    account_key: str
    certificate: Path
    sqlserver_port: int
    sa_password: str
    qdrant_urls: str
    folder: Path


def restore(stack: Stack, point_id: str) -> list[str]:
    """Restore a recovery point of the local stack with its scripts alone; see ``restore_at``."""
    folder = stack.folder / f"break-glass-{point_id}"
    folder.mkdir()
    place = Place(
        storage_url=stack.azurite.url,
        account=ACCOUNT,
        account_key=ACCOUNT_KEY,
        certificate=stack.azurite.certificate,
        sqlserver_port=int(stack.sqlserver.ready["port"]),
        sa_password=stack.sa_password,
        qdrant_urls=str(stack.qdrant.ready["url"]),
        folder=folder,
    )
    return restore_at(place, point_id)


def restore_at(place: Place, point_id: str) -> list[str]:
    """Restore a recovery point with its scripts alone: SQL Server first, then the vectors.

    Returns:
        A sentence for each script: what it was run with, and the last that it said.

    Raises:
        ScriptFailedError: one ended with an error.
    """
    fetched = fetch(place, point_id)
    environ = environment(place)
    told = []
    sql = fetched["restore.sql"].read_text("utf-8")
    if "BACKUP_DIR" in sql:
        said = run_shell(fetched["restore.sh"], "files", environ)
        told.append(f"restore.sh files, with sh: {said[-1]}")
    way = run_sql(place, with_variables(sql, BACKUP_DIR=f"{place.folder}/"), environ)
    told.append(f"restore.sql, with {way}: {len(batches(sql))} batches")
    said = run_shell(fetched["restore.sh"], "vectors", environ)
    told.append(f"restore.sh vectors, with sh: {said[-1]}")
    return told


def fetch(place: Place, point_id: str) -> dict[str, Path]:
    """Download the scripts of a point; returns them by name."""
    found = {}
    account = BlobServiceClient(
        place.storage_url, credential=place.account_key, connection_verify=str(place.certificate)
    )
    with account:
        for name in ("restore.sql", "restore.sh"):
            blob = account.get_blob_client(paths.CATALOGUE, paths.break_glass(point_id, name))
            found[name] = place.folder / name
            found[name].write_bytes(blob.download_blob().readall())
    return found


def environment(place: Place) -> dict[str, str]:
    """What a person sets before running the scripts: a SAS that reads the backups, and the addresses."""
    sas = generate_container_sas(
        place.account,
        paths.DATA,
        account_key=place.account_key,
        permission=ContainerSasPermissions(read=True, list=True),
        expiry=datetime.now(UTC) + timedelta(hours=2),
    )
    return {
        "AZURE_SAS": sas,
        "QDRANT_URLS": place.qdrant_urls,
        "BACKUP_DIR": str(place.folder),
        "CURL_CA_BUNDLE": str(place.certificate),
        "NO_PROXY": "*",
    }


def run_shell(script: Path, command: str, environ: Mapping[str, str]) -> list[str]:
    """Run ``sh SCRIPT COMMAND`` with these variables on top of ours; returns the lines that it wrote.

    Raises:
        ScriptFailedError: it ended with another code than 0; says what it wrote to standard error.
    """
    ended = subprocess.run(
        ["sh", str(script), command],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    if ended.returncode:
        raise ScriptFailedError(f"{script.name} {command}: {ended.stderr.strip()}")
    return ended.stdout.splitlines()


def with_variables(script: str, **values: str) -> str:
    """A script for sqlcmd with other values in its ``:setvar`` lines, as a person edits them."""

    def edited(found: re.Match[str]) -> str:
        return f':setvar {found[1]} "{values.get(found[1], found[2])}"'

    return _SETVAR.sub(edited, script)


def batches(script: str) -> list[str]:
    """What stands between the lines ``GO`` of a script for sqlcmd, without the commands of sqlcmd itself."""
    lines = [line for line in script.split("\n") if not line.startswith(":")]
    return [batch.strip() for batch in _GO.split("\n".join(lines)) if batch.strip()]


def run_sql(place: Place, script: str, environ: Mapping[str, str]) -> str:
    """Run a script for sqlcmd, up to its first error.

    Args:
        place: names the server.
        script: T-SQL with ``GO``, ``:setvar`` and ``$(VARIABLE)``.
        environ: variables that the script itself does not set.

    Returns:
        What it was run with: ``tsql`` or ``pyodbc``.

    Raises:
        ScriptFailedError: a batch failed, or a variable is not set.
    """
    values = {**environ, **dict(_SETVAR.findall(script))}
    texts = [_filled(batch, values) for batch in batches(script)]
    tsql = shutil.which("tsql")
    if tsql:
        _with_tsql(tsql, place, texts)
        return "tsql"
    _with_pyodbc(place, texts)
    return "pyodbc"


def _filled(batch: str, values: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise ScriptFailedError(f"'{found[1]}' scripting variable not defined.")
        return values[found[1]]

    return _VARIABLE.sub(value, batch)


def _with_tsql(program: str, place: Place, texts: list[str]) -> None:
    """One process for each batch: tsql goes on after an error, and tells it by its words only."""
    command = [program, "-H", "127.0.0.1", "-p", str(place.sqlserver_port), "-D", "master", "-U", "sa"]
    for text in texts:
        ended = subprocess.run(
            [*command, "-P", place.sa_password, "-o", "fhq"],
            env={**os.environ, "TDSVER": "7.4"},
            input=f"{text}\nGO\n",
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        said = f"{ended.stdout}\n{ended.stderr}".strip()
        grave = [int(number) for number, level in _SEVERITY.findall(said) if int(level) >= _ERROR_FROM]
        if grave or ended.returncode:
            raise ScriptFailedError(f"restore.sql: {said[-2000:]}")


def _with_pyodbc(place: Place, texts: list[str]) -> None:
    with _connected(place) as connection:
        for text in texts:
            try:
                cursor = connection.execute(text)
                while cursor.nextset():
                    pass
            except pyodbc.Error as error:
                raise ScriptFailedError(f"restore.sql: {error.args[-1]}") from None


@contextlib.contextmanager
def _connected(place: Place) -> Iterator[pyodbc.Connection]:
    text = connection_string(place.sqlserver_port, place.sa_password)
    with contextlib.closing(pyodbc.connect(text, autocommit=True, timeout=15)) as connection:
        yield connection
