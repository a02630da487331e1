"""Where a roll-forward shall end, and the stretches of log from which that place can be reached."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from shared.model.hints import SqlHint
from shared.planning.history import History, Stretch, Usable, spans_forks


@dataclass(frozen=True)
class ToLsn:
    """A record in the log, usually that of a mark: everything up to and with it.

    ``log_backup_id`` is the log backup in which it was recorded; it tells the fork and the family, where the
    same LSN exists more than once.
    """

    lsn: int
    mark: str | None = None
    log_backup_id: str | None = None


@dataclass(frozen=True)
class ToLogEnd:
    """The end of one log backup: it is applied as a whole, without a STOP clause."""

    log_backup_id: str


@dataclass(frozen=True)
class ToTime:
    """What was committed at an instant (UTC)."""

    time: datetime


@dataclass(frozen=True)
class ToLatest:
    """The newest place that any chain reaches."""


ChainTarget = ToLsn | ToLogEnd | ToTime | ToLatest


class Goal(NamedTuple):
    """One way to end a chain: the stretches that lead there, and which data backups are early enough."""

    stretches: list[Stretch]
    early_enough: Usable


def goals(history: History, target: ChainTarget) -> Iterator[Goal]:
    """The ways to end a chain at the target, none if no log backup holds it; for the latest, newest first."""
    match target:
        case ToLsn():
            return _at_lsn(history, target)
        case ToTime(time):
            return _at_time(history, time)
        case ToLogEnd(backup_id):
            end = history.recorded.get(backup_id)
            return _at_ends(history, [end] if end else [])
        case _:
            return _at_ends(history, _ends(history))


def _always(_: SqlHint) -> bool:
    return True


def _at_lsn(history: History, target: ToLsn) -> Iterator[Goal]:
    holding = [log for log in history.logs if log.first_lsn <= target.lsn < log.last_lsn]
    recorded_in = history.recorded.get(target.log_backup_id or "")
    forks = {fork_at(log, target.lsn) for log in ([recorded_in] if recorded_in else holding)}
    if len(forks) != 1:  # the same LSN exists on several forks, and nobody said which one is meant
        return
    enders = [log for log in holding if not log.has_bulk_logged_data and fork_at(log, target.lsn) in forks]
    for last in _best(sorted(enders, key=lambda log: (log.last_lsn, log.id))):
        stretches = list(history.stretches_into(last, target.lsn, _always))
        yield Goal(stretches, lambda backup: backup.last_lsn <= target.lsn)


def fork_at(log: SqlHint, lsn: int) -> str:
    """The recovery fork that a record of this log belongs to."""
    if spans_forks(log) and log.fork_point_lsn is not None and lsn < log.fork_point_lsn:
        return log.first_recovery_fork_guid
    return log.last_recovery_fork_guid


def _at_time(history: History, time: datetime) -> Iterator[Goal]:
    # A log surely reaches as far as the instant at which its backup began. When a log spans two forks,
    # nothing tells the instant of the fork, so a time inside it could mean either history.
    enders = [
        log
        for log in history.logs
        if log.started_at >= time and not log.has_bulk_logged_data and not spans_forks(log)
    ]
    for last in _best(sorted(enders, key=lambda log: (log.started_at, log.last_lsn, log.id))):
        stretches = list(history.stretches_into(last, last.last_lsn, lambda log: log.started_at < time))
        yield Goal(stretches, lambda backup: backup.finished_at <= time)


def _best(enders: Iterable[SqlHint]) -> list[SqlHint]:
    """Per fork the ones that can matter, of enders in the order of their preference.

    They are the first; the first that goes beyond it, because a data backup of an idle hour can end exactly
    where the first log does; and the one that begins lowest: if any of them connects, that one does.
    """
    by_fork: dict[tuple[str, str, int | None], list[SqlHint]] = defaultdict(list)
    for log in enders:
        key = (log.first_recovery_fork_guid, log.last_recovery_fork_guid, log.fork_point_lsn)
        by_fork[key].append(log)
    best: dict[str, SqlHint] = {}
    for logs in by_fork.values():
        beyond = next((log for log in logs if log.last_lsn > logs[0].last_lsn), logs[0])
        lowest = min(logs, key=lambda log: log.first_lsn)
        best |= {log.id: log for log in (logs[0], beyond, lowest)}
    return list(best.values())


def _ends(history: History) -> Iterator[SqlHint]:
    """The ends of all backups, newest fork first: LSNs of different forks cannot be compared."""
    by_fork: dict[str, list[SqlHint]] = defaultdict(list)
    for backup in [*history.data, *history.logs]:
        by_fork[backup.last_recovery_fork_guid].append(backup)
    for fork in history.forks():
        yield from sorted(by_fork[fork], key=lambda backup: (backup.last_lsn, backup.id), reverse=True)


def _at_ends(history: History, ends: Iterable[SqlHint]) -> Iterator[Goal]:
    """A goal per end; a log from which no way led back to a data backup is not tried a second time."""
    hopeless: set[str] = set()
    for end in ends:
        if end.id in hopeless:
            continue
        stretches = list(history.stretches_to(end.last_recovery_fork_guid, end.last_lsn, _always))
        if history.data_in(stretches):
            yield Goal(stretches, _always)
        hopeless.update(log.id for stretch in stretches for log in stretch.logs)
