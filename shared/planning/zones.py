"""Instants on a server whose local time changes: where STOPAT means one instant, and where it could mean two.

Commits carry the server's local time without a zone, and STOPAT is such a time (Microsoft: backupset, RESTORE
statements). The roll-forward stops at the first record whose local time is later. Where the clock was set
back, an hour of local time exists twice: a stop in the second one is met in the first already, and after an
idle first one records of the second are let through. So no stop is planned there.

What is known of the clock is the offset that every backup recorded. Between two backups with different ones
the clock was changed, nobody knows when.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from shared.model.hints import SqlHint
from shared.planning.words import said


@dataclass(frozen=True)
class ClockChange:
    """The server's clock was changed between ``after`` and ``before`` (UTC), from one offset to another.

    Offsets are local time minus UTC, in minutes.
    """

    after: datetime
    before: datetime
    old: int
    new: int

    @property
    def first(self) -> datetime:
        """Up to this instant no local time exists twice."""
        return self.after - self._set_back

    @property
    def last(self) -> datetime:
        """From this instant on no local time exists twice."""
        return self.before + self._set_back

    @property
    def _set_back(self) -> timedelta:
        return timedelta(minutes=max(0, self.old - self.new))

    def __str__(self) -> str:
        return (
            f"the server's clock was changed between {said(self.after)} and {said(self.before)}, "
            f"from UTC{self.old / 60:+g} h to UTC{self.new / 60:+g} h"
        )


def clock_changes(backups: Iterable[SqlHint], server: str) -> list[ClockChange]:
    """Every change of a server's clock that its backups tell of, the oldest first."""
    told = sorted((one for one in _telling(backups) if one.server == server), key=lambda one: one.started_at)
    return [
        ClockChange(
            one.started_at, other.finished_at, one.utc_offset_minutes or 0, other.utc_offset_minutes or 0
        )
        for one, other in pairwise(told)
        if one.utc_offset_minutes != other.utc_offset_minutes
    ]


def ambiguous(backups: Iterable[SqlHint], used: Sequence[SqlHint], time: datetime) -> ClockChange | None:
    """The change of the clock because of which a stop at ``time`` is not sure; None if it is.

    Args:
        backups: all of the database, in any order.
        used: the chain that leads there; its last log holds the time.
        time: UTC.
    """
    before, last = used[-2:]
    for change in clock_changes(backups, last.server):
        in_the_log = before.started_at < change.before and change.after < last.finished_at
        if in_the_log and change.first < time < change.last:
            return change
    return None


def offsets(backups: Iterable[SqlHint], used: Sequence[SqlHint], time: datetime) -> dict[str, int]:
    """For each backup of a chain the offset with which a stop at ``time`` is written, by the backup's id.

    In the last log it is the one of that instant. In every other one it is the largest that its records can
    have, so that none of them is later than the stop. A backup that recorded none is left out.
    """
    last = used[-1]
    at_time = [one for one in _telling(backups) if one.server == last.server and one.started_at <= time]
    found: dict[str, int] = {}
    largest: list[int] = []
    for backup in used:
        if backup.utc_offset_minutes is not None:
            largest = [*largest[-1:], backup.utc_offset_minutes]
            found[backup.id] = max(largest)
    if last.id in found and at_time:
        newest = max(at_time, key=lambda one: one.started_at)
        found[last.id] = newest.utc_offset_minutes or 0
    return found


def _telling(backups: Iterable[SqlHint]) -> list[SqlHint]:
    return [backup for backup in backups if backup.utc_offset_minutes is not None]
