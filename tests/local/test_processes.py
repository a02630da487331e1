"""Children of the local stack: started, awaited, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from local import processes
from local.interrupts import INTERRUPTED
from local.processes import Child, ChildFailedError

ANNOUNCES = "import os, time; os.write(1, b'{\"port\": 7}\\nlater\\n'); time.sleep(60)"
IGNORES_SIGTERM = (
    "import os, signal, time; "
    "signal.signal(signal.SIGTERM, signal.SIG_IGN); os.write(1, b'{}\\n'); time.sleep(60)"
)


def launched(tmp_path: Path, program: str, name: str = "child") -> Child:
    return processes.launch(name, [sys.executable, "-c", program], log=tmp_path / f"{name}.log")


def test_a_child_is_ready_once_it_has_announced_itself(tmp_path: Path) -> None:
    child = launched(tmp_path, ANNOUNCES)
    with processes.stopping([child]):
        assert child.ready == {}
        assert child.announced() is child
        assert child.ready == {"port": 7}
        assert child.alive
    assert not child.alive


def test_what_a_child_says_later_goes_to_its_log(tmp_path: Path) -> None:
    with processes.stopping([launched(tmp_path, ANNOUNCES)]) as (child,):
        child.announced()
        deadline = time.monotonic() + 10
        while "later" not in processes.tail(child.log) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "later" in processes.tail(child.log)


def test_children_get_ready_at_the_same_time(tmp_path: Path) -> None:
    slow = "import os, time; time.sleep(1.5); os.write(1, b'{}\\n'); time.sleep(60)"
    begun = time.monotonic()
    with processes.stopping([launched(tmp_path, slow, f"child{n}") for n in range(4)]) as children:
        for child in children:
            child.announced()
        assert time.monotonic() - begun < 4 * 1.5


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("import sys; sys.exit('no such folder')", "ended with exit code 1 before it was ready"),
        ("import time; time.sleep(60)", "was silent for 1 s"),
        ("print('hello', flush=True); import time; time.sleep(60)", "instead of a JSON object"),
    ],
    ids=["ends", "stays silent", "talks nonsense"],
)
def test_a_child_that_does_not_announce_itself_is_ended_and_explained(
    tmp_path: Path, program: str, told: str
) -> None:
    child = launched(tmp_path, program)
    with pytest.raises(ChildFailedError, match=told):
        child.announced(1.0 if "sleep" in program else 30.0)
    assert not child.alive


def test_the_explanation_ends_with_the_childs_log(tmp_path: Path) -> None:
    with pytest.raises(ChildFailedError, match=r"(?s)The end of its log .*: *\n.*no such folder"):
        launched(tmp_path, "import sys; sys.exit('no such folder')").announced()


def test_a_child_that_ignores_sigterm_is_killed_in_the_end(tmp_path: Path) -> None:
    child = launched(tmp_path, IGNORES_SIGTERM).announced()
    child.stop(seconds=0.3)
    assert child.process.returncode == -signal.SIGKILL


def test_stopping_takes_as_long_as_the_slowest_child_not_as_all_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 1.0)
    children = [launched(tmp_path, IGNORES_SIGTERM, f"child{n}") for n in range(3)]
    with processes.stopping(children):
        for child in children:
            child.announced()
        begun = time.monotonic()
    assert time.monotonic() - begun < 2.5
    assert not any(child.alive for child in children)


PARENT = """
import sys, time
from pathlib import Path
from local import processes
from local.interrupts import interruptible

def program():
    child = processes.start("child", [sys.executable, "-c", {child!r}], log=Path({log!r}))
    with processes.stopping([child]):
        print(child.process.pid, flush=True)
        time.sleep(60)

sys.exit(interruptible(program, "Goodbye."))
"""


def parent(tmp_path: Path, child: str) -> tuple[subprocess.Popen[str], psutil.Process]:
    program = PARENT.format(child=child, log=str(tmp_path / "child.log"))
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, psutil.Process(int(process.stdout.readline()))


def test_a_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    process, child = parent(tmp_path, ANNOUNCES)
    process.kill()
    process.communicate()
    child.wait(10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_parent_stops_its_child_and_says_goodbye(
    tmp_path: Path, number: signal.Signals
) -> None:
    process, child = parent(tmp_path, ANNOUNCES)
    os.kill(process.pid, number)
    told, _ = process.communicate(timeout=20)
    assert (process.returncode, told) == (INTERRUPTED, "\nGoodbye.\n")
    child.wait(10)


def test_a_second_ctrl_c_does_not_disturb_the_stopping(tmp_path: Path) -> None:
    process, child = parent(tmp_path, IGNORES_SIGTERM)  # stopping it takes five seconds
    process.send_signal(signal.SIGINT)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=20)
    assert (process.returncode, told) == (INTERRUPTED, "\nGoodbye.\n")
    child.wait(1)
