"""The small face that every workflow is written against, whichever engine runs it.

A workflow is a generator of two arguments. It yields tasks, is sent their results, and has no other effect:

    def workflow(ctx: Context, payload: dict[str, Any]) -> Generator[Task, Any, Any]:
        facts = yield ctx.activity("inspect", {"store": payload["store"]})
        results = yield from windowed(ctx, "back_up", facts["parts"], 8)
        return {"parts": len(results)}

An engine that replays (Durable Functions) runs it again from its beginning after every task. So a workflow
asks nothing but ``ctx`` for the time, draws no random numbers, does no input or output; activities do that.
Payloads and results are plain JSON of at most 16 KiB: references, never bulk and never a secret.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from shared.errors import BackupSystemError


class Task(Protocol):
    """Something that was asked for and ends later. Yield it to wait for it."""

    @property
    def result(self) -> Any:
        """What it ended with.

        Raises:
            ActivityFailedError: the activity failed.
        """
        ...


class Context(Protocol):
    """What a workflow can ask of its engine."""

    def activity(self, name: str, payload: Mapping[str, Any]) -> Task:
        """Start an activity; it may be delivered more than once. Ends with what it returns.

        Raises:
            PayloadError: the payload is not plain JSON of at most 16 KiB.
        """
        ...

    def all(self, tasks: Sequence[Task]) -> Task:
        """End with the list of results, in order, when every task has ended.

        Waiting for it raises the failure of the first of ``tasks`` that failed.
        """
        ...

    def any(self, tasks: Sequence[Task]) -> Task:
        """End with the task that ended first (look at its ``result``); the others go on.

        Raises:
            ValueError: ``tasks`` is empty.
        """
        ...

    def timer(self, seconds: float) -> Task:
        """End with None after so many seconds, also across restarts of the engine."""
        ...

    def event(self, name: str) -> Task:
        """End with the value of the next event of that name, also of one raised before. Case is ignored."""
        ...

    def status(self, value: Mapping[str, Any]) -> None:
        """Tell whoever watches how far the workflow is.

        Raises:
            PayloadError: the value is not plain JSON of at most 16 KiB.
        """
        ...

    def now(self) -> datetime:
        """The current instant, aware, in UTC; the same in every replay, and between two waits."""
        ...


type Workflow = Callable[[Context, dict[str, Any]], Generator[Task, Any, Any]]
"""A workflow: gets a context and a payload, yields tasks, returns plain JSON."""


class ActivityFailedError(BackupSystemError):
    """An activity failed. Carries that failure's message, hint, code, meaning and whether to try again.

    Args:
        activity: the activity's name.
        failure: the failure as plain data, as ``BackupSystemError.as_dict`` makes it.
    """

    code = "activity_failed"

    def __init__(self, activity: str, failure: Mapping[str, Any]) -> None:
        super().__init__(
            str(failure["message"]),
            str(failure.get("hint", "")),
            code=str(failure["code"]),
            meaning=str(failure.get("meaning", "")),
        )
        self.activity = activity
        self.retryable = bool(failure.get("retryable", False))  # the failure's own, not the class's


def windowed(
    ctx: Context,
    name: str,
    payloads: Sequence[Mapping[str, Any]],
    window: int,
    *,
    key: Callable[[Mapping[str, Any]], Hashable] | None = None,
    per_key: int = 1,
) -> Generator[Task, Any, list[Any]]:
    """Run one activity for each payload, a bounded number at once. To be used with ``yield from``.

    One that fails does not stop the others: its place in the results holds the ``ActivityFailedError``.

    Args:
        ctx: the workflow's context.
        name: the activity.
        payloads: one per call.
        window: at most so many activities are in flight in all.
        key: what a payload belongs to, a peer for instance; keys take turns. None: no limit per key.
        per_key: at most so many activities are in flight for one key.

    Returns:
        In the order of ``payloads``: each activity's result, or its ``ActivityFailedError``.

    Raises:
        ValueError: a window is smaller than one.
    """
    if window < 1 or per_key < 1:
        raise ValueError("A window holds at least one activity.")
    waiting: dict[Hashable, deque[int]] = {}
    for place, payload in enumerate(payloads):
        waiting.setdefault(key(payload) if key else place, deque()).append(place)
    free = deque(waiting)  # keys that may start another, in turn
    in_flight: dict[Task, tuple[Hashable, int]] = {}
    busy: dict[Hashable, int] = dict.fromkeys(waiting, 0)
    results: list[Any] = [None] * len(payloads)
    while free or in_flight:
        while free and len(in_flight) < window:
            owner = free.popleft()
            place = waiting[owner].popleft()
            in_flight[ctx.activity(name, payloads[place])] = (owner, place)
            busy[owner] += 1
            if waiting[owner] and busy[owner] < per_key:
                free.append(owner)
        ended: Task = yield ctx.any(list(in_flight))
        owner, place = in_flight.pop(ended)
        if waiting[owner] and busy[owner] == per_key:
            free.append(owner)
        busy[owner] -= 1
        try:
            results[place] = ended.result
        except ActivityFailedError as failure:
            results[place] = failure
    return results
