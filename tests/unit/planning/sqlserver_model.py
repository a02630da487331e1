"""What SQL Server would say: a small model of its restore rules, and of a database that is backed up.

Written from the rules alone (which restore answers 3136, 4305, 4326, 4330, 4341), and slow on purpose: it
tries every sequence. It knows the rows of every backup, so it also says what a restore brings back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from shared.model.backups import Kind
from shared.model.hints import SqlHint

START = datetime(2026, 1, 1, tzinfo=UTC)
FAMILY = "family-a"


class Row(NamedTuple):
    """A committed record: its place in the log, and when it was committed."""

    lsn: int
    number: int
    at: datetime


@dataclass(frozen=True)
class Stop:
    """Where a roll-forward shall stop: after the record at an LSN, or at an instant."""

    lsn: int | None = None
    at: datetime | None = None

    def inside(self, log: SqlHint) -> bool:
        """Whether this log holds the stop point."""
        if self.lsn is not None:
            return log.first_lsn <= self.lsn < log.last_lsn
        return self.at is not None and log.started_at >= self.at

    def keeps(self, row: Row) -> bool:
        """Whether a row is committed at the stop point."""
        return (self.lsn is None or row.lsn <= self.lsn) and (self.at is None or row.at <= self.at)


@dataclass(frozen=True)
class Restoring:
    """A database in RESTORING state."""

    full: SqlHint
    fork: str
    cursor: int
    rows: tuple[Row, ...]
    kind: Kind = Kind.FULL
    stopped: bool = False


class Refused(Exception):  # noqa: N818 - it is an answer, not an accident
    """SQL Server's message number."""


@dataclass
class Database:
    """A database over time: rows, backups, restores onto itself. Every operation takes ten seconds."""

    now: datetime = START
    rows: tuple[Row, ...] = ()
    next_lsn: int = 100
    fork: str = "fork-0"
    forks: int = 1
    fork_point: int | None = None
    log_fork: str = "fork-0"
    log_start: int | None = None
    base: SqlHint | None = None
    written: int = 0
    bulk: bool = False
    backups: list[SqlHint] = field(default_factory=list)
    held: dict[str, tuple[Row, ...]] = field(default_factory=dict)
    past: list[tuple[datetime, tuple[Row, ...]]] = field(default_factory=list)

    def tick(self) -> None:
        self.past.append((self.now, self.rows))
        self.now += timedelta(seconds=10)

    def work(self, rows: int, bulk: bool = False) -> None:
        for _ in range(rows):
            self.rows += (Row(self.next_lsn, self.written, self.now),)
            self.written += 1
            self.next_lsn += 10
        self.bulk = self.bulk or bulk
        self.tick()

    def full(self, fate: str, copy_only: bool = False) -> None:
        hint = self._hint(Kind.FULL, self.next_lsn - 1, copy_only=copy_only)
        if not copy_only:
            self.base = hint
        if self.log_start is None:
            self.log_start = self.next_lsn
        self._keep(hint, fate, self.rows)

    def differential(self, fate: str) -> None:
        if self.base:
            hint = self._hint(Kind.DIFFERENTIAL, self.next_lsn - 1, base=self.base.backup_set_uuid)
            self._keep(hint, fate, self.rows)

    def log(self, fate: str, copy_only: bool = False) -> None:
        if self.log_start is None:
            return
        first = self.log_start
        hint = self._hint(Kind.LOG, first, copy_only=copy_only)
        hint = hint.model_copy(
            update={
                "first_recovery_fork_guid": self.log_fork,
                "fork_point_lsn": self.fork_point,
                "has_bulk_logged_data": self.bulk,
            }
        )
        if not copy_only:
            self.log_start, self.log_fork, self.fork_point, self.bulk = self.next_lsn, self.fork, None, False
        self._keep(hint, fate, tuple(row for row in self.rows if row.lsn >= first))

    def restored_to(self, share: float) -> None:
        """The database itself is restored to an earlier row: a new recovery fork begins."""
        if self.log_start is None or self.fork_point is not None or not self.rows:
            return
        kept = self.rows[: int(share * len(self.rows))]
        point = kept[-1].lsn + 10 if kept else 100
        ends = [b.last_lsn for b in self.backups if b.kind is Kind.LOG and b.last_lsn <= point]
        self.log_start, self.log_fork = max(ends, default=point), self.fork
        self.rows, self.next_lsn, self.fork_point = kept, point, point
        self.fork, self.forks = f"fork-{self.forks}", self.forks + 1
        if self.base and self.base.last_lsn > point:
            self.base = None
        self.tick()

    def _hint(self, kind: Kind, first: int, *, copy_only: bool = False, base: str | None = None) -> SqlHint:
        number = len(self.past)
        return SqlHint(
            id=f"{number:04}-{kind}",
            server="sql",
            database="OctopusDB",
            kind=kind,
            backup_set_uuid=f"set-{number}",
            family_guid=FAMILY,
            first_lsn=first,
            last_lsn=self.next_lsn,
            checkpoint_lsn=first,
            differential_base_guid=base,
            first_recovery_fork_guid=self.fork,
            last_recovery_fork_guid=self.fork,
            fork_point_lsn=None,
            has_bulk_logged_data=False,
            is_copy_only=copy_only,
            is_damaged=False,
            started_at=self.now,
            finished_at=self.now + timedelta(seconds=3),
            size=1000 + number,
        )

    def _keep(self, hint: SqlHint, fate: str, rows: tuple[Row, ...]) -> None:
        self.held[hint.id] = rows
        if fate != "lost":
            self.backups.append(hint.model_copy(update={"is_damaged": fate == "damaged"}))
        self.tick()

    def rows_at(self, time: datetime) -> tuple[Row, ...]:
        return [rows for at, rows in self.past if at <= time][-1]


