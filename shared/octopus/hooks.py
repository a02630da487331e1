"""The hooks that stop and start the Octopus API: addresses that take a POST, and are secrets themselves.

Whoever knows such an address can stop Octopus. So it is in no message, no evidence and no log; that is why
the request does not go through httpx's client, which logs the address of every request.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import SecretStr

from shared.clock import Clock
from shared.errors import InvalidSettingsError, NotPermittedError, StoreError, UnreachableError

SECONDS = 60.0
"""How long a hook may take to answer. One that needs longer answers 202 and goes on by itself."""

TRIES = 4
PAUSE_SECONDS = 2.0
"""Before the second try, doubled before each further one, and drawn at random by up to as much again."""

_MEANING = "Whether the API was reached is not known; look before you go on."
_PASSING = frozenset({408, 425, 429})


@dataclass(frozen=True)
class HookEvidence:
    """What a hook answered.

    Attributes:
        status: the HTTP status, 200 to 299.
        tries: how often it was asked.
        milliseconds: how long the last try took.
    """

    status: int
    tries: int
    milliseconds: int

    def as_json(self) -> dict[str, Any]:
        """The evidence as plain JSON."""
        return {"status": self.status, "tries": self.tries, "milliseconds": self.milliseconds}


def call(setting: str, address: SecretStr, clock: Clock) -> HookEvidence:
    """Send a POST without a body to a hook until it is accepted.

    Args:
        setting: the name of the setting that holds the address, for messages.
        address: http or https, with any query that it needs.
        clock: for pauses.

    Returns:
        What it answered; always a 2xx.

    Raises:
        InvalidSettingsError: it is no such address.
        NotPermittedError: it answered 401 or 403.
        StoreError: it answered with another status than 2xx, and asking again did not help.
        UnreachableError: it did not answer.
    """
    request = _request(setting, address)
    for number in range(1, TRIES + 1):
        began = clock.monotonic()
        try:
            status = _status(request)
        except httpx.HTTPError as error:
            failed: StoreError | UnreachableError = _unreachable(setting, error)
        else:
            if 200 <= status < 300:
                return HookEvidence(status, number, round((clock.monotonic() - began) * 1000))
            if status in (401, 403):
                raise NotPermittedError(
                    f"The hook of {setting} refused the request (HTTP {status}).",
                    "Renew the address: a key in it may have expired.",
                    code="hook_refused",
                )
            failed = _refused(setting, status)
            if status < 500 and status not in _PASSING:
                break
        if number < TRIES:
            pause = PAUSE_SECONDS * 2 ** (number - 1)
            clock.sleep(pause + secrets.SystemRandom().uniform(0, pause))
    raise failed


def _request(setting: str, address: SecretStr) -> httpx.Request:
    problem = InvalidSettingsError(
        f"{setting}: is not an http or https address.",
        "Set the whole address, with its query (example: https://automation.example.net/webhooks?token=…).",
    )
    try:
        url = httpx.URL(address.get_secret_value().strip())
    except httpx.InvalidURL:
        raise problem from None
    if url.scheme not in ("http", "https") or not url.host:
        raise problem
    timeout = httpx.Timeout(SECONDS, connect=15.0).as_dict()
    headers = {"User-Agent": "octopus-backup", "Accept": "*/*"}
    return httpx.Request("POST", url, headers=headers, content=b"", extensions={"timeout": timeout})


def _status(request: httpx.Request) -> int:
    with httpx.HTTPTransport() as transport:
        response = transport.handle_request(request)
        response.close()  # what else it says is not needed, and may be long
        return response.status_code


def _refused(setting: str, status: int) -> StoreError:
    return StoreError(
        f"The hook of {setting} answered with HTTP {status}; a 2xx was needed.",
        "Look into the log of what the hook starts, then start the same plan again.",
        code="hook_failed",
        meaning=_MEANING,
    )


def _unreachable(setting: str, error: httpx.HTTPError) -> UnreachableError:
    why = "it was silent for too long" if isinstance(error, httpx.TimeoutException) else "no connection"
    return UnreachableError(
        f"The hook of {setting} does not answer ({why}).",
        "See whether it can be reached from here, then start the same plan again.",
        meaning=_MEANING,
    )
