"""Faults that a test orders: a damaged database, a slow statement, a clock that is ahead.

They are ordered with a procedure that no real server has, by an administrator:

    EXEC standin_fault N'checkdb', N'rp[_]%', 2      CHECKDB finds two errors in databases of such names
    EXEC standin_fault N'slow', N'Octopus', 0.5      seconds per 10 percent of a BACKUP, RESTORE or CHECKDB
    EXEC standin_fault N'clock', N'', 3600           the server's clock is an hour ahead
    EXEC standin_fault N'slow', N'Octopus', 0        as before

The second argument is a pattern of LIKE. A fault lasts until its amount is set to 0 or the server ends.
"""

from __future__ import annotations

import datetime as dt
import threading

from local.sqlserver.engine.errors import SqlError
from local.sqlserver.engine.functions import like

CHECKDB, SLOW, CLOCK = "checkdb", "slow", "clock"


class Faults:
    """What was ordered."""

    def __init__(self, slow: float) -> None:
        """``slow``: seconds per 10 percent for every database."""
        self._lock = threading.Lock()
        self._amounts: dict[tuple[str, str], float] = {(SLOW, "%"): slow}

    def order(self, kind: str, pattern: str, amount: float) -> None:
        """Begin, change or (0) end a fault.

        Raises:
            SqlError: 40517, there is no such fault.
        """
        if kind not in (CHECKDB, SLOW, CLOCK):
            raise SqlError(40517, f"standin_fault {kind}")
        with self._lock:
            self._amounts[kind, pattern] = amount

    def amount(self, kind: str, name: str) -> float:
        """The greatest amount of a fault that fits a database's name; 0 without one."""
        with self._lock:
            fitting = [a for (k, pattern), a in self._amounts.items() if k == kind and like(name, pattern)]
        return max(fitting, default=0.0)

    @property
    def clock_shift(self) -> dt.timedelta:
        """How far the server's clock is ahead."""
        return dt.timedelta(seconds=self.amount(CLOCK, ""))
