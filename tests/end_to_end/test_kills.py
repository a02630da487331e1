"""A restore is killed wherever it can be; each time it goes on where it was, and in the end all is well.

First at every boundary between two steps, then with SIGKILL inside every long step, from the command line
without the function app; then under the function app, whose engine forgets everything with its host.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyodbc
import pytest

from local.octopus import truth
from local.processes import Child
from shared.model.backups import Kind
from shared.model.plans import Plan
from shared.model.runs import Run, RunKind, State
from shared.workflows.runs import Start, Ticket
from tests.app.served import App
from tests.servers import Servers
from tests.world import LATER, World, world_on

CLI = Path(sys.executable).with_name("octopus-backup")
OPERATOR = "Grace Hopper"
SLOW = 0.06  # seconds per 10 percent of a statement: long enough to be caught inside it
DELAY = 1.4  # seconds that Qdrant takes for a snapshot or a recovery; seen, and killed in its first half
SEED = 20261123
LONG = ("sql_tail", "sql_restore", "sql_proof", "safety", "collection", "aftermath")
"""The kinds of steps that are one long statement or request each; the proof with CHECKDB."""


@dataclass(frozen=True)
class Disaster:
    """A live world, and the restore in place that is to take it back to a recovery point."""

    world: World
    plan: Plan
    expected: truth.Truth

    def begin(self) -> Start:
        return self.world.begin(self.plan, OPERATOR)

    def check(self) -> Run:
        """The restore has ended, and everything is as it was at the point."""
        run = newest(self.world)
        assert run.state == "succeeded", run.error
        assert [step.id for step in run.steps if step.state is not State.SUCCEEDED] == []
        assert truth.differences(self.expected, self.world.truth()) == []
        return run


def newest(world: World) -> Run:
    return world.system.catalogue.runs.recent(RunKind.RESTORE, 1)[0]


@pytest.fixture
def disaster(world: World) -> Disaster:
    """A full, a differential, a log; then more was written, and an agent's documents were spoilt."""
    world.back_up(Kind.FULL)
    world.work()
    world.back_up(Kind.DIFFERENTIAL)
    world.work()
    point = world.make_point()
    expected = world.truth()
    world.work("to be lost")
    world.memory.index(world.memory.agents()[0], LATER.sources())
    plan = world.plan({"recovery_point": point.id}, in_place=True, checkdb=True)
    return Disaster(world, plan, expected)


def done(run: Run) -> dict[str, object]:
    return {step.id: step for step in run.steps if step.state is State.SUCCEEDED}


def test_killed_at_every_boundary_between_two_steps(disaster: Disaster) -> None:
    """One restore, whose host is lost after each of its steps, and at last before its end is written down."""
    world, steps = disaster.world, disaster.plan.execution.steps
    kept: dict[str, object] = {}
    for count in range(1, len(steps) + 1):
        start = disaster.begin()
        left = world.crash(start, "restore_step", nth=count)
        assert {step.id for step in steps[:count]} <= done(left).keys()
        assert kept.items() <= done(left).items()  # what was done is not done again
        kept = done(left)
        world.die(start)
    start = disaster.begin()
    assert done(world.crash(start, "end_restore", before=True)) == kept
    world.die(start)
    world.run(disaster.begin())
    assert disaster.check().attempt == len(steps) + 2


# --- inside the long steps, from the command line


def test_killed_inside_every_long_step_from_the_command_line(disaster: Disaster, tmp_path: Path) -> None:
    """No function app, no engine: the process is killed, and another one goes on."""
    world, rng = disaster.world, random.Random(SEED)
    steps = [step for step in disaster.plan.execution.steps if step.kind in LONG]
    (*_, beside) = [step for step in steps if step.kind == "collection"]
    steps.remove(beside)  # recovered at the same time as the one before it
    assert {step.kind for step in steps} == set(LONG)
    killed_in = []
    for step in steps:
        with slowed(world), process(disaster, tmp_path) as child:
            wait_until_inside(world, step.id, rng.uniform(0.2, 0.8), child)
            child.kill()
        left = newest(world)
        assert left.state == "running"
        assert left.step(step.id).state is State.RUNNING
        killed_in.append(step.kind)
        world.settle()
        world.die(as_start(left))
    with process(disaster, tmp_path) as child:
        assert child.process.wait(60) == 0, child.log.read_text("utf-8")
    run = disaster.check()
    assert run.attempt == len(killed_in) + 1


