"""The direct engine, and the window of work that is written on top of any engine."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.clock import SystemClock
from shared.errors import BackupSystemError, QdrantError
from shared.workflows.context import ActivityFailedError, Context, Task, windowed
from shared.workflows.outcomes import MAX_BYTES, PayloadError
from shared.workflows.runner import DirectRunner

Steps = Generator[Task, Any, Any]


class StoppedClock:
    """Time passes only by sleeping."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        return self._seconds

    def sleep(self, seconds: float) -> None:
        self._seconds += seconds


def double(payload: dict[str, Any]) -> int:
    return int(payload["n"]) * 2


def qdrant_down(_: dict[str, Any]) -> None:
    raise QdrantError("Qdrant answered 503.", 503, "Try again.", code="qdrant_busy", retryable=True)


def run(
    workflow: Callable[[Context, dict[str, Any]], Steps],
    payload: Mapping[str, Any] | None = None,
    **activities: Callable[[dict[str, Any]], Any],
) -> Any:
    return DirectRunner({"double": double, **activities}, StoppedClock()).run(workflow, payload or {})


def test_an_activity_s_result_is_sent_to_the_workflow() -> None:
    def workflow(ctx: Context, payload: dict[str, Any]) -> Steps:
        return (yield ctx.activity("double", payload))

    assert run(workflow, {"n": 21}) == 42


def test_all_gives_the_results_in_order() -> None:
    def workflow(ctx: Context, _: dict[str, Any]) -> Steps:
        nothing = yield ctx.all([])
        return nothing + (yield ctx.all([ctx.activity("double", {"n": n}) for n in (3, 1, 2)]))

    assert run(workflow) == [6, 2, 4]


def test_a_failure_arrives_with_its_code_message_hint_and_whether_to_retry() -> None:
    def workflow(ctx: Context, _: dict[str, Any]) -> Steps:
        try:
            yield ctx.activity("down", {})
        except ActivityFailedError as failure:
            return {**failure.as_dict(), "activity": failure.activity}

    told = run(workflow, down=qdrant_down)
    assert told == {
        "activity": "down",
        "code": "qdrant_busy",
        "message": "Qdrant answered 503.",
        "meaning": "No backup was recorded.",
        "hint": "Try again.",
        "retryable": True,
    }


def test_a_failure_nobody_caught_leaves_the_run_as_it_is() -> None:
    def workflow(ctx: Context, _: dict[str, Any]) -> Steps:
        yield ctx.all([ctx.activity("double", {"n": 1}), ctx.activity("down", {})])

    with pytest.raises(ActivityFailedError, match="Qdrant answered 503"):
        run(workflow, down=qdrant_down)


def test_an_unforeseen_failure_names_its_type_but_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    secret = "canary"

    def leak(_: dict[str, Any]) -> None:
        raise ValueError(f"cannot read https://x.blob.core.windows.net/a?sp=r&sig={secret}%3D PWD={secret};")

    def workflow(ctx: Context, _: dict[str, Any]) -> Steps:
        yield ctx.activity("leak", {})

    with pytest.raises(BackupSystemError) as caught:
        run(workflow, leak=leak)
    assert "ValueError: cannot read https://x.blob.core.windows.net/a" in str(caught.value)
    assert "Activity leak failed unexpectedly" in caplog.text
    assert secret not in str(caught.value) + caplog.text


def test_an_unknown_activity_is_a_failure() -> None:
    def workflow(ctx: Context, _: dict[str, Any]) -> Steps:
        yield ctx.activity("nowhere", {})

    with pytest.raises(ActivityFailedError, match="no activity named nowhere"):
        run(workflow)


def test_any_gives_the_task_that_ended_first_and_the_other_goes_on() -> None:
    release = threading.Event()

    def slow(_: dict[str, Any]) -> str:
        assert release.wait(10)
        return "slow"

    def quick(_: dict[str, Any]) -> str:
        return "quick"

    def workflow(ctx: Context, _: dict[str, Any]) -> Steps:
        first, second = ctx.activity("slow", {}), ctx.activity("quick", {})
        winner = yield ctx.any([first, second])
        assert winner is second
        release.set()
        return [winner.result, (yield first)]

    assert run(workflow, slow=slow, quick=quick) == ["quick", "slow"]


def test_timers_end_in_the_order_of_their_time_without_waiting_in_a_test() -> None:
    def workflow(ctx: Context, _: dict[str, Any]) -> Steps:
        began = ctx.now()
        late, early = ctx.timer(3600), ctx.timer(60)
        assert (yield ctx.any([late, early])) is early
        assert ctx.now() - began == timedelta(seconds=60)
        yield late
        return (ctx.now() - began).total_seconds()

    assert run(workflow) == pytest.approx(3600)


def test_a_timer_does_not_overtake_work_under_way_when_time_stands_still() -> None:
    def slowly(_: dict[str, Any]) -> str:
        time.sleep(0.05)
        return "done"

    def workflow(ctx: Context, _: dict[str, Any]) -> Steps:
        work = ctx.activity("slowly", {})
        return (yield ctx.any([work, ctx.timer(3600)])) is work

    assert run(workflow, slowly=slowly) is True


def test_events_are_kept_until_asked_for_and_their_names_ignore_case() -> None:
    runner = DirectRunner({}, SystemClock())

    def workflow(ctx: Context, _: dict[str, Any]) -> Steps:
        first = yield ctx.event("approval")
        ctx.status({"first": first})
        return [first, (yield ctx.event("approval"))]

    runner.raise_event("Approval", {"by": "me"})
    later = threading.Timer(0.05, runner.raise_event, ["APPROVAL", {"by": "you"}])
    later.start()
    assert runner.run(workflow, {}) == [{"by": "me"}, {"by": "you"}]
    later.join()


