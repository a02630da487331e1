"""A direct engine: runs a workflow in the caller's thread and its activities in threads of their own.

It serves the command line and the unit tests. It keeps no history: what has to survive is in Blob Storage,
and a workflow that is run again finds it there.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from shared.clock import Clock
from shared.workflows.context import ActivityFailedError, Task, Workflow
from shared.workflows.outcomes import Activity, Outcome, perform, plain, result_of

_SLEEP_SECONDS = 0.1
"""How long a wait for nothing but a timer may overlook an event that is raised meanwhile."""

type Watch = Callable[[dict[str, Any]], None]


class DirectRunner:
    """Runs workflows, one after the other.

    Activities are as free as under any engine: they end before ``run`` does, also those that nobody waits for
    any more. On Ctrl-C no further activity is started, and ``run`` raises at once; activities that are under
    way end with the process.

    Args:
        activities: the activities by name.
        clock: the time for ``now`` and timers. When no activity is under way, a timer is ``clock.sleep``.
        workers: at most so many activities run at once.
        on_status: called in the caller's thread with every status that the workflow sets.
    """

    def __init__(
        self,
        activities: Mapping[str, Activity],
        clock: Clock,
        *,
        workers: int = 16,
        on_status: Watch | None = None,
    ) -> None:
        self._activities = activities
        self._clock = clock
        self._workers = workers
        self._on_status = on_status
        self._news: queue.SimpleQueue[_News] = queue.SimpleQueue()

    def run(self, workflow: Workflow, payload: Mapping[str, Any]) -> Any:
        """Run a workflow to its end.

        Args:
            workflow: the generator function.
            payload: its input, plain JSON.

        Returns:
            Its result, plain JSON.

        Raises:
            PayloadError: input or result are larger than 16 KiB, or not plain JSON.
            Exception: whatever the workflow raised; ``ActivityFailedError`` for a failure it did not catch.
        """
        run = _Run(self._activities, self._clock, self._workers, self._on_status, self._news)
        generator = workflow(run, plain("The workflow's input", payload))
        try:
            task = next(generator)
            while True:
                run.wait_for(task)
                try:
                    value = task.result
                except ActivityFailedError as failure:
                    task = generator.throw(failure)
                else:
                    task = generator.send(value)
        except StopIteration as end:
            run.drain()
            return plain("The workflow's result", end.value)
        except Exception:
            run.drain()
            raise

    def raise_event(self, name: str, value: Any = None) -> None:
        """Raise an event, from any thread, before or during a run.

        Args:
            name: what a workflow waits for with ``ctx.event``.
            value: plain JSON.
        """
        self._news.put(_News(event=name.casefold(), value=plain(f"The event {name}", value)))


@dataclass(frozen=True)
class _News:
    """Something that happened in another thread: an event was raised, or an activity ended."""

    value: Any
    event: str = ""
    ended: tuple[_Task, str] | None = None


class _Task:
    """A task of this engine. Touched by the caller's thread only."""

    def __init__(self) -> None:
        self.done = False
        self._value: Any = None
        self._failure: ActivityFailedError | None = None
        self._watchers: list[Callable[[_Task], None]] = []

    @property
    def result(self) -> Any:
        if not self.done:
            raise RuntimeError("The task has not ended yet: yield it first.")
        if self._failure:
            raise self._failure
        return self._value

    def settle(self, value: Any = None, failure: ActivityFailedError | None = None) -> None:
        if self.done:
            return
        self.done, self._value, self._failure = True, value, failure
        watchers, self._watchers = self._watchers, []
        for tell in watchers:
            tell(self)

    def watch(self, tell: Callable[[_Task], None]) -> None:
        if self.done:
            tell(self)
        else:
            self._watchers.append(tell)


