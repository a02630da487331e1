"""The product's own API, as far as the last two steps of the recovery checklist need it.

Step 4 asks for its health, step 5 holds a conversation and searches. The product's documentation shows the
chat's route and its events; it leaves open how a session is opened and how the searches answer, so those are
gathered in the constants below.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from shared.clock import Clock, NewId, new_ulid
from shared.errors import (
    InvalidRequestError,
    InvalidSettingsError,
    NotPermittedError,
    StoreError,
    UnreachableError,
)
from shared.octopus.event_stream import events
from shared.settings import OctopusSettings

CHAT_PATH = "/api/chat/{session}/send"
"""Documented. That a session which nobody opened is opened by its first message is assumed."""

EPISODE_SEARCH_PATH = "/api/octopus/episodes/search"
"""Documented by its path only; body and answer are assumed: ``{query, agentId, topK}``, see ``_items``."""

KNOWLEDGE_SEARCH_PATH = "/api/octopus/knowledge/{agent}/search"
"""Assumed, next to the documented ``/api/octopus/knowledge/{agent}/documents``."""

HEALTH_SECONDS = 10.0
SEARCH_SECONDS = 30.0
CONVERSATION_SECONDS = 60.0
"""A conversation has to be over by then, from the request to its ``turn_end``."""

SILENCE_SECONDS = 20.0
"""A stream that is silent for so long is given up."""

MOST_BYTES = 4 * 1024 * 1024
"""An answer that is longer is not a healthy one, and is not read on."""

MOST_EVENTS = 20_000
TOP = 5

_MEANING = "The restored data is untouched; that Octopus works with it is not proven."


@dataclass(frozen=True)
class HealthEvidence:
    """What the health path answered.

    Attributes:
        status: the HTTP status; None when there was no answer.
        milliseconds: how long it took.
        detail: the answer's beginning, or why there was none.
    """

    status: int | None
    milliseconds: int
    detail: str

    @property
    def healthy(self) -> bool:
        """Whether it answered 200."""
        return self.status == httpx.codes.OK


@dataclass(frozen=True)
class Conversation:
    """One turn of a conversation.

    Attributes:
        status: the HTTP status.
        events: the names of the events, in order.
        text: the answer, put together from its tokens.
        tokens: how many ``token`` events there were.
        seconds: from the request to the stream's end.
        turn_id: what ``turn_end`` carried; None when the stream ended without it.
    """

    status: int
    events: list[str]
    text: str
    tokens: int
    seconds: float
    turn_id: str | None

    @property
    def complete(self) -> bool:
        """Whether something was said and the turn came to its end."""
        return self.tokens > 0 and "turn_end" in self.events


class OctopusApi:
    """The API under the address of the settings.

    Args:
        settings: address, bearer token, health path.
        clock: measures how long answers take.
        new_id: makes the ids of the sessions that conversations are held in.
    """

    def __init__(self, settings: OctopusSettings, clock: Clock, new_id: NewId = new_ulid) -> None:
        self._settings = settings
        self._clock = clock
        self._new_id = new_id

    def health(self) -> HealthEvidence:
        """Ask the health path once, without the token. An unhealthy or missing answer is evidence, too.

        Raises:
            InvalidSettingsError: there is no address, or the path does not begin with a slash.
        """
        path = self._settings.health_path
        if not path.startswith("/"):
            raise InvalidSettingsError(f"OCTOPUS_HEALTH_PATH: {path!r} does not begin with a slash.")
        began = self._clock.monotonic()
        status: int | None = None
        try:
            with self._client(HEALTH_SECONDS) as http, http.stream("GET", path) as response:
                status, detail = response.status_code, _beginning(response)
        except httpx.HTTPError as error:
            detail = f"No answer: {_reason(error)}."
        return HealthEvidence(status, round((self._clock.monotonic() - began) * 1000), detail)

    def converse(self, agent_id: str, message: str) -> Conversation:
        """Send one message to an agent in a new session and read the answer to its end.

        Raises:
            InvalidSettingsError: there is no address.
            InvalidRequestError: the agent's id is no UUID.
            UnreachableError: no connection, or no end within 60 seconds.
            NotPermittedError: the token was refused.
            StoreError: any other answer than a stream of events.
        """
        agent = _agent(agent_id)
        path = CHAT_PATH.format(session=quote(f"octopus-backup-{self._new_id()}", safe=""))
        began = self._clock.monotonic()
        body = {"agentId": agent, "message": message}
        headers = {"Accept": "text/event-stream"}
        what = "The test conversation"
        names: list[str] = []
        said: list[str] = []
        turn_id = None
        try:
            with (
                self._client(SILENCE_SECONDS, authorised=True) as http,
                http.stream("POST", path, json=body, headers=headers) as response,
            ):
                _demand(response, what, "text/event-stream")
                for name, data in events(self._bounded(response, what, CONVERSATION_SECONDS)):
                    names.append(name)
                    if len(names) > MOST_EVENTS:
                        raise _too_long(what)
                    if name == "token":
                        said.append(str(data.get("text", "")))
                    elif name == "turn_end":
                        turn_id = str(data.get("turn_id", ""))
                        break
                status = response.status_code
        except httpx.HTTPError as error:
            raise _unreachable(what, error) from None
        seconds = self._clock.monotonic() - began
        return Conversation(status, names, "".join(said), len(said), seconds, turn_id)

    def search_episodes(self, agent_id: str, query: str) -> list[dict[str, Any]]:
        """The episodes of an agent that answer a query best, as the API shows them.

        Raises:
            BackupSystemError: as ``converse``.
        """
        body = {"agentId": _agent(agent_id), "query": query, "topK": TOP}
        return self._search("The search in episodes", EPISODE_SEARCH_PATH, body)

    def search_knowledge(self, agent_id: str, query: str) -> list[dict[str, Any]]:
        """The chunks of an agent's documents that answer a query best, as the API shows them.

        Raises:
            BackupSystemError: as ``converse``.
        """
        path = KNOWLEDGE_SEARCH_PATH.format(agent=_agent(agent_id))
        return self._search("The semantic search", path, {"query": query, "topK": TOP})

    def _search(self, what: str, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        try:
            with (
                self._client(SEARCH_SECONDS, authorised=True) as http,
                http.stream("POST", path, json=body) as response,
            ):
                _demand(response, what, "application/json")
                answer = b"".join(self._bounded(response, what, SEARCH_SECONDS))
        except httpx.HTTPError as error:
            raise _unreachable(what, error) from None
        return _items(what, answer)

    def _bounded(self, response: httpx.Response, what: str, seconds: float) -> Iterator[bytes]:
        """The answer's bytes, until they are too many or too late."""
        size, deadline = 0, self._clock.monotonic() + seconds
        for chunk in response.iter_raw():
            size += len(chunk)
            if size > MOST_BYTES:
                raise _too_long(what)
            if self._clock.monotonic() > deadline:
                raise UnreachableError(
                    f"{what} was not over after {seconds:.0f} s.",
                    "Ask again; look into the API's own log.",
                    meaning=_MEANING,
                )
            yield chunk

    def _client(self, seconds: float, *, authorised: bool = False) -> httpx.Client:
        url = self._settings.api_url
        if url is None:
            raise InvalidSettingsError(
                "OCTOPUS_API_URL: is not set, so Octopus cannot be asked "
                "(example: https://octopus.example.net).",
                "Set it in the app settings, or leave the checklist's steps 4 and 5 out.",
            )
        headers = {"Accept-Encoding": "identity"}  # so that the bytes that are counted are the answer's
        if authorised and self._settings.api_token is not None:
            headers["Authorization"] = f"Bearer {_token(self._settings.api_token)}"
        try:
            return httpx.Client(base_url=url, headers=headers, timeout=seconds, follow_redirects=False)
        except httpx.InvalidURL:
            raise InvalidSettingsError(f"OCTOPUS_API_URL: {url!r} is not an address.") from None


