"""Stands in for the Durable Functions extension.

The task hub hands out work items; each is executed by invoking the app's registered function through
Microsoft's worker library, in the wire format of azure-functions-durable 2.x (base64 of durabletask's
messages). Orchestrations, activities and the client binding are served; entities and the management
webhooks are not.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import secrets
import threading
from collections.abc import Iterable
from concurrent import futures
from typing import Any

from durabletask.grpc_options import GrpcChannelOptions
from durabletask.internal import helpers
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.worker import ConcurrencyOptions, TaskHubGrpcWorker

from local.functions_host.backend import TaskHub
from local.functions_host.messages import protos
from local.functions_host.worker import Function, InvocationFailedError, WorkerLibrary

_ORCHESTRATORS_AT_ONCE = 32
_NO_LIMIT = GrpcChannelOptions(max_receive_message_length=-1, max_send_message_length=-1)

log = logging.getLogger(__name__)


class DurableExtension:
    """The task hub and what executes its work.

    Args:
        worker: the app.
        loop: the event loop in which the app's functions are invoked.
        base_url: the host's own address, told to clients.
        activities_at_once: maxConcurrentActivityFunctions of host.json.
    """

    def __init__(
        self, worker: WorkerLibrary, loop: asyncio.AbstractEventLoop, base_url: str, activities_at_once: int
    ) -> None:
        self._worker = worker
        self._hub = TaskHub()
        address = self._hub.start()
        self._executor: Any = _Executor(worker, loop, address, activities_at_once)
        worker.client_binding = json.dumps(_client_binding(base_url, address))

    def start(self) -> None:
        """Begin to hand out work."""
        self._executor.start()

    def redeliver(self, activity: str) -> None:
        """Deliver the next activity of that name twice at once, as a queue may; the first answer counts."""
        self._executor.redeliver(activity)


def _client_binding(base_url: str, address: str) -> dict[str, Any]:
    """What the extension puts into a ``durableClient`` binding.

    Its system key is random and opens nothing: should the app hand it out, a test can see it, but nobody
    can use it.
    """
    webhook = f"{base_url}/runtime/webhooks/durabletask"
    query = f"taskHub=local&connection=Storage&code={secrets.token_urlsafe(24)}"
    instance = f"{webhook}/instances/INSTANCEID"
    return {
        "taskHubName": "local",
        "connectionName": "Storage",
        "baseUrl": webhook,
        "httpBaseUrl": webhook,
        "rpcBaseUrl": f"http://{address}",
        "requiredQueryStringParameters": query,
        "useForwardedHost": False,
        "maxGrpcMessageSizeInBytes": 2**31 - 1,
        "grpcHttpClientTimeout": "00:01:40",
        "creationUrls": {},
        "managementUrls": {"id": "INSTANCEID", "statusQueryGetUri": f"{instance}?{query}"},
    }


class _Executor(TaskHubGrpcWorker):
    """Fetches work items, and lets the app execute them instead of executing them itself."""

    def __init__(
        self,
        worker: WorkerLibrary,
        loop: asyncio.AbstractEventLoop,
        address: str,
        activities_at_once: int,
    ) -> None:
        super().__init__(
            host_address=address,
            logger=log,
            emit_trace_spans=False,
            channel_options=_NO_LIMIT,
            concurrency_options=ConcurrencyOptions(
                maximum_concurrent_activity_work_items=activities_at_once,
                maximum_concurrent_orchestration_work_items=_ORCHESTRATORS_AT_ONCE,
                maximum_thread_pool_workers=activities_at_once + _ORCHESTRATORS_AT_ONCE,
            ),
        )
        self._worker = worker
        self._loop = loop
        self._activities = _by_name(worker.functions.values(), "activityTrigger", "activity")
        self._orchestrators = _by_name(worker.functions.values(), "orchestrationTrigger", "orchestration")
        self._lock = threading.Lock()
        self._twice: list[str] = []

    def redeliver(self, activity: str) -> None:
        with self._lock:
            self._twice.append(activity)

    def _execute_orchestrator(self, req: Any, stub: Any, completionToken: Any) -> None:  # noqa: N803
        events = [*req.pastEvents, *req.newEvents]
        name = [e for e in events if e.HasField("executionStarted")][-1].executionStarted.name
        answer = pb.OrchestratorResponse()
        try:
            request = base64.b64encode(req.SerializeToString()).decode()
            step = self._invoke(self._orchestrators, name, request).result()
            answer.ParseFromString(base64.b64decode(step or ""))
        except InvocationFailedError as error:
            log.error("Orchestration %s failed: %s\n%s", name, error, error.trace)  # noqa: TRY400 - has it
            failed = helpers.new_complete_orchestration_action(
                -1, pb.ORCHESTRATION_STATUS_FAILED, "", helpers.new_failure_details(error)
            )
            answer = pb.OrchestratorResponse(actions=[failed])
        answer.instanceId, answer.completionToken = req.instanceId, completionToken
        stub.CompleteOrchestratorTask(answer)

    def _execute_activity(self, req: Any, stub: Any, completionToken: Any) -> None:  # noqa: N803
        answer = pb.ActivityResponse(
            instanceId=req.orchestrationInstance.instanceId,
            taskId=req.taskId,
            completionToken=completionToken,
        )
        with self._lock:
            deliveries = 1 + (req.name in self._twice)
            if deliveries > 1:
                self._twice.remove(req.name)
        try:
            running = [self._invoke(self._activities, req.name, req.input.value) for _ in range(deliveries)]
            ended, _ = futures.wait(running, return_when=futures.FIRST_COMPLETED)
            result = ended.pop().result()
            if result is not None:
                answer.result.value = result
        except InvocationFailedError as error:
            log.error("Activity %s failed: %s\n%s", req.name, error, error.trace)  # noqa: TRY400 - has it
            answer.failureDetails.CopyFrom(helpers.new_failure_details(error))
        stub.CompleteActivityTask(answer)

    def _invoke(self, known: dict[str, Function], name: str, text: str) -> futures.Future[str | None]:
        if name not in known:
            raise InvocationFailedError(f"The function '{name}' does not exist in this app.", "")
        return asyncio.run_coroutine_threadsafe(self._returned(known[name], text), self._loop)

    async def _returned(self, function: Function, text: str) -> str | None:
        response = await self._worker.invoke(function, protos.TypedData(string=text))
        which = response.return_value.WhichOneof("data")
        return None if which is None else str(getattr(response.return_value, which))


def _by_name(functions: Iterable[Function], kind: str, key: str) -> dict[str, Function]:
    return {str(f.trigger.get(key) or f.name): f for f in functions if f.kind == kind}
