"""The function app over HTTP, as the demo's operator uses it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from local.interrupts import ExplainedError

POLL_SECONDS = 0.3


class DemoFailedError(ExplainedError):
    """The story did not go as it should; the text says where and why."""


class App:
    """Asks the function app with a function key."""

    def __init__(self, url: str, key: str) -> None:
        self._client = httpx.Client(
            base_url=url, headers={"x-functions-key": key}, timeout=30.0, trust_env=False
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def get(self, path: str) -> dict[str, Any]:
        """GET, and its JSON.

        Raises:
            DemoFailedError: it answered with an error.
        """
        return self._answer(self._client.get(path))

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST, and its JSON; raises as ``get``."""
        return self._answer(self._client.post(path, json=body))

    def _answer(self, response: httpx.Response) -> dict[str, Any]:
        if response.is_success:
            answer: dict[str, Any] = response.json()
            return answer
        raise DemoFailedError(
            f"{response.request.method} {response.request.url.path} answered {response.status_code}: "
            f"{response.text[:2000]}"
        )


def until(
    what: str, look: Callable[[], Any], seconds: float, alive: Callable[[], None] = lambda: None
) -> Iterator[Any]:
    """Look again and again; yields what is seen, and ends when the consumer breaks.

    Args:
        what: what is waited for, for the error's text.
        look: what to look at.
        seconds: how long to wait.
        alive: raises when waiting has no sense any more.

    Raises:
        DemoFailedError: the time is up.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        alive()
        yield look()
        time.sleep(POLL_SECONDS)
    raise DemoFailedError(f"Waited {seconds:.0f} s in vain for {what}.")
