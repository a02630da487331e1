"""Adapts Durable Functions to our context. The only file that knows how its orchestrations are written.

The engine's version is chosen in one place, pyproject.toml, and workflows do not know it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import azure.durable_functions as df
import grpc
from durabletask import client as durable_client
from durabletask import task as durable

from shared.workflows.context import ActivityFailedError, Task, Workflow
from shared.workflows.outcomes import Activity, Outcome, perform, plain, result_of

type Orchestrator = Callable[
    [durable.OrchestrationContext, dict[str, Any]], Generator[durable.Task[Any], Any, Any]
]


_BEFORE_EVERYTHING = datetime(2020, 1, 1, tzinfo=UTC)
"""The purge request needs a beginning; Durable 2.x is younger."""


def adapted(workflow: Workflow) -> Orchestrator:
    """Make an orchestrator of a workflow, for ``orchestration_trigger(context_name="context")``.

    Args:
        workflow: the workflow; the orchestrator gets its name.

    Returns:
        The orchestrator.
    """

    def orchestrate(
        context: durable.OrchestrationContext, payload: dict[str, Any]
    ) -> Generator[durable.Task[Any], Any, Any]:
        face = _Context(context)
        generator = workflow(face, payload)
        try:
            task = next(generator)
            while True:
                ours = _ours(task)
                if not ours.engine_task.is_complete:
                    with contextlib.suppress(durable.TaskFailedError):  # told by the task's result
                        yield ours.engine_task
                try:
                    value = ours.result
                except ActivityFailedError as failure:
                    task = generator.throw(failure)
                else:
                    task = generator.send(value)
        except StopIteration as end:
            face.cancel_timers()
            return plain("The workflow's result", end.value)
        except Exception:
            face.cancel_timers()
            raise

    orchestrate.__name__ = getattr(workflow, "__name__", "workflow")
    return orchestrate


def activity_function(name: str, activity: Activity) -> Callable[[dict[str, Any]], Outcome]:
    """Make a function of an activity, for ``activity_trigger(input_name="payload")``.

    Args:
        name: the name under which workflows call it.
        activity: the activity.

    Returns:
        The function; it never raises, it returns the outcome.
    """

    def function(payload: Any) -> Any:  # the worker refuses parameterised annotations
        return perform(name, activity, payload)

    function.__name__ = name
    return function


async def start(
    client: df.DurableFunctionsClient, workflow_name: str, payload: Mapping[str, Any], instance_id: str
) -> bool:
    """Start a workflow.

    Args:
        client: the client that a ``durable_client_input`` binding hands out.
        workflow_name: the workflow.
        payload: its input.
        instance_id: its id. One that has ended is run again; so an id alone does not make a start happen
            once (overridableExistingInstanceStates of the Durable extension is NonRunningStates by default).

    Returns:
        False if a workflow of that id is under way, which is left alone.

    Raises:
        PayloadError: the payload is not plain JSON of at most 16 KiB.
    """
    checked = plain(f"The input of workflow {workflow_name}", payload)
    try:
        await client.schedule_new_orchestration(workflow_name, input=checked, instance_id=instance_id)
    except grpc.aio.AioRpcError as error:
        if error.code() == grpc.StatusCode.ALREADY_EXISTS:
            return False
        raise
    return True


async def purge(client: df.DurableFunctionsClient, before: datetime) -> int:
    """Let the engine forget what ended long ago.

    Args:
        client: the client that a ``durable_client_input`` binding hands out.
        before: instances that were created earlier are forgotten, if they have ended.

    Returns:
        How many were forgotten.
    """
    ended = [durable_client.OrchestrationStatus.COMPLETED, durable_client.OrchestrationStatus.FAILED]
    ended.append(durable_client.OrchestrationStatus.TERMINATED)
    purged = await client.purge_orchestrations_by(
        created_time_from=_BEFORE_EVERYTHING, created_time_to=before, runtime_status=ended
    )
    return purged.deleted_instance_count


class _Task:
    """A task of Durable Functions behind our face."""

    def __init__(self, engine_task: durable.Task[Any], read: Callable[[Any], Any]) -> None:
        self.engine_task = engine_task
        self._read = read

    @property
    def result(self) -> Any:
        return self._read(self.engine_task.get_result())


class _ActivityTask(_Task):
    """An activity; its failure is in its outcome, unless the engine itself gave up on it."""

    def __init__(self, engine_task: durable.Task[Any], name: str) -> None:
        super().__init__(engine_task, lambda outcome: result_of(name, outcome))
        self._name = name

    @property
    def result(self) -> Any:
        try:
            return super().result
        except durable.TaskFailedError as error:
            failure = {"code": "engine", "message": error.details.message, "retryable": True}
            raise ActivityFailedError(self._name, failure) from error


class _AllTask(_Task):
    """All of them; its result is read from its children, so that failures are theirs."""

    def __init__(self, children: Sequence[_Task]) -> None:
        whole: durable.Task[Any] = durable.when_all([child.engine_task for child in children])
        if not children:  # Durable never ends it
            whole = durable.CompletableTask()
            whole.complete([])
        super().__init__(whole, lambda _: None)
        self._children = children

    @property
    def result(self) -> Any:
        return [child.result for child in self._children]


class _Context:
    """Durable's orchestration context behind our face."""

    def __init__(self, context: durable.OrchestrationContext) -> None:
        self._context = context
        self._timers: list[durable.TimerTask] = []

    def activity(self, name: str, payload: Mapping[str, Any]) -> Task:
        checked = plain(f"The input of activity {name}", payload)
        return _ActivityTask(self._context.call_activity(name, input=checked), name)

    def all(self, tasks: Sequence[Task]) -> Task:
        return _AllTask([_ours(task) for task in tasks])

    def any(self, tasks: Sequence[Task]) -> Task:
        if not tasks:
            raise ValueError("any() needs at least one task to wait for.")
        children = {id(_ours(task).engine_task): task for task in tasks}
        first = durable.when_any([_ours(task).engine_task for task in tasks])
        return _Task(first, lambda ended: children[id(ended)])

    def timer(self, seconds: float) -> Task:
        timer = self._context.create_timer(timedelta(seconds=seconds))
        self._timers.append(timer)
        return _Task(timer, lambda _: None)

    def event(self, name: str) -> Task:
        return _Task(self._context.wait_for_external_event(name), lambda value: value)

    def status(self, value: Mapping[str, Any]) -> None:
        self._context.set_custom_status(plain("The workflow's status", value))

    def now(self) -> datetime:
        return self._context.current_utc_datetime.replace(tzinfo=UTC)

    def cancel_timers(self) -> None:
        """Let go of timers that lost a race: an orchestration is not complete while one is pending."""
        for timer in self._timers:
            timer.cancel()


def _ours(task: Task) -> _Task:
    if not isinstance(task, _Task):
        raise TypeError(f"A workflow yields the tasks of its context, not {type(task).__name__}.")
    return task