def start(database: Database, full: SqlHint, stop: Stop) -> Restoring:
    """RESTORE DATABASE from a full backup, NORECOVERY."""
    if full.is_damaged:
        raise Refused(3189)
    if (stop.at and full.finished_at > stop.at) or (stop.lsn is not None and full.last_lsn > stop.lsn):
        raise Refused(4338)
    return Restoring(full, full.last_recovery_fork_guid, full.last_lsn, database.held[full.id])


def differential(database: Database, state: Restoring, backup: SqlHint, stop: Stop) -> Restoring:
    """RESTORE DATABASE from a differential, NORECOVERY."""
    if backup.is_damaged:
        raise Refused(3189)
    if state.full.is_copy_only or backup.differential_base_guid != state.full.backup_set_uuid:
        raise Refused(3136)
    if state.kind is not Kind.FULL or backup.last_lsn < state.cursor:
        raise Refused(3136)
    start(database, backup, stop)
    rows = database.held[backup.id]
    fork, cursor = backup.last_recovery_fork_guid, backup.last_lsn
    return replace(state, kind=Kind.DIFFERENTIAL, fork=fork, cursor=cursor, rows=rows)


def log(database: Database, state: Restoring, backup: SqlHint, stop: Stop) -> Restoring:
    """RESTORE LOG, NORECOVERY, with the stop clause."""
    if backup.is_damaged:
        raise Refused(3189)
    if state.stopped or backup.first_lsn > state.cursor:
        raise Refused(4305)
    if backup.last_lsn <= state.cursor:
        raise Refused(4326)
    if backup.first_recovery_fork_guid != state.fork:
        raise Refused(4330)
    spans = backup.last_recovery_fork_guid != backup.first_recovery_fork_guid
    if spans and (backup.fork_point_lsn is None or backup.fork_point_lsn < state.cursor):
        raise Refused(4330)
    inside = stop.inside(backup)
    if inside and backup.has_bulk_logged_data:
        raise Refused(4341)
    new = tuple(row for row in database.held[backup.id] if row.lsn >= state.cursor)
    rows = state.rows + tuple(row for row in new if not inside or stop.keeps(row))
    fork = backup.last_recovery_fork_guid
    return Restoring(state.full, fork, backup.last_lsn, rows, Kind.LOG, stopped=inside)


def replay(database: Database, backups: Sequence[SqlHint], stop: Stop) -> Restoring:
    """Restore a sequence; Refused with SQL Server's number if it would not let us."""
    if backups[0].kind is not Kind.FULL:
        raise Refused(3117)
    state = start(database, backups[0], stop)
    for backup in backups[1:]:
        step = differential if backup.kind is Kind.DIFFERENTIAL else log
        state = step(database, state, backup, stop)
    return state


def every_restore(database: Database, stop: Stop) -> Iterator[tuple[tuple[SqlHint, ...], Restoring]]:
    """Every sequence that SQL Server accepts, each with what it leads to. Exponential: few backups only."""
    waiting: list[tuple[tuple[SqlHint, ...], Restoring]] = []
    for backup in database.backups:
        if backup.kind is Kind.FULL:
            try:
                waiting.append(((backup,), start(database, backup, stop)))
            except Refused:
                continue
    while waiting:
        used, state = waiting.pop()
        yield used, state
        for backup in database.backups:
            if backup.kind is Kind.FULL or backup.first_lsn >= backup.last_lsn:
                continue
            step = differential if backup.kind is Kind.DIFFERENTIAL else log
            try:
                waiting.append(((*used, backup), step(database, state, backup, stop)))
            except Refused:
                continue
