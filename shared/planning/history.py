"""One database's backups, sorted once, and the question of which of them lead to a place in its log.

A place is a recovery fork and an LSN. SQL Server rolls forward from the end of a data backup by logs that
connect (``first_lsn`` at or before the place reached, ``last_lsn`` after it) and that lie on the same fork;
a log that spans two forks leads from the first to the last one, if the place reached is not yet past the fork
point (Microsoft: backupset, RESTORE HEADERONLY, sys.master_files.redo_start_fork_guid). So the search goes
backwards from the goal and finds every stretch of log from which the goal can be reached; a data backup that
ends within one of them can start a chain.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter

from shared.model.backups import Kind
from shared.model.hints import SqlHint
from shared.planning.forks import Forks

Usable = Callable[[SqlHint], bool]


def spans_forks(log: SqlHint) -> bool:
    """Whether the database was itself restored within this log."""
    return log.first_recovery_fork_guid != log.last_recovery_fork_guid


def empty(log: SqlHint) -> bool:
    """Whether the log backup holds no record: harmless, and not needed."""
    return log.first_lsn >= log.last_lsn


age = attrgetter("finished_at", "last_lsn", "id")
"""What the newest backup has most of; an order for sorting."""

_BY_END = attrgetter("last_lsn", "id")


def newest_first(hints: Iterable[SqlHint]) -> list[SqlHint]:
    """By the time and, for equal times, the place at which they ended."""
    return sorted(hints, key=age, reverse=True)


@dataclass(frozen=True)
class Stretch:
    """A piece of log on one fork: whoever is on it, between ``low`` and ``high``, can reach the goal.

    ``logs`` cover it from ``low`` to at least ``leave``; from there ``exit`` is applied (None: the goal
    itself is reached), which leads to the end or to the stretch ``then`` on the next fork.
    """

    fork: str
    low: int
    high: int
    leave: int
    logs: tuple[SqlHint, ...]
    exit: SqlHint | None
    then: Stretch | None

    def holds(self, backup: SqlHint) -> bool:
        """Whether a restored data backup ends within this stretch."""
        return self.fork == backup.last_recovery_fork_guid and self.low <= backup.last_lsn <= self.high

    def way(self, cursor: int) -> list[SqlHint]:
        """The logs from ``cursor`` to the goal, in order; of overlapping ones those that reach farthest."""
        way: list[SqlHint] = []
        waiting = sorted(self.logs, key=lambda log: log.first_lsn, reverse=True)
        connected: list[SqlHint] = []
        while cursor < self.leave:
            while waiting and waiting[-1].first_lsn <= cursor:
                connected.append(waiting.pop())
            connected = [max(connected, key=lambda log: log.last_lsn)]
            way += connected
            cursor = way[-1].last_lsn
        if self.exit is None:
            return way
        way.append(self.exit)
        return way + (self.then.way(self.exit.last_lsn) if self.then else [])


class History:
    """The backups of one family (one original database): damaged, empty and baseless ones are left out."""

    def __init__(self, backups: Iterable[SqlHint]) -> None:
        self.recorded = {backup.id: backup for backup in backups}
        self._ways = Forks(self.recorded.values())
        kinds: dict[Kind, list[SqlHint]] = {kind: [] for kind in Kind}  # one pass: a year has 38,000
        for backup in self.recorded.values():
            kinds[backup.kind].append(backup)
        self.any_full = {full.backup_set_uuid: full for full in kinds[Kind.FULL]}
        self.damaged_logs = [log for log in kinds[Kind.LOG] if log.is_damaged]
        self.fulls = newest_first(full for full in kinds[Kind.FULL] if not full.is_damaged)
        self.bases = {full.backup_set_uuid: full for full in self.fulls if not full.is_copy_only}
        differentials = [
            one for one in kinds[Kind.DIFFERENTIAL] if not one.is_damaged and self.base_of(one) is not None
        ]
        self.differentials: dict[str, list[SqlHint]] = defaultdict(list)
        for differential in newest_first(differentials):
            self.differentials[differential.differential_base_guid or ""].append(differential)
        self.data = self.fulls + differentials
        self.logs = [log for log in kinds[Kind.LOG] if not log.is_damaged and not empty(log)]
        spanning = [log for log in self.logs if spans_forks(log)]
        leading = {log.id for log in spanning}
        self._by_fork = self._sorted(log for log in self.logs if log.id not in leading)
        self._into_fork = self._sorted(spanning)
        self._ends = {fork: [log.last_lsn for log in logs] for fork, logs in self._by_fork.items()}
        self._data_ends: dict[str, list[int]] = defaultdict(list)
        for backup in sorted(self.data, key=lambda backup: backup.last_lsn):
            self._data_ends[backup.last_recovery_fork_guid].append(backup.last_lsn)

    @cached_property
    def _forks(self) -> list[str]:
        newest = newest_first([*self.data, *self.logs])
        return list(dict.fromkeys(backup.last_recovery_fork_guid for backup in newest))

    @staticmethod
    def _sorted(logs: Iterable[SqlHint]) -> dict[str, list[SqlHint]]:
        found: dict[str, list[SqlHint]] = defaultdict(list)
        for log in sorted(logs, key=_BY_END):
            found[log.last_recovery_fork_guid].append(log)
        return dict(found)

    def base_of(self, differential: SqlHint) -> SqlHint | None:
        """The full backup that a differential builds on, where it is ours, sound and not copy-only."""
        return self.bases.get(differential.differential_base_guid or "")

    def logs_on(self, fork: str) -> Sequence[SqlHint]:
        """The logs that lie on one fork as a whole, by their end."""
        return self._by_fork.get(fork, ())

    def logs_into(self, fork: str) -> Sequence[SqlHint]:
        """The logs that lead from another fork into this one, by their end."""
        return self._into_fork.get(fork, ())

    def forks(self) -> list[str]:
        """Every recovery fork that a backup ended on, the newest first."""
        return self._forks

    def data_in(self, stretches: Iterable[Stretch]) -> bool:
        """Whether any data backup at all ends within one of the stretches."""
        for stretch in stretches:
            ends = self._data_ends.get(stretch.fork, [])
            if bisect_left(ends, stretch.low) < bisect_right(ends, stretch.high):
                return True
        return False

    def stretches_to(self, fork: str, place: int, usable: Usable) -> Iterator[Stretch]:
        """Every stretch from which exactly this place is reached, with the usable logs only."""
        return self._back(fork, place, place, None, None, usable)

    def stretches_into(self, last: SqlHint, high: int, usable: Usable) -> Iterator[Stretch]:
        """Every stretch from which ``last`` can be applied as the last log, entered at ``high`` at most."""
        limit = self._last_entrance(last, high)
        return self._back(last.first_recovery_fork_guid, last.first_lsn, limit, last, None, usable)

    def _back(
        self, fork: str, leave: int, high: int, exit_: SqlHint | None, then: Stretch | None, usable: Usable
    ) -> Iterator[Stretch]:
        """The stretch on this fork that ends at ``leave`` to ``high``, then those that lead into it.

        It comes to an end, because every log is entered before its own end: ``high`` gets lower each time.
        """
        if high < leave:
            return
        stretch = self._cover(fork, leave, high, exit_, then, usable)
        yield stretch
        for log in self.logs_into(fork):
            if stretch.low <= log.last_lsn <= high and usable(log):
                limit = self._last_entrance(log, log.last_lsn)
                yield from self._back(
                    log.first_recovery_fork_guid, log.first_lsn, limit, log, stretch, usable
                )

    def _cover(
        self, fork: str, leave: int, high: int, exit_: SqlHint | None, then: Stretch | None, usable: Usable
    ) -> Stretch:
        logs, low, covering = self.logs_on(fork), leave, []
        position = bisect_right(self._ends.get(fork, []), high) - 1
        while position >= 0 and logs[position].last_lsn >= low:
            log = logs[position]
            if usable(log):
                covering.append(log)
                low = min(low, log.first_lsn)
            position -= 1
        return Stretch(fork, low, high, leave, tuple(covering), exit_, then)

    def _last_entrance(self, log: SqlHint, high: int) -> int:
        """The last place from which a log can be applied: before its end, and not past the fork.

        Where the database was restored twice within the log, its first fork was left before its fork point.
        """
        limit = min(high, log.last_lsn - 1)
        if not spans_forks(log):
            return limit
        left = self._ways.left_at(log.first_recovery_fork_guid, log.last_recovery_fork_guid)
        return -1 if log.fork_point_lsn is None or left is None else min(limit, left)
