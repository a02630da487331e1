"""restore.sql: T-SQL for sqlcmd that brings every database of a recovery point back.

Every statement stands in a batch of its own, and the script ends with the first that fails. What somebody may
want to change stands at its top as sqlcmd variables. A name that no such variable can hold (sqlcmd replaces
variables wherever they stand, also within literals and comments) is put together from literals instead.

The statements are those of shared/stores/sqlserver/statements.py, with the target's name in a variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from shared.model.backups import Count, Kind, Quality
from shared.planning.words import said, sized
from shared.reporting.break_glass_facts import Glass, GlassBackup, GlassDatabase, fetched_name, plain

_DEFAULT = "default"
_KINDS = {Kind.FULL: "full backup", Kind.DIFFERENTIAL: "differential backup", Kind.LOG: "log backup"}
_CONTROL = "\\x00-\\x1f\\x7f-\\x9f\u2028\u2029"  # also what only some readers take for the end of a line
_FOR_A_VARIABLE = re.compile(rf'[^"{_CONTROL}]+')
_PIECES = re.compile(rf"([{_CONTROL}])|(?<=\$)(?=\()")


def restore_sql(glass: Glass) -> str:
    """The script for sqlcmd.

    Args:
        glass: the recovery point.

    Returns:
        The text; it holds no secret.
    """
    batches = [_header(glass), _variables(glass)]
    if any(database.medium == "url" for database in glass.databases):
        batches += [_credential(container) for container in glass.containers]
    for number, database in enumerate(glass.databases, 1):
        batches += _database(glass, number, database)
    if glass.databases:
        batches.append("PRINT N'Done. Every database is at its recovery point.';\nGO")
    return "\n\n".join(batches) + "\n"


def _header(glass: Glass) -> str:
    point = glass.point
    name = f" “{point.name}”" if point.name else ""
    lines = [
        f"RECOVERY POINT {point.id}{name}: THE SQL SERVER SIDE, BY HAND",
        "",
        "Restores what follows with sqlcmd alone; none of the software that made it is needed.",
        *(f"  {number}. {_told(one)}" for number, one in enumerate(glass.databases, 1)),
        *_warnings(glass),
        "",
        "It overwrites nothing: where a database of the name exists, it stops. It stops at any error.",
        "To begin again after one, drop what it left in the RESTORING state (DROP DATABASE).",
        "",
        "1. Use a SQL Server of the same or a newer version. If the database is encrypted (TDE), restore its",
        "   certificate with the private key first: without it nothing can be restored.",
        *_preparation(glass),
        "3. Look at the :setvar lines below, and edit those that do not suit you.",
        "4. Run it as a login that may create databases and credentials, its password in SQLCMDPASSWORD:",
        "      sqlcmd -S tcp:SERVER,1433 -U LOGIN -b -i restore.sql",
        "5. Then the vectors: restore.sh, which lies beside this script. Start Octopus only after both.",
    ]
    return "/*\n" + "\n".join(f"  {plain(line)}".rstrip() for line in lines) + "\n*/"


def _told(database: GlassDatabase) -> str:
    side = database.side
    to = f"the mark {side.mark_name}" if side.mark_name else f"the end of log backup {side.log_backup_id}"
    kinds = [backup.kind for backup in database.backups]
    what = (
        ["1 full"] + ["1 differential"] * kinds.count(Kind.DIFFERENTIAL) + [f"{kinds.count(Kind.LOG)} log(s)"]
    )
    return (
        f"{side.database} of {side.server} (SQL Server {database.server_version}) to {to}, "
        f"{said(side.at)}: {', '.join(what)}, {sized(database.size)}"
    )


def _warnings(glass: Glass) -> Iterator[str]:
    point = glass.point
    if not glass.databases:
        yield "  NOTHING: this point has no database that backups lead to. There is nothing to run here."
    if not point.complete:
        yield "THIS POINT IS INCOMPLETE:"
        yield from (f"  - {reason}" for reason in point.reasons or ("no reason was recorded",))
    for one in glass.databases:
        if one.side.mark_name is None:
            yield f"{one.side.database} has no mark: no marker row will prove it, its counts are approximate."


def _preparation(glass: Glass) -> Iterator[str]:
    if any(database.medium == "url" for database in glass.databases):
        yield "2. Put a SAS of the storage account into the environment variable AZURE_SAS: to read and list"
        yield f"   the container {' and '.join(glass.containers)}, without its leading question mark."
    if any(database.medium == "disk" for database in glass.databases):
        yield "2. Fetch the backups into a folder that SQL Server can read: sh restore.sh files"
        yield "   Name that folder in BACKUP_DIR below, as SQL Server sees it."


def _variables(glass: Glass) -> str:
    lines = [":on error exit"]
    if any(database.medium == "url" for database in glass.databases):
        lines.append("-- The storage account (another one, if the backups were copied there).")
        lines.append(f':setvar STORAGE_URL "{glass.account_url}"')
    if any(database.medium == "disk" for database in glass.databases):
        lines.append(
            "-- The folder with the fetched backups as SQL Server sees it, with its final separator."
        )
        lines.append(f':setvar BACKUP_DIR "{_folder(glass.backup_dir)}"')
    if glass.databases:
        lines.append("-- The names that the databases get; a ' in a name is written twice.")
    for number, database in enumerate(glass.databases, 1):
        name = database.side.database
        if _fits_a_variable(name):
            lines.append(f':setvar TARGET_{number} "{name.replace(chr(39), chr(39) * 2)}"')
        else:
            lines.append(f"-- TARGET_{number} cannot be a variable; edit it in the batches: {plain(name)}")
    if glass.databases:
        lines += [
            "-- Where the files go, with a final separator; default is what the server is set to.",
            f':setvar DATA_PATH "{_DEFAULT}"',
            f':setvar LOG_PATH "{_DEFAULT}"',
            "-- What the files' names begin with; change it to restore the same point a second time.",
            f':setvar FILES "octopus_{glass.point.id}"',
        ]
    return "\n".join(lines)


def _folder(backup_dir: str | None) -> str:
    if not backup_dir or not _fits_a_variable(backup_dir):
        return "C:\\restore\\"
    separator = "\\" if "\\" in backup_dir or backup_dir[1:2] == ":" else "/"
    return backup_dir.rstrip("\\/").replace("'", "''") + separator


def _fits_a_variable(text: str) -> bool:
    return bool(_FOR_A_VARIABLE.fullmatch(text)) and "$(" not in text


def literal(text: str) -> str:
    """``text`` as a Unicode literal, or a sum of some: none holds a variable of sqlcmd or a new line."""
    pieces = _PIECES.split(text)
    shown = [
        f"NCHAR({ord(piece)})" if _PIECES.fullmatch(piece) else f"N'{_doubled(piece)}'"
        for piece in pieces
        if piece
    ]
    return " + ".join(shown) or "N''"


def _doubled(text: str) -> str:
    return text.replace("'", "''")


def _credential(container: str) -> str:
    address = f"$(STORAGE_URL)/{container}"
    return "\n".join(
        [
            f"-- SQL Server reads the container {container} with this credential; one that is there is kept.",
            f"IF NOT EXISTS (SELECT 1 FROM sys.credentials WHERE name = N'{address}')",  # noqa: S608 - text
            f"    CREATE CREDENTIAL [{address}]",
            "    WITH IDENTITY = N'SHARED ACCESS SIGNATURE', SECRET = N'$(AZURE_SAS)';",
            "GO",
        ]
    )


def _database(glass: Glass, number: int, database: GlassDatabase) -> Iterator[str]:
    name = database.side.database
    target = f"N'$(TARGET_{number})'" if _fits_a_variable(name) else literal(name)
    declared = f"DECLARE @target nvarchar(128) = {target};"
    yield "\n".join(
        [
            f"-- ===== Database {number} of {len(glass.databases)}: {plain(name)}",
            declared,
            "IF DB_ID(@target) IS NOT NULL",
            "    RAISERROR (N'A database of that name exists: choose another name, or drop it.', 16, 1);",
            "GO",
        ]
    )
    for place, backup in enumerate(database.backups, 1):
        yield _restore(glass, number, place, backup, declared)
    yield "\n".join(
        [
            "-- The roll-forward ends here: the database opens.",
            declared,
            "RESTORE DATABASE @target WITH RECOVERY;",
            "GO",
        ]
    )
    yield _proof(glass, database, declared)


def _restore(glass: Glass, number: int, place: int, backup: GlassBackup, declared: str) -> str:
    database = glass.databases[number - 1]
    what = "LOG" if backup.kind is Kind.LOG else "DATABASE"
    size = sized(sum(file.size for file in backup.files))
    about = f"{_KINDS[backup.kind]} {backup.backup_id}, ended {said(backup.finished_at)}, {size}"
    lines = [f"-- {place} of {len(database.backups)}: {about}", declared]
    options = ["NORECOVERY", "CHECKSUM"]
    if backup.kind is Kind.FULL:
        lines += [*_folders(), *_files(number, database)]
        options += [f"MOVE @logical{one} TO @file{one}" for one in range(1, len(database.data_files) + 1)]
    if backup.kind is Kind.LOG and database.side.mark_name:
        options.append(f"STOPATMARK = {literal(database.side.mark_name)}")
    devices = [_device(glass, number, place, stripe) for stripe in range(1, len(backup.files) + 1)]
    lines += [
        f"RESTORE {what} @target",
        "FROM " + ",\n     ".join(devices),
        "WITH " + ",\n     ".join([*options, "STATS = 5"]) + ";",
        "GO",
    ]
    return "\n".join(lines)


def _folders() -> Iterator[str]:
    for kind in ("Data", "Log"):
        variable = f"@{kind.lower()}"
        yield f"DECLARE {variable} nvarchar(512) = N'$({kind.upper()}_PATH)';"
        yield f"IF {variable} = N'{_DEFAULT}'"
        yield f"    SET {variable} = CAST(SERVERPROPERTY('InstanceDefault{kind}Path') AS nvarchar(512));"


def _files(number: int, database: GlassDatabase) -> Iterator[str]:
    """Every file of the database gets a new name in one of the folders, so that none is in another's way."""
    for one, file in enumerate(database.data_files, 1):
        name = f"_{number}_{one}.{'ldf' if file.type == 'log' else 'mdf'}"
        yield f"DECLARE @logical{one} nvarchar(128) = {literal(file.logical_name)};"
        yield f"DECLARE @file{one} nvarchar(700) = @{file.type} + N'$(FILES){name}';"


