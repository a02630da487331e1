"""Settings that are each right, and contradict each other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from shared.settings.groups import DrillSettings, QdrantSettings, SqlServerSettings


def contradictions(groups: Mapping[str, Any]) -> list[str]:
    """What is wrong between settings that are each right, in sentences.

    Args:
        groups: the groups that could be read, by their name in the tree.
    """
    sql: SqlServerSettings | None = groups.get("sqlserver")
    qdrant: QdrantSettings | None = groups.get("qdrant")
    problems = []
    if sql and sql.medium == "disk" and sql.connection:
        problems += [
            f"{name}: is needed because SQLSERVER_BACKUP_MEDIUM is disk (example: {example})"
            for name, value, example in (
                ("SQLSERVER_BACKUP_DIR", sql.backup_dir, r"D:\backup"),
                ("SQLSERVER_BACKUP_DIR_LOCAL", sql.backup_dir_local, "/mnt/backup"),
            )
            if not value
        ]
    if sql and sql.connection and not sql.databases:
        problems.append("SQLSERVER_DATABASES: names no database (example: OctopusDB)")
    if sql and qdrant and not sql.connection and not qdrant.urls:
        problems.append(
            "SQLSERVER_CONNECTION, QDRANT_URLS: neither is set, so there is nothing to back up "
            "(example: QDRANT_URLS=http://127.0.0.1:6333)"
        )
    drill: DrillSettings | None = groups.get("drill")
    if sql and qdrant and drill and not drill.on_live:
        problems += _about_drills(sql, qdrant, drill)
    return problems


def _about_drills(sql: SqlServerSettings, qdrant: QdrantSettings, drill: DrillSettings) -> list[str]:
    """Drills that would need, or meet, the live servers without being allowed on them."""
    allowed = "unless DRILL_ON_LIVE_SERVERS is true"
    problems = []
    server = server_of(drill.sqlserver_connection)
    if server and server.casefold() == (server_of(sql.connection) or "").casefold():
        problems.append(f"DRILL_SQLSERVER_CONNECTION: names the live server, which is refused {allowed}")
    if set(drill.qdrant_urls) & set(qdrant.urls):
        problems.append(f"DRILL_QDRANT_URLS: names a live peer, which is refused {allowed}")
    if drill.enabled:
        missing = {
            "DRILL_SQLSERVER_CONNECTION": sql.connection and not drill.sqlserver_connection,
            "DRILL_QDRANT_URLS": qdrant.urls and not drill.qdrant_urls,
        }
        problems += [
            f"{name}: is needed because DRILL_ENABLED is true, {allowed}"
            for name, is_missing in missing.items()
            if is_missing
        ]
    return problems


def server_of(connection: SecretStr | None) -> str | None:
    """The address in an ODBC connection string; None where there is none."""
    found = (
        re.search(r"(?i)(?:^|;)\s*server\s*=\s*([^;]*)", connection.get_secret_value())
        if connection
        else None
    )
    return found[1].strip() if found else None
