"""The small Octopus' API as a process, with hooks that stop and start it, for tests that fence it."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from local import processes
from shared.workflows.outcomes import Activity
from tests.servers import ROOT
from tests.world import World

SECRET = "hook-canary-3f90"
OPERATOR = "Ada Lovelace"


@dataclass
class Api:
    """The API under one address, up or down; a hook that does not obey answers 202 and does nothing."""

    world: World
    folder: Path
    obeys: bool = True
    called: list[str] = field(default_factory=list)
    port: int = 0
    hooks: str = ""
    child: processes.Child | None = None
    other: http.server.HTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def up(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=5, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def start(self) -> None:
        if self.child is None:
            command = [sys.executable, "-m", "local.octopus", "--port", str(self.port)]
            env = {"OCTOPUS_SQL": self.world.sql, "OCTOPUS_QDRANT": self.world.servers.qdrant_url}
            log = self.folder / "octopus.log"
            self.child = processes.start("octopus", command, log=log, env=env, cwd=ROOT)
            self.port = int(self.child.ready["port"])

    def stop(self) -> None:
        if self.child is not None:
            self.child.stop()
            self.child = None
        if self.other is not None:
            self.other.shutdown()
            self.other.server_close()
            self.other = None

    def come_up(self) -> None:
        """Another instance answers under the same address; it does not look at the stores to say 200."""
        self.other = http.server.HTTPServer(("127.0.0.1", self.port), _Healthy)
        threading.Thread(target=self.other.serve_forever, args=(0.02,), daemon=True).start()

    def started_by_a_person(self) -> Activity:
        """``await_health``, with somebody who starts the API once the restore is seen to wait for it."""
        honest, looks = self.world.activity("await_health"), itertools.count(1)

        def perform(payload: dict[str, Any]) -> Any:
            if next(looks) == 2:
                httpx.post(f"{self.hooks}/start?code={SECRET}", timeout=30, trust_env=False)
            return honest(payload)

        return perform


class _Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def hooks(api: Api) -> Iterator[str]:
    """The address of the hooks: ``{address}/stop?code=…`` and ``…/start?code=…``."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            what = self.path.partition("?")[0].strip("/")
            api.called.append(what)
            if api.obeys and SECRET in self.path:
                getattr(api, what)()
            self.send_response(202 if SECRET in self.path else 403)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    # One thread for all requests: the kernel takes the thread that starts a child for its parent.
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def guarded(world: World, folder: Path, *names: str) -> Iterator[tuple[World, Api]]:
    """The world with the API running and set, and those of its hooks that are named (``stop``, ``start``)."""
    api = Api(world, folder)
    api.start()
    with hooks(api) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OCTOPUS_API_URL", api.url)
        patch.setenv("OCTOPUS_WAIT_SECONDS", "20")
        for name in names:
            patch.setenv(f"OCTOPUS_{name.upper()}_HOOK", f"{address}/{name}?code={SECRET}")
        try:
            with world.aside() as there:
                api.world, api.hooks = there, address
                yield there, api
        finally:
            api.stop()
