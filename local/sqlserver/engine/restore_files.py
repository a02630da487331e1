"""Where the files of a restored database go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.sqlserver.engine.database import Database, FileInfo
from local.sqlserver.engine.errors import SqlError

if TYPE_CHECKING:
    from local.sqlserver.engine.instance import Instance


@dataclass(frozen=True)
class FilePlan:
    """The data file and the log file."""

    data: FileInfo
    log: FileInfo


def plan_files(
    instance: Instance,
    database: Database | None,
    facts: dict[str, Any],
    moves: list[tuple[str, str]],
    *,
    replace: bool,
) -> FilePlan:
    """Check and choose the paths: MOVE, else those of the existing database, else those in the backup.

    Raises:
        SqlError: 3234 MOVE names no file of the backup; 1834, 5133 or 5170, with 3156, for an unusable path.
    """
    logical = {file["logical"].casefold() for file in facts["files"]}
    for source, _ in moves:
        if source.casefold() not in logical:
            raise SqlError(3234, source, facts["database_name"])
    targets = {source.casefold(): target for source, target in moves}
    own = {}
    if database is not None:
        own = {"D": database.state.data.path, "L": database.state.log.path}
    chosen: dict[str, FileInfo] = {}
    for file in facts["files"]:
        path = targets.get(file["logical"].casefold()) or own.get(file["kind"]) or file["path"]
        _check_path(instance, database, file["logical"], path, replace=replace)
        chosen[file["kind"]] = FileInfo(file["logical"], str(Path(path)))
    if chosen["D"].path == chosen["L"].path:
        raise SqlError(3176, chosen["L"].path, chosen["D"].logical, 1)
    return FilePlan(chosen["D"], chosen["L"])


def _check_path(
    instance: Instance, database: Database | None, logical: str, path: str, *, replace: bool
) -> None:
    owner = instance.file_owner(path)
    if owner is not None and owner is not database:
        raise _planning(SqlError(1834, path, owner.name), logical, path)
    if not Path(path).parent.is_dir():
        missing = SqlError(5133, path, "2(The system cannot find the file specified.)")
        raise _planning(missing, logical, path)
    if owner is None and Path(path).exists() and not replace:
        raise _planning(SqlError(5170, path), logical, path)


def _planning(cause: SqlError, logical: str, path: str) -> SqlError:
    return cause.followed_by(3156, logical, path).followed_by(3119)
