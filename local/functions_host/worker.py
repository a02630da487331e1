"""Microsoft's Python worker library (azure-functions-runtime), driven in this process as a host drives it.

The library keeps what it indexed in module-level state: one app per process.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from local.functions_host.messages import protos

_THREADS = "PYTHON_THREADPOOL_THREAD_COUNT"
_MANY_THREADS = "32"
"""By default the library has CPUs + 4 threads for synchronous HTTP functions, activities *and* orchestrators:
a handful of long activities on a small machine would stop all orchestrations, in Azure as well as here."""


class AppRefusedError(Exception):
    """The app cannot be served; ``problems`` has one sentence for each reason."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class InvocationFailedError(Exception):
    """A function raised. The text is its exception's type and message; ``trace`` has the way it came."""

    def __init__(self, message: str, trace: str) -> None:
        super().__init__(message or "The function failed without a message.")
        self.trace = trace


@dataclass(frozen=True)
class Function:
    """One indexed function."""

    name: str
    function_id: str
    bindings: list[dict[str, Any]]

    @property
    def trigger(self) -> dict[str, Any]:
        """The binding that starts it."""
        return next(binding for binding in self.bindings if binding["type"].lower().endswith("trigger"))

    @property
    def kind(self) -> str:
        """The trigger's type: ``httpTrigger``, ``timerTrigger``, …."""
        return str(self.trigger["type"])

    @property
    def route(self) -> str:
        """The route template of an HTTP function, without the app's prefix."""
        return str(self.trigger.get("route") or self.name).strip("/")


class WorkerLibrary:
    """Indexes one app and invokes its functions.

    Args:
        app_dir: the folder with ``function_app.py``. It becomes the working directory and the first place
            that modules are imported from, as in Azure.
    """

    def __init__(self, app_dir: Path) -> None:
        self._app_dir = app_dir
        self.functions: dict[str, Function] = {}
        self.client_binding = "{}"  # what a durableClient binding hands out, once the extension runs

    async def start(self) -> None:
        """Index the app.

        Raises:
            AppRefusedError: the library refused it; the text is the library's, with the way it came.
        """
        if not (self._app_dir / "function_app.py").is_file():
            raise AppRefusedError([f"There is no function_app.py in {self._app_dir}, so no functions."])
        os.environ.setdefault(_THREADS, _MANY_THREADS)
        os.chdir(self._app_dir)
        sys.path.insert(0, str(self._app_dir))
        # Imported by name and not above: it reads the environment, and has no types.
        self._library = library = importlib.import_module("azure_functions_runtime")
        library.start_threadpool_executor()
        started = await library.worker_init_request(
            _request(
                worker_init_request=SimpleNamespace(
                    host_version="4.0", capabilities={}, function_app_directory=str(self._app_dir)
                )
            )
        )
        _refuse_failure(started.result)
        indexed = await library.functions_metadata_request(_request(functions_metadata_request=None))
        _refuse_failure(indexed.result)
        for found in indexed.function_metadata_results:
            load = SimpleNamespace(function_id=found.function_id, metadata=found)
            _refuse_failure(
                (await library.function_load_request(_request(function_load_request=load))).result
            )
            bindings = [json.loads(binding) for binding in found.raw_bindings]
            self.functions[found.name] = Function(found.name, found.function_id, bindings)
        if not self.functions:
            raise AppRefusedError([f"{self._app_dir / 'function_app.py'} registers no functions."])

    async def invoke(self, function: Function, value: Any) -> Any:
        """Invoke a function and wait for its end.

        Args:
            function: which.
            value: the trigger's input, a ``TypedData``.

        Returns:
            The library's ``InvocationResponse``.

        Raises:
            InvocationFailedError: the function, or a converter around it, raised.
        """
        inputs = {function.trigger["name"]: value}
        for binding in function.bindings:
            if binding["type"] == "durableClient":
                inputs[binding["name"]] = protos.TypedData(string=self.client_binding)
        nothing = SimpleNamespace(source="", stack_trace="", message="")
        trace_parent = f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01"
        response = await self._library.invocation_request(
            _request(
                invocation_request=SimpleNamespace(
                    invocation_id=str(uuid.uuid4()),
                    function_id=function.function_id,
                    input_data=[protos.ParameterBinding(name=k, data=v) for k, v in inputs.items()],
                    trigger_metadata={},
                    trace_context=SimpleNamespace(trace_parent=trace_parent, trace_state="", attributes={}),
                    retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=nothing),
                )
            )
        )
        if response.result.status != protos.StatusResult.Success:
            raised = response.result.exception
            raise InvocationFailedError(raised.message, raised.stack_trace)
        return response


def setting(text: str, environment: Mapping[str, str]) -> str:
    """Put the app settings into a binding's text: ``%NAME%`` becomes the setting's value, or nothing."""
    parts = text.split("%")
    return "".join(environment.get(part, "") if place % 2 else part for place, part in enumerate(parts))


def _request(**one: Any) -> SimpleNamespace:
    name = next(iter(one))
    return SimpleNamespace(
        name=name, request=SimpleNamespace(**one), properties={"host": "127.0.0.1", "protos": protos}
    )


def _refuse_failure(result: Any) -> None:
    if result.status != protos.StatusResult.Success:
        raised = result.exception
        raise AppRefusedError(
            [f"The app could not be indexed. {raised.message}\n{raised.stack_trace}".rstrip()]
        )
