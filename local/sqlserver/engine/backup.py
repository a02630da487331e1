"""BACKUP DATABASE and BACKUP LOG.

A full backup is a snapshot of the data file, taken at a checkpoint when the backup begins, and the log
from there to its end: restored, it stands where the backup ended. A differential is the log since the
checkpoint of its base. A log backup is the log since the last one.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.sqlserver.engine import database as databases
from local.sqlserver.engine.backup_history import remember
from local.sqlserver.engine.database import PAGE_BYTES, Database, new_guid, remove_files
from local.sqlserver.engine.errors import SqlError
from local.sqlserver.engine.events import Done, Event
from local.sqlserver.engine.progress import DEFAULT_STEP, Meter, pages_of
from local.sqlserver.engine.storage import open_database
from local.sqlserver.media.devices import Devices, Target
from local.sqlserver.media.format import CHUNK_BYTES, PAGES, RECORD, MediaWriter, encode_record
from local.sqlserver.syntax import commands, tree

if TYPE_CHECKING:
    from local.sqlserver.engine.session import Session

MAX_DEVICES = 64
FULL, DIFFERENTIAL, LOG = "D", "I", "L"
_LOG_ONLY = ("NORECOVERY", "NO_TRUNCATE")
_TRANSFER_UNIT = 65536
_URL_BLOCK_LIMIT = 4 << 20
_POLL_SECONDS = 0.05

type Evaluate = Callable[[tree.Node], Any]


@dataclass
class Range:
    """What part of the log a backup holds, and the LSNs that it will carry."""

    first: int
    last: int
    checkpoint: int


class BackupJob:
    """One BACKUP statement."""

    def __init__(self, session: Session, node: commands.Backup, evaluate: Evaluate) -> None:
        self._session = session
        self._instance = session.instance
        self._node = node
        self._options = {k: None if v is None else evaluate(v) for k, v in node.options.items()}
        self._name = str(evaluate(node.database))
        self._addresses = [(device.kind, str(evaluate(device.address))) for device in node.devices]
        self._command = "BACKUP LOG" if node.log else "BACKUP DATABASE"
        self._kind = LOG if node.log else DIFFERENTIAL if "DIFFERENTIAL" in node.options else FULL
        self._farewell: Iterator[Event] = iter(())
        self._devices = Devices(self._instance.credentials, self._instance.options.data_dir / "backup")

    @property
    def _copy_only(self) -> bool:
        return "COPY_ONLY" in self._options

    def run(self) -> Iterator[Event]:
        """Run it; every failure ends with 3013."""
        try:
            self._check_options()
            database = self._instance.database(self._name)
            self._check_database(database)
            with self._exclusive(database):
                yield from self._run(database)
        except SqlError as error:
            raise error.followed_by(3013, self._command) from None
        yield Done()

    # --- whether it may run

    def _check_options(self) -> None:
        if self._session.transaction is not None:
            raise SqlError(3021, state=0)
        for option in ("DIFFERENTIAL",) if self._node.log else _LOG_ONLY:
            if option in self._options:
                raise SqlError(3032, option)
        if "CREDENTIAL" in self._options:
            raise SqlError(3225)
        if len(self._addresses) > MAX_DEVICES:
            raise SqlError(3205, MAX_DEVICES)
        size = self._options.get("MAXTRANSFERSIZE")
        limit = _URL_BLOCK_LIMIT if self._instance.options.release < "2022" else 20 << 20
        if size is not None and (int(size) % _TRANSFER_UNIT or not _TRANSFER_UNIT <= int(size) <= limit):
            raise SqlError(3250, size, "MAXTRANSFERSIZE")
        block = self._options.get("BLOCKSIZE")
        if block is not None and int(block) not in (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536):
            raise SqlError(3250, block, "BLOCKSIZE")
        stats = self._options.get("STATS")
        if stats is not None and not 0 < int(stats) <= 100:
            raise SqlError(3250, stats, "STATS")

    def _check_database(self, database: Database) -> None:
        state = database.state
        if not self._instance.permissions.may_enter(self._session, database):
            raise SqlError(916, self._session.user, database.name)
        self._instance.permissions.demand_database(self._session, database, self._command)
        if database.name == "tempdb":
            raise SqlError(3147)
        if state.state == databases.RESTORING:
            raise SqlError(927, database.name)
        if state.state == databases.OFFLINE:
            raise SqlError(942, database.name)
        if state.state == databases.SUSPECT and "NO_TRUNCATE" not in self._options:
            raise SqlError(926, database.name)
        if self._kind == DIFFERENTIAL and state.differential_base is None:
            raise SqlError(3035, database.name)
        if self._kind == LOG:
            if state.recovery_model == "SIMPLE":
                raise SqlError(4208, "BACKUP LOG")
            if state.log_start is None:
                raise SqlError(4214)
            if "NORECOVERY" in self._options:
                self._check_alone(database)

    def _check_alone(self, database: Database) -> None:
        users = self._instance.sessions_using(database)
        if self._session in users:
            raise SqlError(3102, "BACKUP", database.name)
        if users:
            raise SqlError(3101)

    @contextlib.contextmanager
    def _exclusive(self, database: Database) -> Iterator[None]:
        """Data backups exclude each other; log backups take turns, and never wait for a data backup."""
        lock = database.log_backup if self._kind == LOG else database.data_backup
        while not lock.acquire(blocking=False):
            if self._kind != LOG:
                raise SqlError(3023)
            self._session.sleep(_POLL_SECONDS)
        try:
            yield
        finally:
            lock.release()

    # --- the work

    def _run(self, database: Database) -> Iterator[Event]:
        started = self._instance.clock()
        guid, media_guid = new_guid(), new_guid()
        targets = self._open_targets()
        writer = None
        try:
            facts = self._facts(database, guid, media_guid, started)
            writer = MediaWriter(targets, facts, compress="COMPRESSION" in self._options)
            part = yield from self._write(database, writer)
            ending = self._ending(database, part, writer)
            writer.finish(ending)
        except BaseException:
            for target in targets:
                target.abandon()
            self._put_back_in_service(database)
            raise
        finally:
            if self._session.progress is not None:
                self._session.progress = None
        self._complete(database, guid, part)
        addresses = [(kind, self._devices.address(kind, address)) for kind, address in self._addresses]
        ending |= {"compressed_size": writer.written_bytes}
        remember(self._instance, {**facts, **ending}, addresses, self._session.user)
        yield from self._farewell

    def _open_targets(self) -> list[Target]:
        places = [(kind, self._devices.address(kind, address)) for kind, address in self._addresses]
        overwrite = "FORMAT" in self._options
        for kind, address in places:
            if not self._devices.exists(kind, address) or overwrite:
                continue
            if kind == "URL":
                raise SqlError(3296, address)
            if "INIT" not in self._options:
                raise SqlError(
                    40517, "NOINIT on an existing file: this server keeps one backup set in a file"
                )
        targets: list[Target] = []
        try:
            for kind, address in places:
                targets.append(self._devices.create(kind, address))
        except SqlError:
            for target in targets:
                target.abandon()
            raise
        return targets

    def _facts(self, database: Database, guid: str, media_guid: str, started: dt.datetime) -> dict[str, Any]:
        state = database.state
        base = state.differential_base if self._kind == DIFFERENTIAL else None
        return {
            "guid": guid,
            "media_guid": media_guid,
            "type": self._kind,
            "name": self._options.get("NAME"),
            "description": self._options.get("DESCRIPTION"),
            "database_name": database.name,
            "created": state.created,
            "started": started.isoformat(),
            "server": self._instance.name,
            "release": list(self._instance.release),
            "offset_minutes": self._instance.options.utc_offset,
            "user": self._session.user,
            "recovery_model": state.recovery_model,
            "copy_only": self._copy_only,
            "checksums": self._checksums(),
            "begins_log_chain": self._kind == LOG and state.chain_begins,
            "damaged": state.state == databases.SUSPECT,
            "family_guid": state.family_guid,
            "database_guid": state.database_guid,
            "database_backup_lsn": state.full_lsn,
            "differential_base_guid": base[0] if base else None,
            "differential_base_lsn": base[1] if base else None,
            "single_user": state.user_access == "SINGLE_USER",
            "read_only": state.read_only,
            "snapshot_isolation": state.snapshot_isolation,
            "files": [
                {
                    "logical": state.data.logical,
                    "path": state.data.path,
                    "kind": "D",
                    "size": database.size_pages() * PAGE_BYTES,
                },
                {
                    "logical": state.log.logical,
                    "path": state.log.path,
                    "kind": "L",
                    "size": database.log_pages() * PAGE_BYTES,
                },
            ],
        }

    def _checksums(self) -> bool:
        """Compressed backups are checked unless that is declined, others only if that is asked for."""
        if "COMPRESSION" in self._options:
            return "NO_CHECKSUM" not in self._options
        return "CHECKSUM" in self._options

    def _step(self) -> int:
        return int(self._options.get("STATS") or DEFAULT_STEP)

    def _write(self, database: Database, writer: MediaWriter) -> Any:
        """Write the content; yields messages, returns the range of the log."""
        if self._kind == FULL:
            return (yield from self._write_full(database, writer))
        if self._kind == DIFFERENTIAL:
            _, base = database.state.differential_base or ("", 0)
            with database.commit_lock:
                checkpoint = self._checkpoint(database)
                end = database.log.next_lsn
            self._farewell = yield from self._write_log(database, writer, base, end)
            return Range(checkpoint, end, checkpoint)
        start = database.state.log_start or 0
        with database.commit_lock:
            end = database.log.next_lsn
            if "NORECOVERY" in self._options:
                self._take_out_of_service(database, end)
        self._farewell = yield from self._write_log(database, writer, start, end)
        return Range(start, end, database.state.full_lsn)

    def _checkpoint(self, database: Database) -> int:
        """Write a checkpoint; what is in the data file is in the log before its end."""
        return database.log.append(self._instance.clock().isoformat(), database.fork, None, b"").lsn

    def _write_full(self, database: Database, writer: MediaWriter) -> Any:
        snapshot = self._instance.options.data_dir / f"snapshot-{new_guid()}.tmp"
        try:
            with database.commit_lock:
                checkpoint = self._checkpoint(database)
                database.backup_floor = checkpoint
                _copy(database.data_path, snapshot)
            size = snapshot.stat().st_size
            meter = Meter(self._session, self._command, database.id, size, self._step())
            with snapshot.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    writer.add(PAGES, chunk)
                    yield from meter.add(len(chunk))
            with database.commit_lock:
                end = database.log.next_lsn
            tail = 0
            for record in database.log.read(checkpoint, end):
                writer.add(RECORD, encode_record(record))
                tail += len(record.body)
        finally:
            database.backup_floor = None
            remove_files(snapshot)
        state = database.state
        lines = [
            (pages_of(size), database.name, state.data.logical),
            (max(2, pages_of(tail)), database.name, state.log.logical),
        ]
        self._farewell = meter.finish(lines)
        return Range(checkpoint, end, checkpoint)

    def _write_log(self, database: Database, writer: MediaWriter, start: int, end: int) -> Any:
        """Write the records of a part of the log; returns the closing messages."""
        total = database.log.bytes_since(start)
        meter = Meter(self._session, self._command, database.id, total, self._step())
        written = 0
        for record in database.log.read(start, end):
            writer.add(RECORD, encode_record(record))
            written += len(record.body)
            yield from meter.add(len(record.body))
        file = database.state.log if self._kind == LOG else database.state.data
        return meter.finish([(max(1, pages_of(written)), database.name, file.logical)])

    def _ending(self, database: Database, part: Range, writer: MediaWriter) -> dict[str, Any]:
        """What is known only now."""
        first, last = database.fork_at(part.first), database.fork
        last_record = database.log.last()
        return {
            "first_lsn": part.first,
            "last_lsn": part.last,
            "checkpoint_lsn": part.checkpoint,
            "finished": self._instance.clock().isoformat(),
            "first_fork": first,
            "last_fork": last,
            "fork_point_lsn": database.state.forks[-1][1] if first != last else None,
            "forks": database.state.forks,
            "last_time": last_record.time if last_record else None,
            "size": writer.raw_bytes + PAGE_BYTES,
        }

    def _take_out_of_service(self, database: Database, end: int) -> None:
        """The tail of the log: nothing may be written after it."""
        state = database.state
        state.state, state.redo_lsn, state.untouched, state.interrupted = databases.RESTORING, end, True, None
        last = database.log.last()
        state.redo_time = last.time if last else None
        self._instance.save()

    def _put_back_in_service(self, database: Database) -> None:
        """A tail that was not backed up is still there: both happen or neither does.

        Microsoft on BACKUP LOG: the tail is backed up and the database taken into RESTORING "atomically".
        """
        state = database.state
        if "NORECOVERY" in self._options and state.state == databases.RESTORING:
            state.state, state.redo_lsn, state.redo_time, state.untouched = (
                databases.ONLINE,
                None,
                None,
                False,
            )
            self._instance.save()

    def _complete(self, database: Database, guid: str, part: Range) -> None:
        """Change what the next backups build on."""
        state = database.state
        keeps_log = state.recovery_model != "SIMPLE"
        if self._kind == LOG:
            if not self._copy_only and "NO_TRUNCATE" not in self._options:
                state.log_start, state.chain_begins = part.last, False
        elif not self._copy_only or self._kind == DIFFERENTIAL:
            if self._kind == FULL:
                state.full_lsn, state.differential_base = part.checkpoint, (guid, part.checkpoint)
            if keeps_log and state.log_start is None:
                state.log_start, state.chain_begins = part.checkpoint, True
        database.truncate_log()
        self._instance.save()


def _copy(source: Path, target: Path) -> None:
    """A copy of a SQLite file as it is now, page by page."""
    from_file, to_file = open_database(source), open_database(target)
    try:
        with to_file.backup("main", from_file, "main") as backup:
            backup.step(-1)
        to_file.execute("PRAGMA journal_mode=DELETE").fetchall()
    finally:
        from_file.close()
        to_file.close()
