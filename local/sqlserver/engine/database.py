"""One database: its files, its state, its log."""

from __future__ import annotations

import dataclasses
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from local.sqlserver.engine import log as logs
from local.sqlserver.engine.catalog import Catalog, TableInfo, create_catalog
from local.sqlserver.engine.log import Record, TransactionLog
from local.sqlserver.engine.storage import open_database, scalar

ONLINE, RESTORING, RECOVERY_PENDING, SUSPECT, OFFLINE = (
    "ONLINE",
    "RESTORING",
    "RECOVERY_PENDING",
    "SUSPECT",
    "OFFLINE",
)
STATE_NUMBERS = {ONLINE: 0, RESTORING: 1, RECOVERY_PENDING: 3, SUSPECT: 4, OFFLINE: 6}
MODEL_NUMBERS = {"FULL": 1, "BULK_LOGGED": 2, "SIMPLE": 3}
SYSTEM_NAMES = ("master", "tempdb", "model", "msdb")
PAGE_BYTES = 8192
SQLITE_SIDE_FILES = ("", "-wal", "-shm", "-journal")


def new_guid() -> str:
    """A new GUID in the form that is stored."""
    return str(uuid.uuid4()).upper()


@dataclass
class FileInfo:
    """A file of a database: its logical name and its path."""

    logical: str
    path: str


@dataclass
class State:
    """What the server knows of a database besides its content. Kept in the server's own register.

    Attributes:
        forks: the recovery forks: GUID and the LSN from which each holds, oldest first.
        full_lsn: checkpoint LSN of the newest full backup that is not copy-only; 0 before the first.
        differential_base: GUID and checkpoint LSN of the full backup that differentials build on.
        log_start: where the next log backup begins; None while there is no log chain.
        chain_begins: the next log backup is the first of its chain.
        redo_lsn: while RESTORING: the LSN that the next log must contain.
        interrupted: while RESTORING: GUID of the data backup whose restore did not finish.
        untouched: while RESTORING: nothing was restored since BACKUP LOG … WITH NORECOVERY.
        redo_time: while RESTORING: commit time of the newest transaction that was applied, UTC.
        generation: counts up whenever the files are replaced.
        owner: the login that created or restored it; its user here is ``dbo``.
    """

    id: int
    name: str
    data: FileInfo
    log: FileInfo
    created: str
    recovery_model: str = "FULL"
    state: str = ONLINE
    user_access: str = "MULTI_USER"
    read_only: bool = False
    snapshot_isolation: bool = False
    family_guid: str = field(default_factory=new_guid)
    database_guid: str = field(default_factory=new_guid)
    forks: list[tuple[str, int]] = field(default_factory=list)
    full_lsn: int = 0
    differential_base: tuple[str, int] | None = None
    log_start: int | None = None
    chain_begins: bool = True
    redo_lsn: int | None = None
    interrupted: str | None = None
    untouched: bool = False
    redo_time: str | None = None
    generation: int = 1
    owner: str = "sa"

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> State:
        """The state from its stored form."""
        raw = {**raw, "data": FileInfo(**raw["data"]), "log": FileInfo(**raw["log"])}
        raw["forks"] = [(guid, lsn) for guid, lsn in raw["forks"]]
        base = raw["differential_base"]
        raw["differential_base"] = (base[0], base[1]) if base else None
        return cls(**raw)


