"""Recovery points of a timeline that the database left: it was itself restored, to before their marks.

Their vectors can hold agents that the database never knew on its new recovery fork, whatever the clocks say;
so only a person who asks for such a point by name or id gets it.

Backups that span forks tell the timelines apart (``forks.py``). Until the first of them is made after a
restore, or where somebody else took it, the place where the old timeline was left is known only as "before
the first backup on the new fork".
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.model.backups import Kind
from shared.model.hints import SqlHint
from shared.model.points import RecoveryPoint, SqlSide
from shared.planning.forks import Forks
from shared.planning.goals import fork_at
from shared.planning.history import age


@dataclass(frozen=True)
class Timeline:
    """How a database came to a state: by which forks, and on each up to which LSN (None: all of it).

    ``logs`` are its log backups by id; below the LSN ``horizon`` other forks may belong to it as well.
    """

    forks: Mapping[str, int | None]
    logs: Mapping[str, SqlHint]
    horizon: int | None

    def left(self, side: SqlSide) -> bool:
        """Whether a recovery point of this database lies beside the timeline."""
        log = self.logs.get(side.log_backup_id)
        if log is None:
            return False
        lsn = log.last_lsn - 1 if side.mark_lsn is None else side.mark_lsn
        fork = fork_at(log, lsn)
        end = self.forks.get(fork, self.horizon)
        return end is not None and lsn >= end


def left_behind(
    points: Iterable[RecoveryPoint], backups: Mapping[str, Sequence[SqlHint]], time: datetime | None
) -> list[RecoveryPoint]:
    """The recovery points that are no part of how the databases came to be what they are.

    Args:
        points: all of them.
        backups: of each database, in any order.
        time: the instant (UTC) whose state is meant; None for the newest one.
    """
    lines = {database: _timeline(hints, time) for database, hints in backups.items()}
    return [
        point
        for point in points
        if any((line := lines.get(side.database)) and line.left(side) for side in point.sql)
    ]


def _timeline(backups: Sequence[SqlHint], time: datetime | None) -> Timeline | None:
    """The timeline of a database at an instant; None where there is but one, or none is known yet."""
    if len({backup.last_recovery_fork_guid for backup in backups}) < 2:
        return None
    newest = max((one for one in backups if time is None or one.finished_at <= time), key=age, default=None)
    if newest is None:
        return None
    family = [backup for backup in backups if backup.family_guid == newest.family_guid]
    fork = newest.last_recovery_fork_guid
    before = Forks(family).before(fork)
    logs = {backup.id: backup for backup in family if backup.kind is Kind.LOG}
    return Timeline({**before, fork: None}, logs, _horizon(family, {fork, *before}))


def _horizon(family: Iterable[SqlHint], forks: Container[str]) -> int | None:
    """Where the oldest fork that is known had begun at the latest; nothing tells the forks before it."""
    return min((one.first_lsn for one in family if one.first_recovery_fork_guid in forks), default=None)
