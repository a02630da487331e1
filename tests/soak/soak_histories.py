"""Long histories, one after the other, for as long as is asked: ``make soak SECONDS=3600``.

The first seed is SEED, or the seconds since 1970; a failure tells its own, which plays that history again.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from pathlib import Path

import pytest

from tests.histories.checking import Counts
from tests.histories.run import LONG, one_history, said
from tests.servers import running

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
FIRST = int(os.environ.get("SOAK_SEED", "0")) or int(time.time())
ON_ONE_SET = 100  # then the servers are started afresh: they keep what every history leaves in their logs


@pytest.mark.timeout(0)
def test_histories_without_end(tmp_path: Path) -> None:
    end, counts, played = time.monotonic() + SECONDS, Counts(), 0
    seeds = itertools.count(FIRST)
    while time.monotonic() < end:
        with running(tmp_path / f"servers-{played}") as servers:
            for seed in itertools.islice(seeds, ON_ONE_SET):
                folder = tmp_path / str(seed)
                folder.mkdir()
                counts += one_history(servers, folder, seed, LONG)
                played += 1
                if time.monotonic() >= end:
                    break
        sys.stdout.write(f"seeds {FIRST} to {FIRST + played - 1}; {said(played, counts)}\n")
        sys.stdout.flush()