class Database:
    """A database of the server."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.commit_lock = threading.RLock()  # held while a commit moves through log and data file
        self.data_backup = threading.Lock()  # data backups of one database exclude each other
        self.log_backup = threading.Lock()
        self.backup_floor: int | None = None  # a running data backup needs the log from here on
        self._log: TransactionLog | None = None
        self._reader: apsw.Connection | None = None
        self._reader_lock = threading.Lock()

    @property
    def id(self) -> int:
        """The database's number."""
        return self.state.id

    @property
    def name(self) -> str:
        """The database's name."""
        return self.state.name

    @property
    def is_system(self) -> bool:
        """Whether it is one of the server's own."""
        return self.id <= len(SYSTEM_NAMES)

    @property
    def attached_name(self) -> str:
        """What sessions call it in SQLite; changes whenever its files are replaced."""
        return f"d{self.id}g{self.state.generation}"

    @property
    def data_path(self) -> Path:
        """The data file."""
        return Path(self.state.data.path)

    @property
    def log(self) -> TransactionLog:
        """The open log."""
        if self._log is None:
            self._log = TransactionLog(Path(self.state.log.path))
        return self._log

    @property
    def fork(self) -> str:
        """The current recovery fork."""
        return self.state.forks[-1][0]

    def fork_at(self, lsn: int) -> str:
        """The recovery fork on which the log reaches ``lsn``: a fork holds only after its point."""
        return [guid for guid, start in self.state.forks if start < lsn or start == self.state.forks[0][1]][
            -1
        ]

    def committed_table(self, schema: str, name: str) -> TableInfo | None:
        """A table as it was last committed, read apart from any session's transaction."""
        return self.committed(lambda connection: Catalog(connection).find(schema, name))

    def committed[T](self, read: Callable[[apsw.Connection], T]) -> T:
        """What ``read`` finds in the data file as last committed, apart from any session's transaction."""
        with self._reader_lock:
            if self._reader is None:
                self._reader = open_database(self.data_path)
            return read(self._reader)

    def create_files(self) -> None:
        """Make the files of a new, empty database."""
        connection = open_database(self.data_path)
        create_catalog(connection)
        connection.execute("INSERT INTO _state VALUES (1, ?)", (self.log.next_lsn,))
        connection.close()
        self.state.forks = [(new_guid(), self.log.next_lsn)]

    def redo(self) -> None:
        """After a crash: apply what is in the log and not yet in the data file.

        Raises:
            apsw.Error: the data file cannot be read; the database is suspect.
        """
        connection = open_database(self.data_path)
        try:
            applied = scalar(connection, "SELECT applied FROM _state")
            for record in self.log.read(applied, self.log.next_lsn):
                apply_record(connection, record)
        finally:
            connection.close()

    def has_backed_up_log(self) -> bool:
        """Whether a log chain exists: the model keeps the log and a data backup began it."""
        return self.state.recovery_model != "SIMPLE" and self.state.log_start is not None

    def truncate_log(self) -> None:
        """Forget log records that neither a log backup, a differential nor a running backup can need."""
        needed = [self.log.next_lsn]
        if self.has_backed_up_log():
            needed.append(self.state.log_start or 0)
        if self.state.differential_base:
            needed.append(self.state.differential_base[1])
        if self.backup_floor is not None:
            needed.append(self.backup_floor)
        self.log.drop_before(min(needed))

    def size_pages(self) -> int:
        """The size of the data file in pages of 8 KiB."""
        return max(1, self.data_path.stat().st_size // PAGE_BYTES) if self.data_path.exists() else 0

    def log_pages(self) -> int:
        """The size of the log file in pages of 8 KiB."""
        path = Path(self.state.log.path)
        return max(1, path.stat().st_size // PAGE_BYTES) if path.exists() else 0

    def close(self) -> None:
        """Close the files."""
        if self._log is not None:
            self._log.close()
            self._log = None
        with self._reader_lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def delete_files(self) -> None:
        """Remove the files."""
        self.close()
        for path in (self.state.data.path, self.state.log.path):
            remove_files(Path(path))

    def as_json(self) -> dict[str, Any]:
        """The stored form of the state."""
        return dataclasses.asdict(self.state)


def remove_files(path: Path) -> None:
    """Remove a SQLite file and those that SQLite keeps beside it."""
    for suffix in SQLITE_SIDE_FILES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def apply_record(connection: apsw.Connection, record: Record) -> None:
    """Do again what a record did, in one transaction with the position that was reached."""
    with connection:
        for kind, data in logs.pieces(record.body):
            if kind == logs.DEFINITION:
                connection.execute(data.decode())
            else:
                apsw.Changeset.apply(data, connection)
        connection.execute("UPDATE _state SET applied = ?", (record.next_lsn,))
