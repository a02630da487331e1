"""How the recovery forks of a database came from one another, as far as its backups tell.

A backup that spans forks names the first and the last of them, and the LSN at which the last one began
(Microsoft: backupset, ``fork_point_lsn``). Where the database was restored twice within it, there is a third
fork in between of which it says nothing: then other backups tell where the first one was really left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from shared.model.hints import SqlHint


class Forks:
    """The forks of one family of backups."""

    def __init__(self, backups: Iterable[SqlHint]) -> None:
        self._left: dict[str, dict[str, int]] = defaultdict(dict)  # fork → an earlier one → where it was left
        for backup in backups:
            first, last, point = (
                backup.first_recovery_fork_guid,
                backup.last_recovery_fork_guid,
                backup.fork_point_lsn,
            )
            if first != last and point is not None:
                self._left[last][first] = min(point, self._left[last].get(first, point))

    def before(self, fork: str) -> dict[str, int]:
        """Every fork that is known to have led to one, with the LSN at which it was left on the way."""
        found: dict[str, int] = {}
        waiting = list(self._left.get(fork, {}).items())
        while waiting:
            earlier, point = waiting.pop()
            if earlier == fork or found.get(earlier, point + 1) <= point:
                continue
            found[earlier] = point
            waiting += [(one, min(point, left)) for one, left in self._left.get(earlier, {}).items()]
        return found

    def left_at(self, earlier: str, later: str) -> int | None:
        """The LSN at which a fork was left on the way to a later one; None if no backup tells."""
        return self.before(later).get(earlier)
