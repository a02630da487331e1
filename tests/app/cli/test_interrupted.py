"""Ctrl-C while a backup is under way."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import processes
from local.stack import ROOT, Stack, prepare_database
from tests.app.cli.conftest import Cli


@pytest.fixture(scope="module")
def slow(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """The same stack with a SQL Server whose backups take 20 seconds."""
    folder = tmp_path_factory.mktemp("slow")
    beside = Stack(folder, stack.tell, stack.schedules)
    beside.azurite, beside.qdrant, beside.octopus_port = stack.azurite, stack.qdrant, stack.octopus_port
    command = [sys.executable, "-m", "local.sqlserver", "--data-dir", str(folder / "data"), "--slow", "2"]
    env = {"STANDIN_SA_PASSWORD": beside.sa_password, **stack.azurite.env()}
    child = processes.start("slow", command, log=folder / "slow.log", env=env, cwd=ROOT)
    with processes.stopping([child]):
        beside.sqlserver = child
        prepare_database(beside)
        yield Cli(beside, tmp_path_factory.mktemp("elsewhere"))


def running(cli: Cli, known: set[str]) -> str:
    """The id of a new run, once its backup is under way."""
    for _ in range(60):
        for run in cli("status", "--json").json["running"]:
            if run["id"] not in known:
                return str(run["id"])
        time.sleep(0.5)
    pytest.fail("no run was begun")


@pytest.mark.parametrize(
    ("number", "flags"), [(signal.SIGINT, ()), (signal.SIGTERM, ("--json",))], ids=["Ctrl-C", "SIGTERM, JSON"]
)
def test_130_the_run_is_written_down_as_failed_and_the_next_one_is_let_in(
    slow: Cli, tmp_path: Path, number: signal.Signals, flags: tuple[str, ...]
) -> None:
    begun = slow.begin("backup", "full", *flags)
    try:
        run_id = running(slow, set())
        time.sleep(2.0)  # into the statement
        before = time.monotonic()
        begun.send_signal(number)
        ended = slow.end(begun)
    finally:
        begun.kill()
    assert time.monotonic() - before < 5.0
    assert ended.code == 130
    told = f"Interrupted. Run {run_id} is written down as failed; start the command again when you like."
    if flags:
        assert ended.json["error"]["code"] == "interrupted"
        assert ended.json["error"]["message"] == told
    else:
        assert ended.out == ""
        assert ended.err.splitlines()[0] == told
    (run,) = [run for run in slow("list", "--json").json["runs"] if run["id"] == run_id]
    assert run["state"] == "failed"
    assert run["error"]["code"] == "interrupted"
    assert slow("status", "--json").json["running"] == []
    again = slow.begin("backup", "full")
    try:
        running(slow, {run_id})
        time.sleep(3.0)
        (run,) = slow("status", "--json").json["running"]
        steps = slow("list", "--json").json["backups"]
        assert steps == [], "an interrupted backup counts as none"
    finally:
        again.send_signal(signal.SIGINT)
        slow.end(again)
