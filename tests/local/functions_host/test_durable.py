"""The Durable stand-in: ids, redelivery, failures, long work, memory and the end of the host."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from local.functions_host.backend import TaskHub
from tests.local.functions_host.hosted import MASTER_KEY, Hosted


def test_an_id_that_is_under_way_is_left_alone_and_one_that_has_ended_runs_again(host: Hosted) -> None:
    assert host.begin("approval", {"seconds": 60}, "same-id")
    assert not host.begin("approval", {"seconds": 60}, "same-id")
    host.call("POST", "/api/workflows/same-id/events/approval", json={"by": "me"})
    assert host.end("same-id")["output"] == {"approved": True, "by": "me"}
    assert host.run("approval", {"seconds": 0.1}, "same-id")["output"] == {"approved": False, "by": None}


def test_the_next_activity_of_a_name_can_be_delivered_twice(host: Hosted) -> None:
    assert host.run("called", {"of": "once"}, "once")["output"] == 1
    answer = host.call("POST", "/_host/redeliver", key=MASTER_KEY, json={"activity": "count"})
    assert answer.status_code == 202
    assert host.run("called", {"of": "twice", "seconds": 0.05}, "twice")["output"] == 2
    assert host.run("called", {"of": "once more"}, "once more")["output"] == 1
    assert host.call("POST", "/_host/redeliver", key=MASTER_KEY, json=[]).status_code == 400


def test_a_failure_nobody_caught_fails_the_workflow_and_says_why(host: Hosted) -> None:
    state = host.run("unforeseen", {}, "unforeseen")
    assert state["status"] == "FAILED"
    assert "KeyError: 'nobody foresaw this'" in state["failure"]


def test_what_is_too_large_for_the_engine_fails_the_workflow(host: Hosted) -> None:
    state = host.run("too_large", {}, "too-large")
    assert state["status"] == "FAILED"
    assert "the engine carries at most 16,384" in state["failure"]


def test_long_activities_stop_neither_other_workflows_nor_http(host: Hosted) -> None:
    for number in range(10):
        host.begin("called", {"of": f"long-{number}", "seconds": 3}, f"long-{number}")
    began = time.monotonic()
    assert host.call("GET", "/api/health").status_code == 200
    assert host.run("fan_out", {"n": 3}, "meanwhile")["output"]["sum"] == 5
    assert time.monotonic() - began < 1.5
    assert [host.end(f"long-{number}")["output"] for number in range(10)] == [1] * 10


def test_a_host_is_gone_within_two_seconds_of_being_asked_whatever_is_under_way(tmp_path: Path) -> None:
    with Hosted(tmp_path / "log") as host:
        host.begin("called", {"of": "for ever", "seconds": 600}, "for-ever")
        host.until("for-ever", lambda state: state["status"] == "RUNNING")
        began = time.monotonic()
        os.kill(host.child.process.pid, signal.SIGTERM)
        assert host.child.process.wait(5) == 0
        assert time.monotonic() - began < 2


def test_an_id_that_the_real_extension_refuses_is_refused(host: Hosted) -> None:
    answer = host.call("POST", "/api/workflows/approval/a%23b", json={"seconds": 0})
    assert answer.status_code == 500
    assert "Invalid instance id 'a#b'" in host.child.log.read_text()


def test_a_timer_of_an_earlier_start_does_not_reach_the_next_of_its_id(host: Hosted) -> None:
    assert host.begin("approval", {"seconds": 0.8}, "timer-again")
    host.call("POST", "/api/workflows/timer-again/events/approval", json={"by": "me"})
    assert host.end("timer-again")["output"]["approved"]
    began = time.monotonic()
    assert host.run("approval", {"seconds": 1.2}, "timer-again")["output"]["approved"] is False
    assert time.monotonic() - began > 1.1


def test_an_activity_of_an_earlier_start_does_not_reach_the_next_of_its_id(host: Hosted) -> None:
    assert host.run("patience", {"takes": 0.6, "patience": 0.1}, "work-again")["output"] is False
    assert host.run("patience", {"takes": 1.5, "patience": 1.0}, "work-again")["output"] is False


def test_a_task_hub_forgets_what_ended_long_ago() -> None:
    hub = TaskHub(keep_ended=2)
    address = hub.start()
    assert address.startswith("127.0.0.1:")
    try:
        _run_empty_orchestrations(address, ["a", "b", "c", "a"])
        assert sorted(hub._instances) == ["a", "c"]
    finally:
        hub.stop(0)


def _run_empty_orchestrations(address: str, ids: list[str]) -> None:
    from durabletask.client import TaskHubGrpcClient
    from durabletask.worker import TaskHubGrpcWorker

    def nothing(_context: object, _payload: object) -> None:
        return None

    with TaskHubGrpcWorker(host_address=address) as worker, TaskHubGrpcClient(host_address=address) as client:
        worker.add_orchestrator(nothing)
        worker.start()  # type: ignore[no-untyped-call]  # the library leaves it without types
        for instance in ids:
            client.schedule_new_orchestration("nothing", instance_id=instance)
            assert client.wait_for_orchestration_completion(instance, timeout=10)