class _Run:
    """One run: the context of its workflow, and what is under way for it."""

    def __init__(
        self,
        activities: Mapping[str, Activity],
        clock: Clock,
        workers: int,
        on_status: Watch | None,
        news: queue.SimpleQueue[_News],
    ) -> None:
        self._activities = activities
        self._clock = clock
        self._workers = workers
        self._on_status = on_status
        self._news = news
        self._now = clock.now()
        self._waiting: deque[tuple[_Task, str, dict[str, Any]]] = deque()
        self._under_way = 0
        self._timers: list[tuple[float, int, _Task]] = []
        self._numbers = itertools.count()  # timers of the same instant fire in the order of their making
        self._listeners: defaultdict[str, deque[_Task]] = defaultdict(deque)
        self._unheard: defaultdict[str, deque[Any]] = defaultdict(deque)

    # The context.

    def activity(self, name: str, payload: Mapping[str, Any]) -> Task:
        task = _Task()
        self._waiting.append((task, name, plain(f"The input of activity {name}", payload)))
        return task

    def all(self, tasks: Sequence[Task]) -> Task:
        whole = _Task()
        children = [_ours(task) for task in tasks]
        left = {id(child) for child in children}

        def one_ended(child: _Task) -> None:
            left.discard(id(child))
            if left:
                return
            try:
                whole.settle([child.result for child in children])
            except ActivityFailedError as failure:
                whole.settle(failure=failure)

        for child in children:
            child.watch(one_ended)
        if not children:
            whole.settle([])
        return whole

    def any(self, tasks: Sequence[Task]) -> Task:
        if not tasks:
            raise ValueError("any() needs at least one task to wait for.")
        first = _Task()
        for child in tasks:
            _ours(child).watch(first.settle)
        return first

    def timer(self, seconds: float) -> Task:
        task = _Task()
        heapq.heappush(self._timers, (self._clock.monotonic() + seconds, next(self._numbers), task))
        return task

    def event(self, name: str) -> Task:
        task, name = _Task(), name.casefold()
        if self._unheard[name]:
            task.settle(self._unheard[name].popleft())
        else:
            self._listeners[name].append(task)
        return task

    def status(self, value: Mapping[str, Any]) -> None:
        told = plain("The workflow's status", value)
        if self._on_status:
            self._on_status(told)

    def now(self) -> datetime:
        return self._now

    # The engine.

    def wait_for(self, task: Task) -> None:
        """Let things happen until a task has ended."""
        awaited = _ours(task)
        while not awaited.done:
            self._turn()
        self._now = self._clock.now()

    def drain(self) -> None:
        """Let every activity that was asked for come to its end."""
        self._timers.clear()
        while self._waiting or self._under_way:
            self._turn()

    def _turn(self) -> None:
        while self._waiting and self._under_way < self._workers:
            work = partial(self._work, *self._waiting.popleft())
            self._under_way += 1
            # A daemon: Ctrl-C must not wait for a statement of hours.
            threading.Thread(target=work, name="activity", daemon=True).start()
        left = self._timers[0][0] - self._clock.monotonic() if self._timers else None
        if left is not None and left <= 0 and self._news.empty():
            heapq.heappop(self._timers)[2].settle()
        elif left is not None and not self._under_way and self._news.empty():
            self._clock.sleep(min(left, _SLEEP_SECONDS))
        else:
            self._hear(None if left is None else max(left, 0.0))

    def _hear(self, seconds: float | None) -> None:
        try:
            news = self._news.get(timeout=seconds)
        except queue.Empty:
            return
        if news.ended:
            self._under_way -= 1
            task, name = news.ended
            try:
                task.settle(result_of(name, news.value))
            except ActivityFailedError as failure:
                task.settle(failure=failure)
        elif self._listeners[news.event]:
            self._listeners[news.event].popleft().settle(news.value)
        else:
            self._unheard[news.event].append(news.value)

    def _work(self, task: _Task, name: str, payload: dict[str, Any]) -> None:
        outcome: Outcome = {"failure": {"code": "engine", "message": f"Activity {name} ended its thread."}}
        try:
            if name in self._activities:
                outcome = perform(name, self._activities[name], payload)
            else:
                outcome = {"failure": {"code": "engine", "message": f"There is no activity named {name}."}}
        finally:
            self._news.put(_News(value=outcome, ended=(task, name)))


def _ours(task: Task) -> _Task:
    if not isinstance(task, _Task):
        raise TypeError(f"A workflow yields the tasks of its context, not {type(task).__name__}.")
    return task
