"""The real function app, served by the functions host, and a client that remembers every reply."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from local import functions_host
from shared.settings import group_classes
from tests.servers import ROOT

FUNCTION_KEY = "function-key-canary-8d21"
MASTER_KEY = "master-key-canary-77c0"

SETTINGS = frozenset(
    str(field.validation_alias) for group in group_classes().values() for field in group.model_fields.values()
)
"""The name of every app setting."""


@dataclass
class App:
    """A running function app. A context manager: the child is stopped at its end."""

    environ: Mapping[str, str]
    log: Path
    replies: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        keys = {"LOCAL_FUNCTION_KEY": FUNCTION_KEY, "LOCAL_MASTER_KEY": MASTER_KEY}
        self.child = functions_host.start(ROOT, log=self.log, env={**self.environ, **keys})
        self.client = httpx.Client(base_url=str(self.child.ready["url"]), trust_env=False, timeout=90.0)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.child.stop()

    def ask(self, method: str, path: str, *, key: str = FUNCTION_KEY, **more: Any) -> httpx.Response:
        """One request, with a key unless it is empty."""
        headers = {**more.pop("headers", {}), **({"x-functions-key": key} if key else {})}
        answer = self.client.request(method, path, headers=headers, **more)
        self.replies.append(f"{answer.headers}\n{answer.text}")
        return answer

    def get(self, path: str) -> dict[str, Any]:
        """The JSON behind a path, which must be there."""
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def begin(self, path: str, body: dict[str, Any], **headers: bytes) -> str:
        """Start something; returns where to watch it."""
        answer = self.ask("POST", path, json=body, headers=headers)
        assert answer.status_code == 202, answer.text
        told = answer.json()
        assert told["status_url"] == answer.headers["Location"] == f"{path}/{told['run_id']}"
        return str(told["status_url"])

    def end(self, status_url: str) -> dict[str, Any]:
        """Wait for a run's end."""
        return dict(
            self.until(lambda: self.get(status_url), lambda run: run["state"] not in ("pending", "running"))
        )

    def until(self, look: Callable[[], Any], judge: Callable[[Any], bool], seconds: float = 60.0) -> Any:
        """Look until what is seen is right; returns it."""
        deadline = time.monotonic() + seconds
        while not judge(seen := look()):
            assert time.monotonic() < deadline, f"still {seen}"
            time.sleep(0.1)
        return seen

    def run(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Start something and wait for its end, which must be good."""
        run = self.end(self.begin(path, body))
        assert run["state"] == "succeeded", run["error"]
        return run

    def plan(self, target: object, **more: object) -> dict[str, Any]:
        """The first plan for a target."""
        answer = self.ask("POST", "/api/restores/plan", json={"target": target, **more})
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["plans"][0])


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """An answer that must be a problem (RFC 9457) of that status and code."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    problem = dict(answer.json())
    assert problem["code"] == code, problem
    assert problem["status"] == status
    assert problem["type"] == f"urn:octopus-backup:{code}"
    assert problem["title"] == problem["message"] != ""
    assert "hint" in problem
    return problem
