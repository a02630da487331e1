"""The fixture app, served by the functions host in a child process, and a client for it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Self

import httpx

from local import functions_host

APP = Path(__file__).resolve().parent / "app"
FUNCTION_KEY = "function-key"
MASTER_KEY = "master-key"


class Hosted:
    """A running host. A context manager: the child is stopped at its end."""

    def __init__(self, log: Path, **settings: str) -> None:
        keys = {"LOCAL_FUNCTION_KEY": FUNCTION_KEY, "LOCAL_MASTER_KEY": MASTER_KEY}
        defaults = {"TICK_SCHEDULE": "0 0 0 1 1 *"}
        self.child = functions_host.start(APP, log=log, env={**defaults, **keys, **settings})
        self.url = str(self.child.ready["url"])
        self.client = httpx.Client(base_url=self.url, trust_env=False, timeout=20.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.child.stop()

    def call(self, method: str, path: str, *, key: str = FUNCTION_KEY, **more: Any) -> httpx.Response:
        """One request with a key."""
        return self.client.request(method, path, headers={"x-functions-key": key} if key else {}, **more)

    def begin(self, name: str, payload: dict[str, Any], instance: str) -> bool:
        """Start a workflow; false if one of that id is under way."""
        answer = self.call("POST", f"/api/workflows/{name}/{instance}", json=payload)
        assert answer.status_code in (202, 409), answer.text
        return bool(answer.json()["began"])

    def state(self, instance: str) -> dict[str, Any]:
        """What the engine knows of a workflow."""
        answer = self.call("GET", f"/api/workflows/{instance}")
        return dict(answer.json(), found=answer.status_code == 200)

    def end(self, instance: str, seconds: float = 20.0) -> dict[str, Any]:
        """Wait for a workflow's end; returns its state."""
        return self.until(instance, lambda state: state["status"] in ("COMPLETED", "FAILED"), seconds)

    def until(self, instance: str, judge: Any, seconds: float = 20.0) -> dict[str, Any]:
        """Wait for a workflow to be in some state; returns it."""
        deadline = time.monotonic() + seconds
        while True:
            state = self.state(instance)
            if state["found"] and judge(state):
                return state
            assert time.monotonic() < deadline, f"{instance} is still {state}"
            time.sleep(0.02)

    def run(self, name: str, payload: dict[str, Any], instance: str) -> dict[str, Any]:
        """Start a workflow and wait for its end; returns its state."""
        assert self.begin(name, payload, instance)
        return self.end(instance)
