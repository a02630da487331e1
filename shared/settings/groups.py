"""The settings, group by group; docs/configuration.md is made of them."""

from __future__ import annotations

from typing import Literal

from pydantic import SecretStr

from shared.settings.fields import Address, Addresses, Group, Names, Patterns, Schedule, setting


class StorageSettings(Group):
    """Where backups go."""

    url: Address = setting(
        "BACKUP_STORAGE_URL",
        "Address of the storage account's blob service.",
        "https://octopusbackup.blob.core.windows.net",
    )
    credential: SecretStr | None = setting(
        "BACKUP_STORAGE_CREDENTIAL",
        "Account key, only where there is no identity (the local stack). "
        "Without it the app's managed identity, or the person's `az login`, is used.",
        "",
        None,
    )


class SqlServerSettings(Group):
    """The SQL Server that holds agents, episodes and procedures."""

    connection: SecretStr | None = setting(
        "SQLSERVER_CONNECTION",
        "ODBC connection string without DRIVER (the newest installed one is taken) and without DATABASE. "
        "Empty: there is no SQL Server to back up.",
        "SERVER=tcp:sql.example.net,1433;UID=octopus_backup;PWD=…;Encrypt=yes",
        None,
    )
    databases: Names = setting(
        "SQLSERVER_DATABASES", "Databases to back up, separated by commas.", "OctopusDB", ("OctopusDB",)
    )
    medium: Literal["url", "disk"] = setting(
        "SQLSERVER_BACKUP_MEDIUM",
        "`url`: SQL Server writes straight into Blob Storage (needs a credential on the server, see "
        "infra/sqlserver-setup.sql). `disk`: it writes into a folder, from which the app streams the file.",
        "url",
        "url",
    )
    backup_dir: str | None = setting(
        "SQLSERVER_BACKUP_DIR", "For `disk`: the folder as SQL Server names it.", r"D:\backup", None
    )
    backup_dir_local: str | None = setting(
        "SQLSERVER_BACKUP_DIR_LOCAL", "For `disk`: the same folder as this app sees it.", "/mnt/backup", None
    )
    exact_counts: bool = setting(
        "SQLSERVER_EXACT_COUNTS",
        "Whether the rows of a recovery point are counted under locks that hold writers up for some "
        "milliseconds (needs ALLOW_SNAPSHOT_ISOLATION, the DBA's decision); else they are approximate.",
        "true",
        True,
    )


class QdrantSettings(Group):
    """The Qdrant peers that hold the vectors."""

    urls: Addresses = setting(
        "QDRANT_URLS",
        "REST address of every peer, separated by commas. A load balancer's address is not enough: "
        "each peer only snapshots its own shards. Empty: there is no Qdrant to back up.",
        "https://qdrant-0.example.net:6333,https://qdrant-1.example.net:6333",
        (),
    )
    api_key: SecretStr | None = setting(
        "QDRANT_API_KEY", "Key that may create, read and delete snapshots.", "", None
    )
    restore_api_key: SecretStr | None = setting(
        "QDRANT_RESTORE_API_KEY",
        "Key with global manage access, needed to restore; QDRANT_API_KEY if empty.",
        "",
        None,
    )
    collections: Patterns = setting(
        "QDRANT_COLLECTIONS",
        "Regular expressions, separated by commas; a collection that matches one of them is backed up, "
        "every other one is reported as unprotected.",
        ".*",
        (".*",),
    )
    free_bytes: int | None = setting(
        "QDRANT_FREE_BYTES",
        "Free bytes on each peer's volumes, where somebody knows; Qdrant itself cannot be asked. "
        "Without it, whoever starts a restore confirms that there is space.",
        "107374182400",
        None,
    )