def test_a_timer_against_an_event_that_comes_in_time() -> None:
    runner = DirectRunner({}, SystemClock())

    def workflow(ctx: Context, _: dict[str, Any]) -> Steps:
        event = ctx.event("go")
        return (yield ctx.any([event, ctx.timer(60)])) is event

    later = threading.Timer(0.02, runner.raise_event, ["go"])
    later.start()
    assert runner.run(workflow, {}) is True
    later.join()


def test_status_is_told_in_order() -> None:
    told: list[dict[str, Any]] = []

    def workflow(ctx: Context, _: dict[str, Any]) -> Steps:
        ctx.status({"phase": 1})
        yield ctx.activity("double", {"n": 1})
        ctx.status({"phase": 2})

    DirectRunner({"double": double}, StoppedClock(), on_status=told.append).run(workflow, {})
    assert told == [{"phase": 1}, {"phase": 2}]


@pytest.mark.parametrize("place", ["input", "payload", "result", "status", "return"])
def test_what_is_too_large_for_an_engine_is_refused_at_every_place(place: str) -> None:
    large = {"text": "x" * MAX_BYTES}

    def workflow(ctx: Context, _: dict[str, Any]) -> Steps:
        if place == "status":
            ctx.status(large)
        yield ctx.activity(
            "large" if place == "result" else "double", large if place == "payload" else {"n": 1}
        )
        return large if place == "return" else {}

    with pytest.raises((PayloadError, ActivityFailedError), match="carries at most 16,384") as caught:
        run(workflow, large if place == "input" else {}, large=lambda _: large)
    assert caught.value.specific_code == "payload"


def test_what_is_not_plain_json_is_refused() -> None:
    def workflow(ctx: Context, _: dict[str, Any]) -> Steps:
        yield ctx.activity("double", {"n": datetime(2026, 1, 1, tzinfo=UTC)})

    with pytest.raises(PayloadError, match="The input of activity double is not plain JSON"):
        run(workflow)


def test_ctrl_c_starts_no_further_activity() -> None:
    started: list[int] = []

    def note(payload: dict[str, Any]) -> None:
        started.append(payload["n"])

    def watch(status: dict[str, Any]) -> None:
        if status["n"] == 3:
            raise KeyboardInterrupt

    def workflow(ctx: Context, _: dict[str, Any]) -> Steps:
        for n in range(100):
            ctx.status({"n": n})
            yield ctx.activity("note", {"n": n})

    runner = DirectRunner({"note": note}, StoppedClock(), on_status=watch)
    with pytest.raises(KeyboardInterrupt):
        runner.run(workflow, {})
    assert started == [0, 1, 2]


def test_a_run_ends_after_the_activities_that_nobody_waited_for() -> None:
    ended: list[str] = []

    def slowly(_: dict[str, Any]) -> None:
        time.sleep(0.05)
        ended.append("slowly")

    def workflow(ctx: Context, _: dict[str, Any]) -> Steps:
        ctx.activity("slowly", {})
        return (yield ctx.activity("double", {"n": 1}))

    assert run(workflow, slowly=slowly) == 2
    assert ended == ["slowly"]


class Gauge:
    """An activity that counts how many of itself are under way, in all and for each peer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    def __call__(self, payload: dict[str, Any]) -> int:
        with self._lock:
            for name in (payload["peer"], "all"):
                self._now[name] += 1
                self.most[name] = max(self.most[name], self._now[name])
        time.sleep(0.002)
        with self._lock:
            self._now.subtract([payload["peer"], "all"])
        if payload["n"] == 7:
            raise QdrantError("Collection is gone.", 404)
        return int(payload["n"])


def test_a_window_bounds_the_work_in_all_and_per_key_and_survives_a_failure() -> None:
    gauge = Gauge()
    payloads = [{"n": n, "peer": "abc"[n % 3 if n < 30 else 0]} for n in range(60)]

    def workflow(ctx: Context, _: dict[str, Any]) -> Steps:
        results = yield from windowed(
            ctx, "gauge", payloads, 5, key=lambda payload: payload["peer"], per_key=2
        )
        return [str(r) if isinstance(r, ActivityFailedError) else r for r in results]

    results = run(workflow, gauge=gauge)
    assert results[7] == "Collection is gone. No backup was recorded."
    assert [r for n, r in enumerate(results) if n != 7] == [n for n in range(60) if n != 7]
    assert gauge.most == {"all": 5, "a": 2, "b": 2, "c": 2}


def test_a_window_over_nothing_is_nothing_and_one_of_nothing_is_refused() -> None:
    def workflow(ctx: Context, payload: dict[str, Any]) -> Steps:
        return (yield from windowed(ctx, "double", [], payload["window"]))

    assert run(workflow, {"window": 1}) == []
    with pytest.raises(ValueError, match="at least one"):
        run(workflow, {"window": 0})


def test_three_hundred_activities_through_a_window_of_eight_take_no_time() -> None:
    def workflow(ctx: Context, _: dict[str, Any]) -> Steps:
        results = yield from windowed(ctx, "double", [{"n": n} for n in range(300)], 8)
        return sum(results)

    began = time.monotonic()
    assert run(workflow) == sum(range(300)) * 2
    assert time.monotonic() - began < 5
