"""What the tests of drills share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.octopus.truth import Truth
from shared.model.backups import Kind
from shared.model.drills import DrillRequest
from shared.model.points import RecoveryPoint
from shared.model.runs import Run, StepState
from shared.octopus.collections import is_scratch
from shared.workflows.drills import start_drill
from shared.workflows.runs import Start
from tests.world import World


@pytest.fixture
def on_live(monkeypatch: pytest.MonkeyPatch, world: World) -> Iterator[World]:
    """The world with settings that let drills use the live servers."""
    monkeypatch.setenv("DRILL_ON_LIVE_SERVERS", "true")
    with world.aside() as allowed:
        yield allowed


@pytest.fixture
def point(on_live: World) -> RecoveryPoint:
    """A recovery point, after which work went on."""
    on_live.back_up(Kind.FULL)
    made = on_live.make_point("before v7")
    on_live.work("after the point")
    return made


def begin(world: World, point: str | None = None) -> Start:
    return start_drill(world.system, DrillRequest(recovery_point=point))


def whole(world: World, run: Run) -> Run:
    return world.system.catalogue.runs.whole(run)


def drilled(world: World, point: str | None = None) -> Run:
    """One drill, which must succeed; with the whole evidence of its steps."""
    run = whole(world, world.run(begin(world, point)))
    failed = [(step.id, step.error) for step in run.steps if step.state != "succeeded"]
    assert run.state == "succeeded", (run.error, failed)
    return run


def step_of(run: Run, kind: str) -> StepState:
    return next(step for step in run.steps if step.id.endswith(f"-{kind}"))


def scratch(world: World) -> list[str]:
    """What drills have left on the live servers."""
    return [name for name in (*world.databases(), *world.collections()) if is_scratch(name)]


def live(world: World) -> Truth:
    """Everything that is not a drill's."""
    seen = world.truth()
    kept = {name: points for name, points in seen.collections.items() if not is_scratch(name)}
    return Truth(seen.tables, kept)