class OctopusSettings(Group):
    """The product's own API, for the last two steps of the checklist."""

    api_url: Address | None = setting(
        "OCTOPUS_API_URL",
        "Address of the Octopus API. Empty: the checklist's steps 4 and 5 are reported as skipped.",
        "https://octopus.example.net",
        None,
    )
    api_token: SecretStr | None = setting(
        "OCTOPUS_API_TOKEN", "Bearer token with a tenant_id claim, for the test conversation.", "", None
    )
    health_path: str = setting(
        "OCTOPUS_HEALTH_PATH", "Path that answers 200 when healthy.", "/health", "/health"
    )
    wait_seconds: int = setting(
        "OCTOPUS_WAIT_SECONDS", "How long a restore waits for the API to be started.", "1800", 1800
    )
    stop_hook: SecretStr | None = setting(
        "OCTOPUS_STOP_HOOK",
        "Address that stops, or fences, the Octopus API when it is sent a POST. Without it whoever starts a "
        "restore says that it was stopped.",
        "",
        None,
    )
    start_hook: SecretStr | None = setting(
        "OCTOPUS_START_HOOK", "Address that starts the Octopus API when it is sent a POST.", "", None
    )
    chat_path: str = setting(
        "OCTOPUS_CHAT_PATH",
        "Path that a message is sent to; `{session}` stands for the session.",
        "/api/chat/{session}/send",
        "/api/chat/{session}/send",
    )
    episode_search_path: str = setting(
        "OCTOPUS_EPISODE_SEARCH_PATH",
        "Path of the search in episodes.",
        "/api/octopus/episodes/search",
        "/api/octopus/episodes/search",
    )
    knowledge_search_path: str = setting(
        "OCTOPUS_KNOWLEDGE_SEARCH_PATH",
        "Path of the semantic search; `{agent}` stands for the agent's id.",
        "/api/octopus/knowledge/{agent}/search",
        "/api/octopus/knowledge/{agent}/search",
    )
    api_headers: SecretStr | None = setting(
        "OCTOPUS_API_HEADERS", "Further headers for the API, as a JSON object of texts.", "", None
    )
    conversation_seconds: int = setting(
        "OCTOPUS_CONVERSATION_SECONDS", "How long a test conversation may last, to its `turn_end`.", "60", 60
    )
    migration_script: str | None = setting(
        "OCTOPUS_MIGRATION_SCRIPT",
        "Name of a blob in the container `catalogue`: the idempotent script of "
        "`dotnet ef migrations script --idempotent`.",
        "migrations/octopus-7.sql",
        None,
    )
    migration_command: str | None = setting(
        "OCTOPUS_MIGRATION_COMMAND",
        "Command that migrates a database, run by the command line only; `{database}` stands for its name.",
        "dotnet ef database update --context OctopusDbContext",
        None,
    )


class DrillSettings(Group):
    """Where restores are practised, and what they are measured against."""

    enabled: bool = setting(
        "DRILL_ENABLED",
        "Whether the timer starts drills; by hand they can always be started.",
        "false",
        False,
    )
    sqlserver_connection: SecretStr | None = setting(
        "DRILL_SQLSERVER_CONNECTION",
        "Like SQLSERVER_CONNECTION: the server that drills restore to, under scratch names.",
        "SERVER=tcp:drill.example.net,1433;UID=octopus_restore;PWD=…;Encrypt=yes",
        None,
    )
    qdrant_urls: Addresses = setting(
        "DRILL_QDRANT_URLS",
        "Like QDRANT_URLS: the Qdrant that drills restore to.",
        "https://qdrant-drill.example.net:6333",
        (),
    )
    qdrant_api_key: SecretStr | None = setting(
        "DRILL_QDRANT_API_KEY", "Key with global manage access on the Qdrant of the drills.", "", None
    )
    on_live: bool = setting(
        "DRILL_ON_LIVE_SERVERS",
        "Whether a drill may use the live servers where none is named for it. A bad snapshot can take a "
        "Qdrant server down.",
        "false",
        False,
    )
    rpo_minutes: int = setting(
        "TARGET_RPO_MINUTES",
        "How much may be lost at most, in minutes; drills and status compare with it.",
        "30",
        30,
    )
    warn_days: int = setting(
        "DRILL_WARN_DAYS",
        "After so many days without a drill that succeeded, the status says so.",
        "35",
        35,
    )
    rto_minutes: int = setting(
        "TARGET_RTO_MINUTES",
        "How long a restore may take at most, in minutes; drills and status compare with it.",
        "240",
        240,
    )


class AccessSettings(Group):
    """Who may do what over HTTP."""

    auth_mode: Literal["keys"] = setting(
        "AUTH_MODE", "`keys`: function keys. (Entra comes with the deployment.)", "keys", "keys"
    )
    allow_key_restore: bool = setting(
        "ALLOW_KEY_RESTORE",
        "Whether a function key, which carries no identity, may start a restore over HTTP.",
        "false",
        False,
    )


class ScheduleSettings(Group):
    """When timers fire: NCRONTAB with six fields, in UTC."""

    sql_full: Schedule = setting("SQL_FULL_SCHEDULE", "Full backups.", "0 0 1 * * *", "0 0 1 * * *")
    sql_differential: Schedule = setting(
        "SQL_DIFFERENTIAL_SCHEDULE", "Differential backups.", "0 0 */4 * * *", "0 0 */4 * * *"
    )
    sql_log: Schedule = setting("SQL_LOG_SCHEDULE", "Log backups.", "0 */15 * * * *", "0 */15 * * * *")
    recovery_point: Schedule = setting(
        "RECOVERY_POINT_SCHEDULE",
        "Recovery points: every Qdrant snapshot, then the mark.",
        "0 30 2 * * *",
        "0 30 2 * * *",
    )
    history_purge: Schedule = setting(
        "HISTORY_PURGE_SCHEDULE", "Clearing of the engine's old history.", "0 15 3 * * *", "0 15 3 * * *"
    )
    drill: Schedule = setting(
        "DRILL_SCHEDULE", "Drills, where DRILL_ENABLED is true.", "0 0 5 * * 0", "0 0 5 * * 0"
    )
