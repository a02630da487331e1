"""The demo from its first to its last line: it proves what it says, and says so when it cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SECONDS = 150  # a busy machine; alone it takes 30

TAMPERING = """
import sys
from local.octopus import truth

read, seen = truth.read, []

def tampered(*where):
    found = read(*where)
    seen.append(found)
    if len(seen) == 2:  # after the restore
        sorted(found.collections.items())[0][1].popitem()
    return found

truth.read = tampered
from local.demo.__main__ import main
sys.exit(main())
"""


def played(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_everything_comes_back_and_the_report_says_how(project: Path) -> None:
    told = played(project, "-m", "local.demo")
    assert told.returncode == 0, told.stdout + told.stderr
    assert "Everything came back" in told.stdout
    assert told.stderr == ""
    report = json.loads((project / ".stack" / "report" / "report.json").read_text("utf-8"))
    assert {item["number"]: item["verdict"] for item in report["checklist"]} == dict.fromkeys(
        range(1, 6), "passed"
    )


def test_a_single_point_that_is_missing_fails_the_demo_and_is_named(project: Path) -> None:
    told = played(project, "-c", TAMPERING)
    assert told.returncode == 1, told.stdout + told.stderr
    assert "mismatch" in told.stdout
    assert "point of agent_" in told.stdout
    assert "Everything came back" not in told.stdout