@contextlib.contextmanager
def process(disaster: Disaster, folder: Path) -> Iterator[Child]:
    """The command line, restoring; it is dead at the end of the block. All that it says is in its log."""
    plan, log = disaster.plan, folder / "cli.log"
    command = [str(CLI), "restore", plan.id, "--digest", plan.digest, "--fenced-by", OPERATOR]
    with log.open("wb") as out:
        child = Child("cli", subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True), log)
    try:
        yield child
    finally:
        child.kill()


@contextlib.contextmanager
def slowed(world: World) -> Iterator[None]:
    """Every statement about the database and every request about a snapshot takes its time."""
    world.fault(create_delay=DELAY, times=99)
    world.fault(recover_delay=DELAY, times=99)
    with world.admin() as master:
        master.execute("EXEC standin_fault N'slow', ?, ?", world.database, SLOW)
        try:
            yield
        finally:
            master.execute("EXEC standin_fault N'slow', ?, 0", world.database)
            world.qdrant.delete("/_standin/faults").raise_for_status()


def wait_until_inside(world: World, step_id: str, part: float, child: Child) -> None:
    """Wait until a step has begun its long work and has done so much of it."""
    deadline = time.monotonic() + 60
    with world.admin() as master:
        while newest_step(world, step_id) != "running" or not under_way(world, master, part):
            assert child.alive, f"it ended before {step_id}: {child.log.read_text('utf-8')}"
            assert time.monotonic() < deadline, f"{step_id} was not reached"
            time.sleep(0.02)


def newest_step(world: World, step_id: str) -> str | None:
    runs = world.system.catalogue.runs.recent(RunKind.RESTORE, 1)
    return runs[0].step(step_id).state.value if runs else None


def under_way(world: World, master: pyodbc.Connection, part: float) -> bool:
    """Whether SQL Server has done a part of a statement, or Qdrant works on a snapshot."""
    done_of = master.execute(
        "SELECT percent_complete FROM sys.dm_exec_requests"
        " WHERE command LIKE N'BACKUP%' OR command LIKE N'RESTORE%' OR command LIKE N'DBCC%'"
    ).fetchall()
    if any(percent >= 100 * part for (percent,) in done_of):
        return True
    if done_of or not world.busy():
        return False
    time.sleep(DELAY / 2 * part)
    return True


def as_start(run: Run) -> Start:
    ticket = Ticket(run.kind, run.id, run.attempt)
    return Start("restore", ticket.as_payload(), f"restore-{run.id}-{run.attempt}", run.id)


# --- under the function app


def test_with_its_host_the_engine_loses_its_history_and_the_next_host_goes_on(
    servers: Servers, tmp_path: Path
) -> None:
    with world_on(servers, "url", tmp_path) as world:
        world.back_up(Kind.FULL)
        point = world.make_point()
        expected = world.truth()
        world.work("to be lost")
        with App(world.environ, tmp_path / "first.log") as app:
            plan = app.plan({"recovery_point": point.id}, in_place=True)
            start = {"plan_id": plan["id"], "digest": plan["digest"], "fenced_by": OPERATOR}
            (restoring, *_) = [s["id"] for s in plan["execution"]["steps"] if s["kind"] == "sql_restore"]
            with slowed(world):
                status_url = app.begin("/api/restores", start)
                wait_until_inside(world, restoring, 0.5, app.child)
                app.child.kill()  # the task hub was in its memory
        left = newest(world)
        world.die(as_start(left))
        with App(world.environ, tmp_path / "second.log") as app:
            assert app.begin("/api/restores", start) == status_url
            run = app.end(status_url)
        assert run["state"] == "succeeded", run["error"]
        assert run["attempt"] == 2
        assert done(left).items() <= done(newest(world)).items()
        assert truth.differences(expected, world.truth()) == []
