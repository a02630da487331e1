"""Which backups of one database lead to a target: full, differential, logs, and where the last one stops.

The rules are SQL Server's (Microsoft: "RESTORE Sequence", backupset, "Recovery Paths", "Recover to a Log
Sequence Number", marked transactions): a differential needs exactly the full that it names, which a copy-only
full never is; logs connect without a gap on one recovery fork; a log with bulk-logged changes can be restored
as a whole only; the log that ends after the target is needed, too. Damaged backups are never used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from shared.model.backups import Kind
from shared.model.hints import SqlHint
from shared.model.plans import Choice, Stop
from shared.planning.explaining import Rejecting, chosen_because
from shared.planning.goals import ChainTarget, Goal, ToLatest, ToLogEnd, ToLsn, ToTime, goals
from shared.planning.history import History, age, newest_first
from shared.planning.windows import Window, nearest, restorable_windows
from shared.planning.words import said
from shared.planning.zones import ClockChange, ambiguous, offsets

__all__ = [
    "Chain",
    "ChainTarget",
    "NoChain",
    "ToLatest",
    "ToLogEnd",
    "ToLsn",
    "ToTime",
    "Window",
    "chain",
    "restorable_windows",
]


@dataclass(frozen=True)
class Chain:
    """Backups in the order of their restore, all of one family; together they lead to the target.

    ``not_before`` is an instant (UTC, by SQL Server's clock) up to which the restored state surely holds
    everything; ``stop_inside`` says whether the last log is cut at ``stop`` or restored as a whole.
    ``local`` is, by a backup's id, the offset in minutes (local time minus UTC) with which a stop at an
    instant is written; ``mark_lsn`` is where the record of the mark begins, if the chain leads to one.
    """

    backups: tuple[SqlHint, ...]
    stop: Stop
    stop_inside: bool
    not_before: datetime
    choices: tuple[Choice, ...]
    rejected: tuple[Choice, ...]
    local: Mapping[str, int] = field(default_factory=dict)
    mark_lsn: int | None = None

    @property
    def full(self) -> SqlHint:
        """The full backup that it starts with."""
        return self.backups[0]

    @property
    def differential(self) -> SqlHint | None:
        """The differential, if one is used."""
        return next((backup for backup in self.backups if backup.kind is Kind.DIFFERENTIAL), None)

    @property
    def logs(self) -> tuple[SqlHint, ...]:
        """The logs, in order."""
        return tuple(backup for backup in self.backups if backup.kind is Kind.LOG)

    @property
    def size(self) -> int:
        """Bytes in Blob Storage."""
        return sum(backup.size for backup in self.backups)


@dataclass(frozen=True)
class NoChain:
    """Why nothing leads to the target, as a stable code and a sentence, and what can be reached instead.

    ``before`` and ``after`` are the nearest instants (UTC) that can be restored; None where there is none, or
    where the target is a place in the log whose time is not known.
    """

    code: str
    reason: str
    before: datetime | None
    after: datetime | None
    windows: tuple[Window, ...]
    rejected: tuple[Choice, ...]


def chain(backups: Sequence[SqlHint], target: ChainTarget, family_guid: str | None = None) -> Chain | NoChain:
    """The backups to restore: the newest full with its newest differential that leads to the target.

    Args:
        backups: all known backups of one database, in any order.
        target: where the roll-forward ends.
        family_guid: which original database, where several bore the name; if None, that of the log backup
            that the target names, else the newest.

    Returns:
        The chain with a reason for each choice, or why there is none.
    """
    family = family_guid or _family(backups, target)
    history = History(backup for backup in backups if backup.family_guid == family)
    starts = ((goal, data) for goal in goals(history, target) if (data := _data(history, goal)))
    if isinstance(target, ToLatest):
        best = next(starts, None)
    else:
        best = max(starts, key=lambda start: [backup.finished_at for backup in start[1]], default=None)
    if best is None:
        return _no_chain(backups, history, target)
    found = _chain(backups, history, target, *best)
    if isinstance(target, ToTime) and (change := ambiguous(backups, found.backups, target.time)):
        return _unsure(history, target.time, change)
    return found


def _family(backups: Sequence[SqlHint], target: ChainTarget) -> str:
    named = _named(target)
    told = next((backup for backup in backups if backup.id == named), None) if named else None
    newest = told or max(backups, key=age, default=None)
    return newest.family_guid if newest else ""


def _named(target: ChainTarget) -> str | None:
    return target.log_backup_id if isinstance(target, ToLsn | ToLogEnd) else None


def _data(history: History, goal: Goal) -> list[SqlHint]:
    """The newest full, with its newest differential where one helps, that ends within a stretch."""

    def leads(backup: SqlHint) -> bool:
        return goal.early_enough(backup) and any(stretch.holds(backup) for stretch in goal.stretches)

    for full in history.fulls:
        for differential in history.differentials.get(full.backup_set_uuid, []):
            if leads(differential):
                return [full, differential]
        if leads(full):
            return [full]
    return []


def _chain(
    backups: Sequence[SqlHint], history: History, target: ChainTarget, goal: Goal, data: list[SqlHint]
) -> Chain:
    start = data[-1]
    stretch = next(stretch for stretch in goal.stretches if stretch.holds(start))
    used = (*data, *stretch.way(start.last_lsn))
    stop = _stop(target)
    inside = stop != Stop()
    reasons = chosen_because(used, inside)
    return Chain(
        backups=used,
        stop=stop,
        stop_inside=inside,
        not_before=_not_before(target, used),
        choices=tuple(_choice(backup, reason) for backup, reason in zip(used, reasons, strict=True)),
        rejected=_rejected(backups, Rejecting(history, used, goal.early_enough)),
        local=offsets(backups, used, target.time) if isinstance(target, ToTime) else {},
        mark_lsn=target.lsn if isinstance(target, ToLsn) else None,
    )


def _stop(target: ChainTarget) -> Stop:
    match target:
        case ToLsn(lsn, mark):
            return Stop(mark=mark or f"lsn:{lsn}")
        case ToTime(time):
            return Stop(at=time)
        case _:
            return Stop()


def _not_before(target: ChainTarget, used: Sequence[SqlHint]) -> datetime:
    match target:
        case ToTime(time):
            return time
        case ToLsn():  # somewhere in the last log, so surely after the backup before it
            return used[-2].started_at
        case _:
            return used[-1].started_at


def _choice(backup: SqlHint, reason: str) -> Choice:
    return Choice(
        backup_id=backup.id, kind=backup.kind, finished_at=backup.finished_at, size=backup.size, reason=reason
    )


MOST_REJECTED = 20
"""So many near misses are explained: what a person can take in."""


def _rejected(backups: Iterable[SqlHint], rejecting: Rejecting) -> tuple[Choice, ...]:
    found: list[Choice] = []
    for backup in newest_first(backup for backup in backups if rejecting.near(backup)):
        reason = rejecting.because(backup)
        if reason:
            found.append(_choice(backup, reason))
        if len(found) == MOST_REJECTED:
            break
    return tuple(found)


def _no_chain(backups: Sequence[SqlHint], history: History, target: ChainTarget) -> NoChain:
    windows = restorable_windows(history.recorded.values())
    named = history.recorded.get(_named(target) or "")
    time = target.time if isinstance(target, ToTime) else (named.finished_at if named else None)
    before, after = nearest(windows, time) if time else (None, None)
    code, reason = _why_none(history, target, windows)
    return NoChain(code, reason, before, after, tuple(windows), _rejected(backups, Rejecting(history)))


def _unsure(history: History, time: datetime, change: ClockChange) -> NoChain:
    windows = tuple(restorable_windows(history.recorded.values()))
    sentence = f"{said(time)} cannot be told from another instant in SQL Server's local time: {change}."
    before, after = (
        instant if any(window.start <= instant <= window.end for window in windows) else None
        for instant in (change.first, change.last)
    )
    return NoChain("target_in_clock_change", sentence, before, after, windows, ())


def _why_none(history: History, target: ChainTarget, windows: Sequence[Window]) -> tuple[str, str]:
    if not history.fulls:
        return "no_full_backup", "There is no usable full backup, and every restore starts with one."
    if isinstance(target, ToTime):
        return _why_not_then(target.time, windows)
    named = _named(target)
    if named and named not in history.recorded:
        return "log_backup_missing", f"The log backup {named} is not in the catalogue."
    return "no_chain", "No full backup and gapless sequence of logs on one recovery fork lead to the target."


def _why_not_then(time: datetime, windows: Sequence[Window]) -> tuple[str, str]:
    first, newest = windows[0].start, max(window.end for window in windows)
    if time < first:
        sentence = f"{said(time)} is before the first restorable instant, {said(first)}."
        return "target_before_first_backup", sentence
    if time > newest:
        sentence = f"{said(time)} is after the newest restorable instant, {said(newest)}."
        return "target_after_last_log", sentence
    earlier = [window for window in windows if window.end <= time]
    gap = max(earlier, key=lambda window: window.end, default=windows[0])
    sentence = f"{said(time)} lies outside the restorable windows; one ends at {said(gap.end)}: {gap.why}."
    return "target_between_windows", sentence
