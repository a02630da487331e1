"""The demo ended at any moment: nothing of it is left, and it says so in one line."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local.interrupts import INTERRUPTED
from local.stack import StackRunningError, started

SEED = 20261123
_MOMENTS = random.Random(SEED)
MOMENTS = [
    (round(_MOMENTS.uniform(earliest, latest), 1), number)  # seconds after the start, and how it is ended
    for earliest, latest, number in (
        (0.5, 2.0, signal.SIGINT),  # imports, the first servers
        (2.0, 6.0, signal.SIGTERM),
        (6.0, 11.0, signal.SIGINT),
        (11.0, 17.0, signal.SIGTERM),
        (17.0, 25.0, signal.SIGINT),  # the restore
    )
]
FAREWELL = "Interrupted. Nothing is left running; the next demo starts from scratch."
GONE_SECONDS = 10.0


class Demo:
    """A demo under way, and every process that was ever seen below it."""

    def __init__(self, project: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local.demo"],
            cwd=project,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(project)},
        )
        self.seen: dict[int, psutil.Process] = {}
        self.ports: set[int] = set()

    def watch(self, seconds: float) -> None:
        """Let it go on for so long, and note its children and the ports that they listen on."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and self.process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(self.process.pid).children(recursive=True):
                    self.seen[child.pid] = child
            time.sleep(0.2)
        for child in self.seen.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                listening = [one for one in child.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
                self.ports |= {one.laddr.port for one in listening if one.laddr}

    def left_over(self) -> list[psutil.Process]:
        """What still runs of it after a short while."""
        _, alive = psutil.wait_procs(list(self.seen.values()), timeout=GONE_SECONDS)
        return alive

    def ports_in_use(self) -> set[int]:
        """Of its ports, those that somebody listens on."""
        everybody = psutil.net_connections("tcp")
        used = {one.laddr.port for one in everybody if one.laddr and one.status == psutil.CONN_LISTEN}
        return self.ports & used


@pytest.fixture
def demo(project: Path) -> Iterator[Demo]:
    running = Demo(project)
    yield running
    if running.process.poll() is None:
        running.process.kill()
    running.process.communicate()
    for child in running.left_over():
        child.kill()


@pytest.mark.parametrize(("moment", "number"), MOMENTS)
def test_a_demo_that_is_interrupted_leaves_nothing_behind(
    demo: Demo, moment: float, number: signal.Signals
) -> None:
    demo.watch(moment)
    assert demo.process.poll() is None, "it ended by itself before it could be interrupted"
    demo.process.send_signal(number)
    told, _ = demo.process.communicate(timeout=20)
    assert demo.process.returncode == INTERRUPTED, told
    assert told.splitlines()[-1] == FAREWELL
    assert "Traceback" not in told
    assert demo.left_over() == []
    assert demo.ports_in_use() == set()


def test_who_presses_ctrl_c_again_and_again_leaves_nothing_behind_either(demo: Demo) -> None:
    demo.watch(4.0)
    assert len(demo.seen) >= 3, "too early to show anything"
    while demo.process.poll() is None:
        demo.process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    told, _ = demo.process.communicate(timeout=20)
    assert demo.process.returncode == INTERRUPTED, told
    assert "Traceback" not in told
    assert demo.left_over() == []


def test_a_demo_that_is_killed_takes_its_processes_with_it_and_the_next_starts_from_scratch(
    demo: Demo, project: Path
) -> None:
    demo.watch(4.0)
    assert len(demo.seen) >= 3, "too early to show anything"
    demo.process.kill()
    demo.process.wait()
    with started(lambda _: None, {}, project / ".stack") as stack:
        assert not list((project / ".stack").glob("report*"))
        assert stack.octopus is not None
    assert demo.left_over() == []
    assert demo.ports_in_use() == set()


def test_a_second_demo_beside_the_first_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with started(lambda _: None, {}, tmp_path / ".stack"):
        with pytest.raises(StackRunningError) as refused, started(lambda _: None, {}, tmp_path / ".stack"):
            pass
        assert re.fullmatch(
            rf"A stack is running already \(process {os.getpid()}, folder .*\)\. "
            rf"Stop it with Ctrl-C where it runs, or with: kill {os.getpid()}",
            str(refused.value),
        )
        assert (tmp_path / ".stack" / "azurite").is_dir(), "the running stack lost its files"
