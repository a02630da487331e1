"""Upload: does memory stay constant whatever the size, and how fast is it beside the storage SDK itself?

Run by ``make bench``. Every measurement is a process of its own, which uploads generated data to one Azurite
over TLS and reports its peak of resident memory above that of a process that has uploaded a single block.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.azurite import Azurite
from shared.blob.storage import Storage
from shared.blob.upload import BLOCK, upload
from shared.clock import SystemClock

MIB = 1024 * 1024
SMALL, LARGE = 64, 1024  # MiB
LIMIT = 50.0  # MiB that the peak may grow from the small upload to the large one

OURS = "shared.blob.upload"
PEERS = {"SDK upload_blob": False, "SDK upload_blob, with MD5": True}


@pytest.mark.bench
@pytest.mark.timeout(600)
def test_memory_stays_constant_from_64_mib_to_1_gib(capsys: pytest.CaptureFixture[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        azurite = Azurite(Path(folder)).start()
        try:
            rows = [
                (way, size, *_measured(azurite, way, size))
                for way in (OURS, *PEERS)
                for size in (SMALL, LARGE)
            ]
        finally:
            azurite.stop()
    growth = {(way, size): grown for way, size, _, grown in rows}
    difference = growth[OURS, LARGE] - growth[OURS, SMALL]
    lines = [f"{'':28}{'MiB':>6}{'MiB/s':>9}{'peak grew by MiB':>19}"]
    lines += [f"{way:28}{size:>6}{speed:>9.1f}{grown:>19.1f}" for way, size, speed, grown in rows]
    lines.append(f"growth from {SMALL} MiB to {LARGE} MiB: {difference:.1f} MiB (limit {LIMIT:.0f})")
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(lines) + "\n")
    assert difference < LIMIT


def _measured(azurite: Azurite, way: str, size: int) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, __file__, azurite.url, azurite.account_key, way, str(size)],
        env={**os.environ, **azurite.env()},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    result = json.loads(done.stdout)
    return result["speed"], result["growth"]


def _generated(size: int) -> Iterator[bytes]:
    """``size`` bytes in pieces of 1 MiB, no two alike."""
    noise = os.urandom(MIB)
    for number in range(size // MIB):
        yield number.to_bytes(8) + noise[8:]


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts in KiB


def _child(url: str, key: str, way: str, size: int) -> None:
    with Storage(url, key, SystemClock()) as storage:
        storage.ensure_containers()

        def send(name: str, count: int) -> None:
            if way == OURS:
                upload(storage, "data", name, _generated(count), attempt="a1")
            else:
                storage.client("data", name).upload_blob(
                    _generated(count), length=count, max_concurrency=4, validate_content=PEERS[way]
                )

        send("warm-up", BLOCK)
        before, start = _peak(), time.monotonic()
        send("measured", size * MIB)
        seconds, growth = time.monotonic() - start, _peak() - before
        for name in ("warm-up", "measured"):
            storage.client("data", name).delete_blob()
    sys.stdout.write(json.dumps({"speed": size / seconds, "growth": growth}))


if __name__ == "__main__":
    _child(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
