"""Workflows and activities that touch every part of the context, for both engines."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Generator
from typing import Any

from shared.errors import QdrantError
from shared.workflows.context import ActivityFailedError, Context, Task, windowed

type Steps = Generator[Task, Any, Any]

_lock = threading.Lock()
_called: Counter[str] = Counter()


def count(payload: dict[str, Any]) -> dict[str, Any]:
    """How often something was called in this process, this time included; sleeps first if asked to."""
    with _lock:
        _called[payload["of"]] += 1
    time.sleep(payload.get("seconds", 0.0))
    return {"of": payload["of"], "times": _called[payload["of"]]}


def square(payload: dict[str, Any]) -> int:
    """Squares a number; refuses 13."""
    if payload["n"] == 13:
        raise QdrantError("Collection 13 is gone.", 404, "Leave it out.", code="collection_gone")
    return int(payload["n"]) ** 2


def crash(_: dict[str, Any]) -> None:
    """Fails in a way that nobody foresaw."""
    raise KeyError("nobody foresaw this")


ACTIVITIES = {"count": count, "square": square, "crash": crash}


def fan_out(ctx: Context, payload: dict[str, Any]) -> Steps:
    """A window of work; failures stay in their places."""
    payloads = [{"n": n} for n in range(payload["n"])]
    window = payload.get("window", 8)
    results = yield from windowed(
        ctx, "square", payloads, window, key=lambda one: one["n"] % 3, per_key=payload.get("per_key", 3)
    )
    failed = [r.as_dict() for r in results if isinstance(r, ActivityFailedError)]
    return {"sum": sum(r for r in results if isinstance(r, int)), "failed": failed}


def all_at_once(ctx: Context, _: dict[str, Any]) -> Steps:
    """Everything in order, nothing of nothing, and the first failure in order."""
    results = yield ctx.all([ctx.activity("square", {"n": n}) for n in (3, 1, 2)])
    nothing = yield ctx.all([])
    tasks = [ctx.activity("square", {"n": 1}), ctx.activity("square", {"n": 13}), ctx.activity("crash", {})]
    try:
        yield ctx.all(tasks)
    except ActivityFailedError as failure:
        return {"results": results, "nothing": nothing, "failure": failure.as_dict()}


def race(ctx: Context, _: dict[str, Any]) -> Steps:
    """A timer against work, and a timer that loses by far."""
    began = ctx.now()
    work = ctx.activity("count", {"of": "race", "seconds": 0.5})
    timer = ctx.timer(0.05)
    first = yield ctx.any([work, timer])
    patient = ctx.timer(3600)
    second = yield ctx.any([work, patient])
    waited = (ctx.now() - began).total_seconds()
    return {"timer first": first is timer, "then work": second is work, "time passed": waited >= 0.05}


def approval(ctx: Context, payload: dict[str, Any]) -> Steps:
    """Waits for a word, but not for ever."""
    ctx.status({"phase": "waiting"})
    word = ctx.event("approval")
    first = yield ctx.any([word, ctx.timer(payload["seconds"])])
    ctx.status({"phase": "decided"})
    return {"approved": first is word, "by": word.result["by"] if first is word else None}


def patience(ctx: Context, payload: dict[str, Any]) -> Steps:
    """Waits for an activity, but not for long; tells whether it was done in time."""
    work = ctx.activity("count", {"of": "patience", "seconds": payload["takes"]})
    return (yield ctx.any([work, ctx.timer(payload["patience"])])) is work


def unforeseen(ctx: Context, _: dict[str, Any]) -> Steps:
    """Ends with a failure that it does not catch."""
    yield ctx.activity("crash", {})


def too_large(ctx: Context, _: dict[str, Any]) -> Steps:
    """Hands more to an activity than an engine carries."""
    yield ctx.activity("count", {"of": "x" * 20_000})


def called(ctx: Context, payload: dict[str, Any]) -> Steps:
    """Calls one activity once, and another afterwards to ask how often the first was called."""
    yield ctx.activity("count", {"of": payload["of"], "seconds": payload.get("seconds", 0)})
    yield ctx.timer(0.2)
    after = yield ctx.activity("count", {"of": payload["of"]})
    return after["times"] - 1


WORKFLOWS = [fan_out, all_at_once, race, approval, patience, unforeseen, too_large, called]
