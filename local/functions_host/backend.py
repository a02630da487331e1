"""The task hub: durabletask's in-memory backend, made fit for a stack that runs for hours.

As shipped (1.12.0, measured) it binds every interface, has ten server threads (twelve waiting clients
deadlock), limits messages to 4 MiB, never ends a sub-orchestration of more than 30 seconds, refuses to start
an ended id again, hands an orchestration what belonged to an earlier one of its id, keeps a thread for every
timer until it fires, and forgets nothing.
"""

from __future__ import annotations

import heapq
import itertools
import re
import threading
from collections import deque
from concurrent import futures
from datetime import UTC, datetime
from typing import Any

import grpc
from durabletask.internal import helpers
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as stubs
from durabletask.testing import InMemoryOrchestrationBackend

_NO_MESSAGE_LIMIT = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_HISTORY_EVENTS = 1_000_000
_THREADS = 64
_A_DAY = 24 * 3600.0
_INSTANCE_ID = re.compile(r"(?!@)[^/\\#?\x00-\x1f\x7f-\x9f]{1,100}")
"""What Durable Functions documents for instance ids."""


class TaskHub(InMemoryOrchestrationBackend):
    """An in-memory task hub on a free loopback port.

    Args:
        keep_ended: so many ended orchestrations are remembered; older ones are forgotten with their history.
    """

    def __init__(self, *, keep_ended: int = 200) -> None:
        super().__init__(max_history_size=_HISTORY_EVENTS, port=0)
        self._keep_ended = keep_ended
        self._ended: deque[str] = deque()
        self._first_token: dict[str, int] = {}  # tokens only grow: a smaller one is an earlier start's
        self._timers: list[tuple[datetime, int, int, Any]] = []
        self._numbers = itertools.count()  # so that the heap never has to compare instances
        self._timer_added = threading.Condition(self._lock)

    def start(self) -> str:
        """Serve; returns the address as ``127.0.0.1:PORT``."""
        self._shutdown_event.clear()
        rpc: Any = grpc  # has no types, and neither have the stubs
        services: Any = stubs
        self._server = server = rpc.server(
            futures.ThreadPoolExecutor(max_workers=_THREADS), options=_NO_MESSAGE_LIMIT
        )
        services.add_TaskHubSidecarServiceServicer_to_server(self, server)
        self._port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        threading.Thread(target=self._fire_timers, name="durable-timers", daemon=True).start()
        return f"127.0.0.1:{self._port}"

    def stop(self, grace: float | None = None) -> None:
        """End."""
        super().stop(grace)
        with self._lock:
            self._timer_added.notify_all()

    def StartInstance(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's name
        """Start an orchestration; one of that id that has ended is replaced, as by the Durable extension."""
        if request.instanceId and not _INSTANCE_ID.fullmatch(request.instanceId):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Invalid instance id {request.instanceId!r}.")
        with self._lock:
            if self._has_ended(request.instanceId):
                del self._instances[request.instanceId]
                self._orchestration_queue_set.discard(request.instanceId)
            answer = super().StartInstance(request, context)
            self._first_token[answer.instanceId] = self._instances[answer.instanceId].completion_token
            return answer

    def CompleteActivityTask(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's name
        """Take an activity's result, unless the start of its orchestration that asked for it has ended."""
        with self._lock:
            earlier = int(request.completionToken or 0) < self._first_token.get(request.instanceId, 0)
            if earlier or self._has_ended(request.instanceId):
                return pb.CompleteTaskResponse()
            return super().CompleteActivityTask(request, context)

    def CompleteOrchestratorTask(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's name
        """Take an orchestrator's step; forget the oldest ended orchestrations."""
        with self._lock:
            answer = super().CompleteOrchestratorTask(request, context)
            if self._has_ended(request.instanceId):
                self._ended.append(request.instanceId)
            while len(self._ended) > self._keep_ended:
                oldest = self._ended.popleft()
                if oldest not in self._ended and self._has_ended(oldest):  # else it was started again
                    del self._instances[oldest]
                    self._first_token.pop(oldest, None)
            return answer

    def _process_create_timer_action(self, instance: Any, action: Any) -> None:
        due = action.createTimer.fireAt.ToDatetime(tzinfo=UTC)
        instance.history.append(helpers.new_timer_created_event(action.id, due))
        with self._timer_added:
            heapq.heappush(self._timers, (due, next(self._numbers), action.id, instance))
            self._timer_added.notify()

    def _fire_timers(self) -> None:
        with self._timer_added:
            while not self._shutdown_event.is_set():
                left = (self._timers[0][0] - datetime.now(UTC)).total_seconds() if self._timers else None
                if left is None or left > 0:
                    self._timer_added.wait(left)
                    continue
                due, _, timer_id, instance = heapq.heappop(self._timers)
                name = str(instance.instance_id)
                current: Any = self._instances.get(name)
                if current is not instance or self._has_ended(name):
                    continue  # an earlier start's, or of no use any more
                instance.pending_events.append(helpers.new_timer_fired_event(timer_id, due))
                self._enqueue_orchestration(name)

    def _has_ended(self, instance_id: str) -> bool:
        instance = self._instances.get(instance_id)
        return instance is not None and self._is_terminal_status(instance.status)

    def _wait_for_state(self, instance_id: str, predicate: Any, timeout: float | None) -> Any:
        return super()._wait_for_state(instance_id, predicate, timeout or _A_DAY)