def _token(secret: SecretStr) -> str:
    token = secret.get_secret_value()
    if not (token.isascii() and token.isprintable()):
        raise InvalidSettingsError(
            "OCTOPUS_API_TOKEN: holds characters that no token has.", "Look for a line break at its end."
        )
    return token


def _agent(agent_id: str) -> str:
    try:
        return str(uuid.UUID(agent_id))
    except ValueError:
        raise InvalidRequestError(
            f"{agent_id[:60]!r} is not an agent's id.", "Octopus' agents are named by UUIDs."
        ) from None


def _demand(response: httpx.Response, what: str, media_type: str) -> None:
    status = response.status_code
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise NotPermittedError(
            f"{what}: Octopus' API refused the token (HTTP {status}).",
            "Put a valid bearer token with a tenant_id claim into OCTOPUS_API_TOKEN.",
        )
    if status != httpx.codes.OK:
        raise StoreError(
            f"{what}: Octopus' API answered with HTTP {status}: {_beginning(response)}",
            "Look into the API's own log; compare OCTOPUS_API_URL with its address.",
            code="octopus_error",
            meaning=_MEANING,
        )
    given = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != media_type:
        raise StoreError(
            f"{what}: Octopus' API answered with {given[:60] or 'no type'!r} instead of {media_type}.",
            "Compare OCTOPUS_API_URL with the API's address; a proxy or a sign-in page may stand before it.",
            code="octopus_error",
            meaning=_MEANING,
        )


def _items(what: str, answer: bytes) -> list[dict[str, Any]]:
    """The found things: a JSON array of objects, or an object that holds one as ``items``."""
    try:
        value = json.loads(answer)
    except ValueError:
        value = None
    if isinstance(value, dict):
        value = value.get("items")
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise StoreError(
            f"{what}: Octopus' API answered with something else than a list of objects.",
            "Compare the version of Octopus with the one that this system knows.",
            code="octopus_error",
            meaning=_MEANING,
        )
    return value


def _too_long(what: str) -> StoreError:
    return StoreError(
        f"{what}: Octopus' API sent more than {MOST_BYTES} bytes or {MOST_EVENTS} events.",
        "Look into the API's own log.",
        code="octopus_error",
        meaning=_MEANING,
    )


def _unreachable(what: str, error: httpx.HTTPError) -> UnreachableError:
    return UnreachableError(
        f"{what} failed: Octopus' API does not answer ({_reason(error)}).",
        "See whether the API runs and whether OCTOPUS_API_URL is its address, then try again.",
        meaning=_MEANING,
    )


def _reason(error: httpx.HTTPError) -> str:
    """Why there was no answer, in words that hold no address and no header."""
    if isinstance(error, httpx.TimeoutException):
        return "it was silent for too long"
    if isinstance(error, httpx.ConnectError):
        return "no connection"
    return "the connection broke"


def _beginning(response: httpx.Response) -> str:
    """The first 300 characters of an answer, on one line, without the token should it be repeated there."""
    text = next(response.iter_raw(), b"").decode("utf-8", "replace")
    token = response.request.headers.get("authorization", "").removeprefix("Bearer ")
    return " ".join((text.replace(token, "***") if token else text).split())[:300]
