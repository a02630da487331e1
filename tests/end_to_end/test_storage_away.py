"""Blob Storage is gone for a moment, or for longer, in each named step of a restore."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest

from local.octopus import truth
from shared.blob.storage import Storage
from shared.errors import UnreachableError
from shared.model.backups import Kind
from shared.model.plans import Plan
from shared.workflows import retrying
from shared.workflows.outcomes import Activity
from tests.world import World

WHILE_SECONDS = 0.7
AWAY = 60


def prepared(world: World) -> tuple[truth.Truth, Plan]:
    world.back_up(Kind.FULL)
    world.back_up(Kind.DIFFERENTIAL)
    world.make_point("whole")
    expected = world.truth()
    world.work("since then")
    return expected, world.plan({"recovery_point": "whole"}, in_place=True)


def suspended_for_a_moment(world: World) -> None:
    """Azurite stands still: connections stay open, and nobody answers."""
    pid = world.servers.azurite.child.process.pid
    os.kill(pid, signal.SIGSTOP)
    threading.Timer(WHILE_SECONDS, os.kill, (pid, signal.SIGCONT)).start()


def test_storage_that_stands_still_for_a_moment_in_every_step_does_no_harm(world: World) -> None:
    expected, plan = prepared(world)
    known = {name: world.activity(name) for name in ("begin_restore", "restore_step", "end_restore")}
    pauses = []

    def troubled(name: str) -> Activity:
        def perform(payload: dict[str, Any]) -> Any:
            pauses.append(name)
            suspended_for_a_moment(world)
            return known[name](payload)

        return perform

    run = world.run(world.begin(plan), **{name: troubled(name) for name in known})
    assert run.state == "succeeded", run.error
    assert len(pauses) >= len(plan.execution.steps) + 2
    assert truth.differences(expected, world.truth()) == []


def test_storage_that_is_lost_in_each_step_ends_the_run_and_the_next_attempt_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One restore of as many attempts as it has steps: in each, storage is lost in the next kind of step."""
    monkeypatch.setattr(retrying, "FIRST_DELAY_SECONDS", 0.01)
    expected, plan = prepared(world)
    places = {step.kind: index for index, step in reversed(list(enumerate(plan.execution.steps)))}
    honest = world.activity("restore_step")
    client = Storage.client
    lost = []

    for kind, place in sorted(places.items(), key=lambda one: one[1]):

        def perform(payload: dict[str, Any], place: int = place) -> Any:
            if payload["index"] != place:
                return honest(payload)
            requests = iter(range(AWAY))

            def away(storage: Storage, container: str, name: str) -> Any:
                if next(requests, AWAY) > 2:  # it has begun, and then storage is gone
                    raise UnreachableError("Blob Storage is away.")
                return client(storage, container, name)

            with monkeypatch.context() as broken:
                broken.setattr(Storage, "client", away)
                return honest(payload)

        run = world.run(world.begin(plan), restore_step=perform)
        assert run.state == "failed", kind
        assert run.error is not None
        assert run.error.code == "unreachable", (kind, run.error)
        lost.append(kind)
    assert {"sql_tail", "sql_restore", "sql_recover", "sql_proof", "migrations", "collection"} <= set(lost)
    run = world.run(world.begin(plan))
    assert (run.state, run.attempt) == ("succeeded", len(lost) + 1), run.error
    assert truth.differences(expected, world.truth()) == []
