"""The same workflows under both engines: Durable Functions, served locally, and the direct runner."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

from functions.engine import activity_function, adapted
from shared.clock import SystemClock
from shared.workflows.context import ActivityFailedError
from shared.workflows.runner import DirectRunner
from tests.local.functions_host.app import sample
from tests.local.functions_host.hosted import Hosted


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosted]:
    with Hosted(tmp_path_factory.mktemp("engine") / "host.log") as hosted:
        yield hosted


def directly(name: str, payload: dict[str, Any], event: tuple[str, Any] | None = None) -> Any:
    runner = DirectRunner(sample.ACTIVITIES, SystemClock())
    if event:
        runner.raise_event(*event)
    return runner.run(getattr(sample, name), payload)


@pytest.mark.parametrize(
    ("name", "payload", "expected"),
    [
        (
            "fan_out",
            {"n": 20, "window": 5, "per_key": 2},
            {
                "sum": sum(n * n for n in range(20)) - 169,
                "failed": [
                    {
                        "code": "collection_gone",
                        "message": "Collection 13 is gone.",
                        "meaning": "No backup was recorded.",
                        "hint": "Leave it out.",
                        "retryable": False,
                    }
                ],
            },
        ),
        ("fan_out", {"n": 0}, {"sum": 0, "failed": []}),
        (
            "all_at_once",
            {},
            {
                "results": [9, 1, 4],
                "nothing": [],
                "failure": {
                    "code": "collection_gone",
                    "message": "Collection 13 is gone.",
                    "meaning": "No backup was recorded.",
                    "hint": "Leave it out.",
                    "retryable": False,
                },
            },
        ),
        ("race", {}, {"timer first": True, "then work": True, "time passed": True}),
        ("approval", {"seconds": 0.2}, {"approved": False, "by": None}),
    ],
)
def test_both_engines_give_the_same_result(
    host: Hosted, name: str, payload: dict[str, Any], expected: Any
) -> None:
    assert directly(name, payload) == expected
    state = host.run(name, payload, f"{name}-{len(str(payload))}")
    assert state["status"] == "COMPLETED", state["failure"]
    assert state["output"] == expected


def test_an_event_reaches_a_workflow_under_both_engines_and_its_status_is_told(host: Hosted) -> None:
    expected = {"approved": True, "by": "the operator"}
    assert directly("approval", {"seconds": 30}, ("APPROVAL", {"by": "the operator"})) == expected
    host.begin("approval", {"seconds": 30}, "event")
    host.until("event", lambda state: state["custom"] == {"phase": "waiting"})
    host.call("POST", "/api/workflows/event/events/APPROVAL", json={"by": "the operator"})
    assert host.end("event")["output"] == expected
    assert host.state("event")["custom"] == {"phase": "decided"}


def test_an_unforeseen_failure_reads_the_same_under_both_engines(
    host: Hosted, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    with pytest.raises(ActivityFailedError) as caught:
        directly("unforeseen", {})
    assert str(caught.value) in host.run("unforeseen", {}, "unforeseen")["failure"]


def test_three_hundred_activities_through_a_window_of_eight(host: Hosted) -> None:
    began = time.monotonic()
    output = host.run("fan_out", {"n": 300, "window": 8, "per_key": 8}, "three-hundred")["output"]
    assert output["sum"] == sum(n * n for n in range(300)) - 169
    assert time.monotonic() - began < 15


def test_what_is_made_for_the_blueprint_carries_its_name() -> None:
    assert adapted(sample.race).__name__ == "race"
    assert activity_function("square", sample.square).__name__ == "square"
    assert activity_function("square", sample.square)({"n": 3}) == {"result": 9}
