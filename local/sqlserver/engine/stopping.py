"""Where a RESTORE stops rolling forward: at a time, at a mark, at an LSN, or at the end."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from local.sqlserver.engine.errors import SqlError
from local.sqlserver.engine.log import Record

_LSN_PREFIX = "lsn:"


@dataclass(frozen=True)
class StopPoint:
    """The stop clause of a RESTORE.

    Attributes:
        time: STOPAT, UTC.
        mark: STOPATMARK or STOPBEFOREMARK, a mark's name; names are compared with their case.
        lsn: the same, given as ``lsn:<number>``.
        after: only a mark at or after this time counts, UTC.
        before: STOPBEFOREMARK: what is named stays out.
    """

    time: dt.datetime | None = None
    mark: str | None = None
    lsn: int | None = None
    after: dt.datetime | None = None
    before: bool = False

    @property
    def given(self) -> bool:
        """Whether there is a stop clause at all."""
        return self.time is not None or self.mark is not None or self.lsn is not None

    @property
    def not_reached(self) -> int:
        """The message for a log that ends before the stop point."""
        return 4322 if self.time is not None else 4329

    def verdict(self, record: Record) -> str:
        """What to do with the next record: ``apply``, ``apply and stop`` or ``stop``."""
        if self.time is not None:
            return "stop" if dt.datetime.fromisoformat(record.time) > self.time else "apply"
        if self.lsn is not None:
            if record.lsn > self.lsn:
                raise SqlError(4334)  # no record begins there
            found = record.lsn == self.lsn
        else:
            found = self.mark is not None and record.mark == self.mark and self._late_enough(record)
        if not found:
            return "apply"
        return "stop" if self.before else "apply and stop"

    def _late_enough(self, record: Record) -> bool:
        return self.after is None or dt.datetime.fromisoformat(record.time) >= self.after


def mark_or_lsn(name: str) -> tuple[str | None, int | None]:
    """A mark's name, or the LSN that ``lsn:<number>`` stands for.

    Raises:
        SqlError: 4334, the number cannot be an LSN.
    """
    if not name.lower().startswith(_LSN_PREFIX):
        return name, None
    digits = name[len(_LSN_PREFIX) :].strip()
    if not digits.isdigit():
        raise SqlError(4334)
    return None, int(digits)
