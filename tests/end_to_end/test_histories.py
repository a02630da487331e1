"""Random histories: whatever happened, a restore brings back what was, and nothing that was not.

Octopus works, backups and recovery points are made, others take backups of their own, databases are restored
in place. Then a random target is restored side by side, and what comes back is compared with what was there
(tests/histories). A failure tells the whole history; ``-k "[17]"`` plays number 17 again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.histories.run import one_history
from tests.servers import Servers

HISTORIES = 50

type Record = Callable[[str, object], None]


class TestOddHistories:
    """One half: the two are handed to different workers."""

    @pytest.mark.parametrize("seed", range(1, HISTORIES + 1, 2))
    def test_a_history(self, seed: int, servers: Servers, tmp_path: Path, record_property: Record) -> None:
        record_property("history", asdict(one_history(servers, tmp_path, seed)))


class TestEvenHistories:
    """The other half."""

    @pytest.mark.parametrize("seed", range(2, HISTORIES + 1, 2))
    def test_a_history(self, seed: int, servers: Servers, tmp_path: Path, record_property: Record) -> None:
        record_property("history", asdict(one_history(servers, tmp_path, seed)))
