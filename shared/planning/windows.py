"""The restorable windows of a database: from when to when it can be restored, and why each window ends."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.model.backups import Kind
from shared.model.hints import SqlHint
from shared.planning.history import History
from shared.planning.words import said


@dataclass(frozen=True)
class Window:
    """Every instant from ``start`` to ``end`` (UTC) can be restored, and every LSN between the two.

    Where both are the same, it is the end of one backup that no log continues. ``why`` says what ends it.
    """

    start: datetime
    end: datetime
    start_lsn: int
    end_lsn: int
    why: str
    family_guid: str

    def __str__(self) -> str:
        if self.start == self.end:
            return said(self.start)
        return f"{said(self.start)} to {said(self.end)}"


def restorable_windows(backups: Iterable[SqlHint]) -> list[Window]:
    """The windows of one database, of all its families and forks, the oldest first.

    A window ends at the instant at which the backup of its last log began: what was committed up to then is
    surely in it. Stops inside bulk-logged logs and inside logs that span forks are outside.
    """
    by_family: dict[str, list[SqlHint]] = {}
    for backup in backups:
        by_family.setdefault(backup.family_guid, []).append(backup)
    found: list[Window] = []
    for family, members in by_family.items():
        history = History(members)
        for fork in history.forks():
            found += _windows_on(history, fork, family)
    return sorted(found, key=lambda window: (window.start, window.end))


def nearest(windows: Sequence[Window], time: datetime) -> tuple[datetime | None, datetime | None]:
    """The nearest restorable instants at or before, and at or after, a time that lies in no window."""
    spans = [window for window in windows if window.start < window.end]  # the rest has no instant to stop at
    before = max((window.end for window in spans if window.end <= time), default=None)
    after = min((window.start for window in spans if window.start >= time), default=None)
    return before, after


def _windows_on(history: History, fork: str, family: str) -> list[Window]:
    starts = sorted(
        [data for data in history.data if data.last_recovery_fork_guid == fork]
        + [log for log in history.logs_into(fork) if _entered(history, log)],
        key=lambda backup: (backup.last_lsn, backup.finished_at),
    )
    places = [start.last_lsn for start in starts]
    runs = _runs(history.logs_on(fork))
    found: list[Window] = []
    taken: set[str] = set()
    for position, run in enumerate(runs):
        low, high = min(log.first_lsn for log in run), max(log.last_lsn for log in run)
        inside = starts[bisect_left(places, low) : bisect_left(places, high)]
        taken.update(start.id for start in inside)
        if inside:
            following = runs[position + 1] if position + 1 < len(runs) else None
            found += _pieces(inside[0], run, _why(history, fork, high, following), family)
    for start in starts:
        if start.id not in taken:
            alone = "no log backup continues it"
            found.append(_window(start, start, alone, family))
    return found


def _entered(history: History, log: SqlHint) -> bool:
    return history.data_in(history.stretches_into(log, log.last_lsn, lambda _: True))


def _runs(logs: Sequence[SqlHint]) -> list[list[SqlHint]]:
    """The logs of a fork in groups that connect without a gap."""
    runs: list[list[SqlHint]] = []
    reach = -1
    for log in sorted(logs, key=lambda log: (log.first_lsn, log.last_lsn)):
        if log.first_lsn > reach:
            runs.append([])
        runs[-1].append(log)
        reach = max(reach, log.last_lsn)
    return runs


def _pieces(start: SqlHint, run: Sequence[SqlHint], why: str, family: str) -> list[Window]:
    """One window from ``start`` through the run, cut at every bulk-logged log."""
    pieces: list[Window] = []
    begin, end = start, start
    for log in sorted(run, key=lambda log: (log.last_lsn, log.started_at)):
        if log.last_lsn <= start.last_lsn:
            continue
        if log.has_bulk_logged_data:
            cut = "the next log holds bulk-logged changes: only its end can be restored"
            pieces.append(_window(begin, end, cut, family))
            begin = log
        end = log
    pieces.append(_window(begin, end, why, family))
    return pieces


def _window(first: SqlHint, last: SqlHint, why: str, family: str) -> Window:
    start = first.finished_at
    if first.kind is Kind.LOG:  # an instant is after a log only if its backup began earlier, in whole seconds
        start = max(start, first.started_at + timedelta(seconds=1))
    return Window(start, max(start, last.started_at), first.last_lsn, last.last_lsn, why, family)


def _why(history: History, fork: str, reach: int, following: Sequence[SqlHint] | None) -> str:
    damaged = [
        log
        for log in history.damaged_logs
        if log.first_recovery_fork_guid == fork and log.first_lsn <= reach < log.last_lsn
    ]
    if damaged:
        why = f"cannot be used: {damaged[0].flaw}" if damaged[0].flaw else "is damaged"
        return f"log backup {damaged[0].id}, which would continue it, {why}"
    if following:
        missing = min(log.first_lsn for log in following)
        return f"the log between LSN {reach} and {missing} is in no backup of ours"
    if fork != history.forks()[0]:
        return "the database itself was restored afterwards, and a new recovery fork began"
    return "it is the newest log backup so far"