def _device(glass: Glass, number: int, place: int, stripe: int) -> str:
    database = glass.databases[number - 1]
    if database.medium == "disk":
        return f"DISK = N'$(BACKUP_DIR){fetched_name(glass, number, place, stripe)}'"
    return f"URL = N'$(STORAGE_URL)/{_doubled(database.backups[place - 1].files[stripe - 1].path)}'"


def _proof(glass: Glass, database: GlassDatabase, declared: str) -> str:
    side = database.side
    lines = [
        "-- Is it the point? Whatever differs is told as an error.",
        declared,
        "DECLARE @in nvarchar(300) = QUOTENAME(@target);",
    ]
    if side.mark_name:
        lines += _checked(
            "IF NOT EXISTS (SELECT 1 FROM (SELECT TOP (1) MarkName, PointId FROM ",
            ".octopus_backup.RecoveryPoint ORDER BY MarkedAt DESC, MarkName DESC) AS newest "
            f"WHERE MarkName = {literal(side.mark_name)} AND PointId = {literal(glass.point.id)}) "
            "RAISERROR (N'The newest marker row is not that of this recovery point.', 16, 1);",
        )
    for table, count in sorted(side.tables.items()):
        lines += _counted(table, count)
    lines += ["GO"]
    return "\n".join(lines)


def _counted(table: str, count: Count) -> list[str]:
    if count.quality is Quality.APPROXIMATE:
        low = count.value if count.low is None else count.low
        high = count.value if count.high is None else count.high
    else:
        low = high = count.value
    rows = f"{low:,}" if low == high else f"between {low:,} and {high:,}"
    if not table.isprintable():
        return [f"-- Not compared, for its name: {plain(table)} should have {rows} rows."]
    schema, _, name = table.partition(".Octopus_")
    quoted = ".".join(f"[{part.replace(']', ']]')}]" for part in (schema, f"Octopus_{name}"))
    shown = plain(table).replace("%", "%%")  # RAISERROR reads it as a format
    told = literal(f"{shown} should have {rows} rows at the point, as far as they were counted.")
    return _checked(
        "IF (SELECT COUNT_BIG(*) FROM ", f".{quoted}) NOT BETWEEN {low} AND {high} RAISERROR ({told}, 16, 1);"
    )


def _checked(before: str, after: str) -> list[str]:
    """A statement about a table of the target, whose name comes between the two."""
    return [f"EXEC ({literal(before)} + @in + {literal(after)});"]
