"""Octopus is stopped before a restore, stays so while it lasts, and is started when all is in place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local.octopus import truth
from shared.errors import RefusedError
from shared.model.backups import Kind
from shared.model.plans import FenceStep, HealthStep, Plan
from shared.model.runs import Run, StepState
from shared.workflows import restore_service
from tests.end_to_end.octopus_api import OPERATOR, SECRET, guarded
from tests.world import World


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore_service, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(restore_service, "FENCE_SECONDS", 1.0)


def prepared(world: World) -> None:
    world.back_up(Kind.FULL)
    world.make_point("whole")


def in_place(world: World) -> Plan:
    return world.plan({"recovery_point": "whole"}, in_place=True)


def step_of(run: Run, plan: Plan, kind: type[FenceStep | HealthStep]) -> StepState:
    return run.step(next(step.id for step in plan.execution.steps if isinstance(step, kind)))


def missing(expected: truth.Truth, world: World) -> list[str]:
    """What is not as it was; the conversation that a restore holds at its end adds to it."""
    told = truth.differences(expected, world.truth())
    return [one for one in told if not one.endswith("should not be there.")]


def code(run: Run) -> str:
    assert run.error is not None
    return run.error.code


def test_the_hooks_stop_and_start_it_and_their_address_is_nowhere(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepared(world)
    expected = world.truth()
    world.work("lost")
    with guarded(world, tmp_path, "stop", "start") as (there, api):
        plan = in_place(there)
        run = there.restore(plan)
        assert api.called == ["stop", "start"]
        assert api.up
    fenced = step_of(run, plan, FenceStep)
    assert fenced.evidence["stop_hook"]["status"] == 202
    assert [look["status"] for look in fenced.evidence["seen_down"]] == [None] * 3
    assert step_of(run, plan, HealthStep).evidence["start_hook"]["tries"] == 1
    assert run.result["report"]["verdict"] == "passed"
    state = [there.storage.get_blob_client("state", name) for name in there.blobs("state")]
    kept = b"".join(blob.download_blob().readall() for blob in state)
    assert SECRET not in json.dumps(run.as_json()) + caplog.text + repr(kept)
    assert missing(expected, world) == []


def test_an_api_that_does_not_stop_leaves_everything_untouched(world: World, tmp_path: Path) -> None:
    prepared(world)
    before = world.truth()
    with guarded(world, tmp_path, "stop") as (there, api):
        api.obeys = False
        plan = in_place(there)
        run = there.run(there.begin(plan))
        assert (run.state, code(run)) == ("failed", "octopus_not_stopped")
        assert world.databases()[world.database] == "ONLINE"
        assert {finding.code for finding in run.findings} == {"left_untouched"}
        assert there.system.catalogue.suspensions.all() == []
        assert truth.differences(before, world.truth()) == []

        api.obeys = True
        again = there.run(there.begin(plan), await_health=api.started_by_a_person())
        assert (again.id, again.attempt, again.state) == (run.id, 2, "succeeded"), again.error
        assert step_of(again, plan, FenceStep).state == "succeeded"


@pytest.mark.parametrize("before", ["sql_restore", "orphans"])
def test_an_api_that_starts_by_itself_in_the_middle_ends_the_restore_and_it_is_resumed(
    world: World, tmp_path: Path, before: str
) -> None:
    prepared(world)
    expected = world.truth()
    with guarded(world, tmp_path, "stop", "start") as (there, api):
        plan = in_place(there)
        index = next(n for n, step in enumerate(plan.execution.steps) if step.kind == before)
        honest = there.activity("restore_step")

        def rises(payload: dict[str, Any]) -> Any:
            if payload["index"] == index:
                api.come_up()
            return honest(payload)

        run = there.run(there.begin(plan), restore_step=rises)
        assert (run.state, code(run)) == ("failed", "octopus_came_up")
        assert run.error is not None
        assert "same plan again" in run.error.hint

        again = there.run(there.begin(plan))
        assert again.state == "succeeded", again.error
        assert api.called.count("stop") == 2, "stopped once more, as nobody knows who has started it"
    assert missing(expected, world) == []


def test_without_a_hook_somebody_has_to_say_that_it_was_stopped(world: World, tmp_path: Path) -> None:
    prepared(world)
    with guarded(world, tmp_path) as (there, api):
        plan = in_place(there)
        with pytest.raises(RefusedError, match="--fenced-by") as refused:
            there.begin(plan)
        assert refused.value.specific_code == "fence_needed"
        assert there.system.catalogue.targets.holder([f"database:{world.database}"]) is None

        mistaken = there.run(there.begin(plan, OPERATOR))
        assert code(mistaken) == "octopus_not_stopped", "it is looked at all the same"

        api.stop()
        known = there.begin(plan)  # with the name that was given before
        run = there.run(known, await_health=api.started_by_a_person())
        assert run.state == "succeeded", run.error
    assert step_of(run, plan, FenceStep).evidence["fenced_by"] == OPERATOR
    assert OPERATOR in run.result["report_text"]


def test_beside_the_live_names_octopus_goes_on_working(world: World, tmp_path: Path) -> None:
    prepared(world)
    with guarded(world, tmp_path, "stop", "start") as (there, api):
        plan = there.plan({"recovery_point": "whole"})
        assert not any(isinstance(step, FenceStep) for step in plan.execution.steps)
        there.restore(plan)
        assert api.called == []
        assert api.up
