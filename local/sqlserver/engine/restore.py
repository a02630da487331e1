"""RESTORE DATABASE and RESTORE LOG: the rules, and the order of the work."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from local.sqlserver.datatypes import DATETIME2, NVARCHAR_MAX
from local.sqlserver.engine import database as databases
from local.sqlserver.engine import restore_steps as steps
from local.sqlserver.engine.database import PAGE_BYTES, Database, new_guid
from local.sqlserver.engine.errors import SqlError, message
from local.sqlserver.engine.events import Done, Event
from local.sqlserver.engine.media_sets import open_set
from local.sqlserver.engine.progress import DEFAULT_STEP, Meter
from local.sqlserver.engine.restore_files import FilePlan, plan_files
from local.sqlserver.engine.restore_history import remember_restore
from local.sqlserver.engine.stopping import StopPoint, mark_or_lsn
from local.sqlserver.engine.values import convert, from_storage
from local.sqlserver.media.format import MediaReader
from local.sqlserver.syntax import commands, tree

if TYPE_CHECKING:
    from local.sqlserver.engine.session import Session

_STOP_OPTIONS = ("STOPAT", "STOPATMARK", "STOPBEFOREMARK")

type Evaluate = Callable[[tree.Node], Any]


class RestoreJob:
    """One RESTORE DATABASE or RESTORE LOG statement."""

    def __init__(self, session: Session, node: commands.Restore, evaluate: Evaluate) -> None:
        self._session = session
        self._instance = session.instance
        self._log = node.what == "LOG"
        self._command = f"RESTORE {node.what}"
        self._name = str(evaluate(node.database)) if node.database is not None else ""
        self._addresses = [(device.kind, str(evaluate(device.address))) for device in node.devices]
        self._options = {k: None if v is None else evaluate(v) for k, v in node.options.items()}
        self._moves = [(str(evaluate(a)), str(evaluate(b))) for a, b in node.moves]
        self._after = str(evaluate(node.after)) if node.after is not None else None

    @property
    def _recover(self) -> bool:
        return "NORECOVERY" not in self._options

    def run(self) -> Iterator[Event]:
        """Run it; every failure ends with 3013."""
        try:
            self._check_options()
            database = self._instance.find(self._name)
            self._check_permission(database)
            self._check_in_use(database)
            if not self._addresses:
                yield from self._recover_only(database)
            else:
                yield from self._restore(database)
        except SqlError as error:
            raise error.followed_by(3013, self._command) from None
        finally:
            self._session.progress = None
        yield Done()

    # --- whether it may run

    def _check_options(self) -> None:
        if self._session.transaction is not None:
            raise SqlError(3021, state=0)
        if "CREDENTIAL" in self._options:
            raise SqlError(3225)
        if self._options.get("FILE", 1) != 1:
            raise SqlError(4038, self._options["FILE"], self._addresses[0][1] if self._addresses else "")
        if self._log and "REPLACE" in self._options:
            raise SqlError(3032, "REPLACE")
        if self._name.casefold() in ("tempdb",):
            raise SqlError(3147)
        if self._name.casefold() == "master":
            raise SqlError(3108)

    def _check_permission(self, database: Database | None) -> None:
        """A new database asks for CREATE ANY DATABASE, an existing one for its owner or dbcreator."""
        may = self._instance.permissions
        if database is None:
            may.demand_new_database(self._session)
        elif not (may.owns(self._session, database) or may.server(self._session, "ALTER ANY DATABASE")):
            raise SqlError(3110, database.name)

    def _check_in_use(self, database: Database | None) -> None:
        if database is None:
            return
        users = self._instance.sessions_using(database)
        if self._session in users:
            raise SqlError(3102, "RESTORE", database.name)
        if users and database.state.state == databases.ONLINE:
            raise SqlError(3101)

    def _stop_point(self) -> StopPoint:
        before = "STOPBEFOREMARK" in self._options
        name = self._options.get("STOPATMARK", self._options.get("STOPBEFOREMARK"))
        after = self._utc(self._after) if self._after else None
        if name is not None:
            mark, lsn = mark_or_lsn(str(name))
            return StopPoint(mark=mark, lsn=lsn, after=after, before=before)
        time = self._options.get("STOPAT")
        return StopPoint(time=self._utc(str(time)) if time is not None else None)

    def _utc(self, text: str) -> dt.datetime:
        """A time in a statement is the server's local time."""
        stored = convert(text, NVARCHAR_MAX, DATETIME2)
        local: dt.datetime = from_storage(DATETIME2, stored)
        return local.replace(tzinfo=self._instance.zone).astimezone(dt.UTC)

    # --- RESTORE DATABASE x WITH RECOVERY

    def _recover_only(self, database: Database | None) -> Iterator[Event]:
        if database is None:
            raise SqlError(911, self._name)
        if any(option in self._options for option in _STOP_OPTIONS) or self._moves:
            raise SqlError(3032, "STOPAT")
        if not self._recover:
            raise SqlError(3032, "NORECOVERY")
        if database.state.state != databases.RESTORING:
            raise SqlError(3153)
        if database.state.interrupted is not None:
            raise SqlError(4333)
        meter = Meter(self._session, self._command, database.id, 1, DEFAULT_STEP)
        steps.recover(self._instance, database)
        farewell = list(meter.finish([(0, database.name, database.state.data.logical)]))
        yield from farewell[-1:]

    # --- restoring from devices

    def _restore(self, database: Database | None) -> Iterator[Event]:
        media = open_set(self._instance, self._addresses)
        facts = media.facts
        if "CHECKSUM" in self._options and not facts["checksums"]:
            raise SqlError(3187)
        stop = self._stop_point()
        if stop.given and facts["recovery_model"] == "SIMPLE":
            raise SqlError(3145)
        if self._log != (facts["type"] == "L"):
            made_by = "BACKUP LOG" if facts["type"] == "L" else "BACKUP DATABASE"
            raise SqlError(3135, self._addresses[0][1], made_by)
        if facts["type"] == "D":
            yield from self._restore_full(database, media, stop)
        else:
            yield from self._roll_forward(database, media, stop)

    def _restore_full(
        self, database: Database | None, media: MediaReader, stop: StopPoint
    ) -> Iterator[Event]:
        facts = media.facts
        self._check_overwrite(database, facts, stop)
        if (
            stop.time is not None
            and facts["last_time"]
            and dt.datetime.fromisoformat(facts["finished"]) > stop.time
        ):
            raise SqlError(4338)
        plan = plan_files(self._instance, database, facts, self._moves, replace="REPLACE" in self._options)
        database = self._begin(database, facts, plan)
        meter = self._meter(database, facts["size"])
        yield from steps.load_full(database, media, meter)
        yield from self._finish(database, media, stop, meter, stopped=not stop.given)

    def _check_overwrite(self, database: Database | None, facts: dict[str, Any], stop: StopPoint) -> None:
        if database is None or "REPLACE" in self._options:
            return
        state = database.state
        if state.family_guid != facts["family_guid"]:
            raise SqlError(3154, database.name)
        if state.state == databases.ONLINE:
            unsaved = database.has_backed_up_log() and database.log.next_lsn > (state.log_start or 0)
            if unsaved and not stop.given:
                raise SqlError(3159, database.name)
            if facts["database_name"].casefold() != database.name.casefold():
                raise SqlError(3141, facts["database_name"], database.name)

    def _begin(self, database: Database | None, facts: dict[str, Any], plan: FilePlan) -> Database:
        """Put the database into RESTORING; from here on its old content is gone."""
        number = database.id if database is not None else self._instance.take_id()
        created = database.state.created if database is not None else self._instance.clock().isoformat()
        generation = database.state.generation + 1 if database is not None else 1
        owner = database.state.owner if database is not None else self._session.user
        if database is not None:
            database.delete_files()
        state = databases.State(
            number,
            database.name if database is not None else self._name,
            plan.data,
            plan.log,
            created,
            recovery_model=facts["recovery_model"],
            state=databases.RESTORING,
            read_only=facts["read_only"],
            snapshot_isolation=facts["snapshot_isolation"],
            family_guid=facts["family_guid"],
            database_guid=new_guid(),
            forks=[(guid, lsn) for guid, lsn in facts["forks"]],
            interrupted=facts["guid"],
            generation=generation,
            owner=owner,
        )
        if database is None:
            database = Database(state)
        else:
            database.state = state
        self._instance.add(database)
        return database

    def _roll_forward(
        self, database: Database | None, media: MediaReader, stop: StopPoint
    ) -> Iterator[Event]:
        """A differential or a log."""
        if database is None:
            raise SqlError(3118, self._name)
        state, facts = database.state, media.facts
        if state.state != databases.RESTORING:
            raise SqlError(3117)
        if state.interrupted not in (None, facts["guid"]):
            raise SqlError(4319, state.data.logical)
        if state.family_guid != facts["family_guid"]:
            raise SqlError(3154, database.name)
        if facts["type"] == "I":
            steps.check_differential(database, facts)
        else:
            steps.check_log(database, facts, stop)
        meter = self._meter(database, facts["size"])
        stopped = yield from steps.apply_log(database, media, meter, stop, self._instance)
        yield from self._finish(database, media, stop, meter, stopped=stopped)

    def _meter(self, database: Database, size: int) -> Meter:
        step = int(self._options.get("STATS") or DEFAULT_STEP)
        return Meter(self._session, self._command, database.id, size - PAGE_BYTES, step)

    def _finish(
        self, database: Database, media: MediaReader, stop: StopPoint, meter: Meter, *, stopped: bool
    ) -> Iterator[Event]:
        """Recover if that was asked for and the stop point was reached; write history; say goodbye."""
        facts = media.facts
        recovered = self._recover and (stopped or not stop.given or facts["type"] != "L")
        if recovered:
            steps.recover(self._instance, database)
        else:
            self._instance.save()
        remember_restore(self._instance, self._session.user, database.name, facts, self._addresses, {
            "replace": "REPLACE" in self._options,
            "recovery": recovered,
            "stop_at": self._options.get("STOPAT"),
            "stop_at_mark_name": self._options.get("STOPATMARK", self._options.get("STOPBEFOREMARK")),
            "stop_before": stop.before,
        })  # fmt: skip
        if stop.given and not stopped and facts["type"] == "L":
            yield message(stop.not_reached, step=True)
        file = database.state.log if facts["type"] == "L" else database.state.data
        pages = database.size_pages() if facts["type"] == "D" else max(1, facts["size"] // 8192)
        yield from meter.finish([(pages, database.name, file.logical)])
