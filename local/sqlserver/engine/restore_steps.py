"""The steps of a restore: chain rules, loading the data, rolling forward, recovery."""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.sqlserver.engine import database as databases
from local.sqlserver.engine.database import Database, apply_record, new_guid
from local.sqlserver.engine.errors import SqlError
from local.sqlserver.engine.events import Message
from local.sqlserver.engine.progress import Meter
from local.sqlserver.engine.stopping import StopPoint
from local.sqlserver.engine.storage import open_database
from local.sqlserver.media.format import PAGES, RECORD, MediaReader, decode_record

if TYPE_CHECKING:
    from local.sqlserver.engine.instance import Instance

type Facts = dict[str, Any]


# --- the rules of the chain


def check_differential(database: Database, facts: Facts) -> None:
    """A differential needs its own base, and nothing newer on top of it.

    Raises:
        SqlError: 3136 or 4330.
    """
    state = database.state
    base = state.differential_base
    if (
        base is None
        or base[0] != facts["differential_base_guid"]
        or facts["last_lsn"] <= (state.redo_lsn or 0)
    ):
        raise SqlError(3136)
    _check_fork(database, facts)


def check_log(database: Database, facts: Facts, stop: StopPoint) -> None:
    """A log must contain the LSN that the database waits for, on its recovery fork.

    Raises:
        SqlError: 4305 too recent, 4326 too early, 4330 another fork, 4335 the database is past the stop time.
    """
    redo = database.state.redo_lsn or 0
    if facts["first_lsn"] > redo:
        raise SqlError(4305, facts["first_lsn"], redo)
    if facts["last_lsn"] <= redo:
        raise SqlError(4326, facts["last_lsn"], redo)
    _check_fork(database, facts)
    reached = database.state.redo_time
    if stop.time is not None and reached is not None and dt.datetime.fromisoformat(reached) > stop.time:
        raise SqlError(4335)
    if stop.lsn is not None and stop.lsn < redo:
        raise SqlError(4334)


def _check_fork(database: Database, facts: Facts) -> None:
    """The backup begins on the database's fork, or leaves that fork no earlier than the database stands.

    That a backup which spans forks fits as long as its fork point was not passed is a reading of Microsoft's
    "Recovery paths".
    """
    path = facts["forks"]
    guids = [guid for guid, _ in path]
    if database.fork not in guids:
        raise SqlError(4330)
    following = path[guids.index(database.fork) + 1 :]
    if following and following[0][1] < (database.state.redo_lsn or 0):
        raise SqlError(4330)


# --- the work


def load_full(database: Database, media: MediaReader, meter: Meter) -> Iterator[Message]:
    """Write the data file of a full backup, then roll it forward to the backup's end."""
    facts = media.facts
    database.log.move_to(facts["checkpoint_lsn"])
    path = Path(database.state.data.path)
    connection = None
    with path.open("wb") as file:
        for kind, data in media.content():
            if kind == PAGES:
                file.write(data)
            elif kind == RECORD:
                if connection is None:
                    file.close()
                    connection = open_database(path)
                record = decode_record(data)
                apply_record(connection, record)
                database.log.put([record])
            yield from meter.add(len(data))
    if connection is not None:
        connection.close()
    state = database.state
    state.redo_lsn, state.redo_time, state.interrupted = facts["last_lsn"], facts["last_time"], None
    state.full_lsn = facts["database_backup_lsn"] if facts["copy_only"] else facts["checkpoint_lsn"]
    state.differential_base = None if facts["copy_only"] else (facts["guid"], facts["checkpoint_lsn"])
    state.log_start, state.chain_begins = facts["last_lsn"], False


def apply_log(
    database: Database, media: MediaReader, meter: Meter, stop: StopPoint, instance: Instance
) -> Generator[Message, None, bool]:
    """Roll forward through a differential or a log.

    One that was interrupted is repeated from its beginning: what it had applied is read again, for the stop
    point may be there, and applied no second time. After an interrupted differential nothing else fits.

    Returns:
        Whether the stop point was reached; without a stop clause, True.
    """
    state, facts = database.state, media.facts
    only_log = facts["type"] == "L"
    state.untouched = False
    state.interrupted = None if only_log else facts["guid"]
    began_at = state.redo_lsn or 0
    stopped = False
    connection = open_database(database.data_path)
    try:
        for _, data in media.content():
            record = decode_record(data)
            yield from meter.add(len(data))
            if stopped:
                continue
            verdict = stop.verdict(record) if stop.given and only_log else "apply"
            if record.lsn < (state.redo_lsn or 0):
                stopped = verdict == "apply and stop" and record.next_lsn == state.redo_lsn
                continue
            if verdict != "stop":
                apply_record(connection, record)
                database.log.put([record])
                state.redo_lsn, state.redo_time = record.next_lsn, record.time
            stopped = verdict != "apply"
        state.interrupted = None
    finally:
        connection.close()
        _reached(database, facts, began_at, stopped=stopped)
        instance.save()
    return stopped or not stop.given


def _reached(database: Database, facts: Facts, began_at: int, *, stopped: bool) -> None:
    """Note where the database stands. The next log backup after a recovery begins at the log that was cut."""
    state = database.state
    redo = state.redo_lsn or 0
    if not state.interrupted and redo < facts["last_lsn"] and facts["type"] != "L":
        redo = facts["last_lsn"]
    state.log_start = began_at if stopped else redo
    state.redo_lsn = redo
    state.forks = [
        (guid, start) for guid, start in facts["forks"] if start < redo or start == facts["forks"][0][1]
    ]


def recover(instance: Instance, database: Database) -> None:
    """Bring the database into service; a new recovery fork begins unless nothing had been restored."""
    state = database.state
    redo = state.redo_lsn or database.log.next_lsn
    if not state.untouched:
        database.log.move_to(redo)
        state.forks.append((new_guid(), redo))
    if state.recovery_model == "SIMPLE":
        state.log_start = None
    state.state, state.redo_lsn, state.redo_time, state.untouched = databases.ONLINE, None, None, False
    _set_applied(database)
    instance.save()


def _set_applied(database: Database) -> None:
    """The data file holds everything that the log holds."""
    connection = open_database(database.data_path)
    connection.execute("UPDATE _state SET applied = ?", (database.log.next_lsn,))
    connection.close()
