"""``python -m local.functions_host``: serves a function app, or lists what is in it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn

from local import processes
from local.functions_host.durable import DurableExtension
from local.functions_host.http import Door, Keys
from local.functions_host.routes import Routes
from local.functions_host.rules import problems, read_host_json, route_prefix
from local.functions_host.schedule import Schedule, keep_firing
from local.functions_host.worker import AppRefusedError, WorkerLibrary, setting

_ACTIVITIES_AT_ONCE = 10
"""maxConcurrentActivityFunctions of the Durable extension where host.json does not say."""

log = logging.getLogger("local.functions_host")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="local.functions_host", description=__doc__)
    parser.add_argument(
        "--app-dir", type=Path, required=True, help="folder with function_app.py and host.json"
    )
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; a free one if 0")
    parser.add_argument("--list", action="store_true", help="print functions and problems as JSON, and end")
    for kind in ("function", "master"):
        parser.add_argument(
            f"--{kind}-key-env",
            default=f"LOCAL_{kind.upper()}_KEY",
            help=f"environment variable with the {kind} key (default: %(default)s)",
        )
    return parser.parse_args()


async def _indexed(worker: WorkerLibrary, app_dir: Path) -> tuple[dict[str, Any], list[str]]:
    host_json, found = read_host_json(app_dir)
    try:
        await worker.start()
    except AppRefusedError as refused:
        return host_json, found + refused.problems
    return host_json, found + problems(worker.functions.values(), route_prefix(host_json), os.environ)


async def _list(app_dir: Path) -> int:
    worker = WorkerLibrary(app_dir)
    _, found = await _indexed(worker, app_dir)
    functions = [{"name": f.name, "bindings": f.bindings} for f in worker.functions.values()]
    processes.announce(functions=functions, problems=found)
    return 1 if found else 0


async def _serve(app_dir: Path, port: int, keys: Keys) -> int:
    worker = WorkerLibrary(app_dir)
    host_json, found = await _indexed(worker, app_dir)
    if found:
        log.error("The function app is not served:\n%s", "\n".join(f"- {problem}" for problem in found))
        return 1
    listener = socket.create_server(("127.0.0.1", port))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    at_once = host_json.get("extensions", {}).get("durableTask", {}).get("maxConcurrentActivityFunctions")
    durable = DurableExtension(worker, asyncio.get_running_loop(), url, int(at_once or _ACTIVITIES_AT_ONCE))
    timers = [function for function in worker.functions.values() if function.kind == "timerTrigger"]
    schedules = {t.name: Schedule(setting(str(t.trigger["schedule"]), os.environ)) for t in timers}
    routes = Routes(worker.functions.values(), route_prefix(host_json))
    door = Door(worker, durable, routes, schedules, keys)
    server = uvicorn.Server(
        uvicorn.Config(door.app(), log_level="warning", timeout_graceful_shutdown=1, lifespan="off")
    )
    durable.start()
    processes.announce(url=url, functions=sorted(worker.functions))
    async with asyncio.TaskGroup() as group:  # a timer that dies of a fault of ours takes the host with it
        firing = [group.create_task(keep_firing(worker, t, schedules[t.name])) for t in timers]
        await server.serve(sockets=[listener])
        for task in firing:
            task.cancel()
    return 0


def main() -> int:
    """Serve or list, as the command line says; returns the exit code."""
    arguments = _arguments()
    app_dir = arguments.app_dir.resolve()
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("azure", "azure_functions_runtime", "durabletask", "local.functions_host.durable"):
        logging.getLogger(noisy).setLevel("WARNING")
    sys.stdout = sys.stderr  # standard output is for the announcement, whatever the app prints
    keys = Keys(  # taken out of the environment, so that the app does not see them
        os.environ.pop(arguments.function_key_env, ""), os.environ.pop(arguments.master_key_env, "")
    )
    # Python's default would raise in the middle of anything; uvicorn puts its own in place while it serves.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    if arguments.list:
        return asyncio.run(_list(app_dir))
    return asyncio.run(_serve(app_dir, arguments.port, keys))


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Activities that are under way end here and now, as on a deployment in Azure: threads are not waited for.
    os._exit(code)
