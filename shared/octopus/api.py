"""The product's own API, as far as the last two steps of the recovery checklist need it.

Step 4 asks for its health, step 5 holds a conversation and searches. The product's documentation shows the
chat's route and its events; it leaves open how a session is opened and how the searches answer. So the paths
are settings, and these are assumptions: a session that nobody opened is opened by its first message; a search
takes ``{query, topK}`` (in episodes also ``agentId``) and answers as ``items_of`` reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from shared.clock import Clock, NewId, new_ulid
from shared.errors import InvalidSettingsError, NotPermittedError, StoreError
from shared.octopus.api_requests import (
    MEANING,
    agent_of_request,
    headers_of,
    items_of,
    path_of,
    reason,
    token_of,
    too_late,
    too_long,
    unreachable,
)
from shared.octopus.event_stream import events
from shared.settings import OctopusSettings

HEALTH_SECONDS = 10.0
SEARCH_SECONDS = 30.0

MOST_BYTES = 4 * 1024 * 1024
"""An answer that is longer is not a healthy one, and is not read on."""

MOST_EVENTS = 20_000
TOP = 5


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
        cut_off: the stream was still open at the deadline, and was given up.
    """

    status: int
    events: list[str]
    text: str
    tokens: int
    seconds: float
    turn_id: str | None
    cut_off: bool = False

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

    def health(self, seconds: float = HEALTH_SECONDS) -> HealthEvidence:
        """Ask the health path once, without the token. An unhealthy or missing answer is evidence, too.

        Args:
            seconds: how long an answer is waited for.

        Raises:
            InvalidSettingsError: there is no address, or the path does not begin with a slash.
        """
        path = path_of("OCTOPUS_HEALTH_PATH", self._settings.health_path)
        began = self._clock.monotonic()
        status: int | None = None
        try:
            with self._client(seconds) as http, http.stream("GET", path) as response:
                status, detail = response.status_code, self._beginning(response)
        except httpx.HTTPError as error:
            detail = f"No answer: {reason(error)}."
        return HealthEvidence(status, round((self._clock.monotonic() - began) * 1000), detail)

    def converse(self, agent_id: str, message: str) -> Conversation:
        """Send one message to an agent in a new session and read the answer to its end.

        A stream that does not end within OCTOPUS_CONVERSATION_SECONDS is cut off, which is evidence; one that
        falls silent late may take twice as long.

        Raises:
            InvalidSettingsError: there is no address, or a path or header of the settings cannot be used.
            InvalidRequestError: the agent's id is no UUID.
            UnreachableError: no connection, or it broke.
            NotPermittedError: the token was refused.
            StoreError: any other answer than a stream of events.
        """
        turn = _Turn()
        agent = agent_of_request(agent_id)
        session = quote(f"octopus-backup-{self._new_id()}", safe="")
        path = path_of("OCTOPUS_CHAT_PATH", self._settings.chat_path, session=session)
        began, limit = self._clock.monotonic(), float(self._settings.conversation_seconds)
        body = {"agentId": agent, "message": message}
        headers = {"Accept": "text/event-stream"}
        what = "The test conversation"
        try:
            with (
                self._client(limit, authorised=True) as http,
                http.stream("POST", path, json=body, headers=headers) as response,
            ):
                self._demand(response, what, "text/event-stream")
                turn.status = response.status_code
                for name, data in events(self._bounded(response, what, limit)):
                    if turn.hear(name, data, what):
                        break
        except (httpx.ReadTimeout, _TooLateError):
            if turn.status is None:
                raise too_late(what, limit) from None
            turn.cut_off = True
        except httpx.HTTPError as error:
            raise unreachable(what, error) from None
        return turn.ended(self._clock.monotonic() - began)

    def search_episodes(self, agent_id: str, query: str) -> list[dict[str, Any]]:
        """The episodes of an agent that answer a query best, as the API shows them.

        Raises:
            BackupSystemError: as ``converse``.
        """
        body = {"agentId": agent_of_request(agent_id), "query": query, "topK": TOP}
        path = path_of(
            "OCTOPUS_EPISODE_SEARCH_PATH",
            self._settings.episode_search_path,
            agent=agent_of_request(agent_id),
        )
        return self._search("The search in episodes", path, body)

    def search_knowledge(self, agent_id: str, query: str) -> list[dict[str, Any]]:
        """The chunks of an agent's documents that answer a query best, as the API shows them.

        Raises:
            BackupSystemError: as ``converse``.
        """
        given = self._settings.knowledge_search_path
        path = path_of("OCTOPUS_KNOWLEDGE_SEARCH_PATH", given, agent=agent_of_request(agent_id))
        return self._search("The semantic search", path, {"query": query, "topK": TOP})

    def _search(self, what: str, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        try:
            with (
                self._client(SEARCH_SECONDS, authorised=True) as http,
                http.stream("POST", path, json=body) as response,
            ):
                self._demand(response, what, "application/json")
                answer = b"".join(self._bounded(response, what, SEARCH_SECONDS))
        except _TooLateError:
            raise too_late(what, SEARCH_SECONDS) from None
        except httpx.HTTPError as error:
            raise unreachable(what, error) from None
        return items_of(what, answer)

    def _bounded(self, response: httpx.Response, what: str, seconds: float) -> Iterator[bytes]:
        """The answer's bytes, until they are too many or too late."""
        size, deadline = 0, self._clock.monotonic() + seconds
        for chunk in response.iter_raw():
            size += len(chunk)
            if size > MOST_BYTES:
                raise too_long(what, f"{MOST_BYTES} bytes")
            if self._clock.monotonic() > deadline:
                raise _TooLateError
            yield chunk

    def _client(self, seconds: float, *, authorised: bool = False) -> httpx.Client:
        url = self._settings.api_url
        if url is None:
            raise InvalidSettingsError(
                "OCTOPUS_API_URL: is not set, so Octopus cannot be asked "
                "(example: https://octopus.example.net).",
                "Set it in the app settings, or leave the checklist's steps 4 and 5 out.",
            )
        headers = headers_of(self._settings.api_headers)
        headers["Accept-Encoding"] = "identity"  # so that the bytes that are counted are the answer's
        if authorised and self._settings.api_token is not None:
            headers["Authorization"] = f"Bearer {token_of(self._settings.api_token)}"
        try:
            return httpx.Client(base_url=url, headers=headers, timeout=seconds, follow_redirects=False)
        except httpx.InvalidURL:
            raise InvalidSettingsError(f"OCTOPUS_API_URL: {url!r} is not an address.") from None

    def _demand(self, response: httpx.Response, what: str, media_type: str) -> None:
        status = response.status_code
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise NotPermittedError(
                f"{what}: Octopus' API refused the token (HTTP {status}).",
                "Put a valid bearer token with a tenant_id claim into OCTOPUS_API_TOKEN.",
            )
        if status != httpx.codes.OK:
            raise StoreError(
                f"{what}: Octopus' API answered with HTTP {status}: {self._beginning(response)}",
                "Look into the API's own log; compare OCTOPUS_API_URL with its address.",
                code="octopus_error",
                meaning=MEANING,
            )
        given = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if given != media_type:
            raise StoreError(
                f"{what}: Octopus' API answered with {given[:60] or 'no type'!r} instead of {media_type}.",
                "Compare OCTOPUS_API_URL with the API's address; a proxy or sign-in page may stand in front.",
                code="octopus_error",
                meaning=MEANING,
            )

    def _beginning(self, response: httpx.Response) -> str:
        """The first 300 characters of an answer, on one line, without what we sent and nobody may see."""
        text = next(response.iter_raw(), b"").decode("utf-8", "replace")
        token = self._settings.api_token
        secrets = [token.get_secret_value().strip() if token else ""]
        secrets += headers_of(self._settings.api_headers).values()
        for secret in sorted(filter(None, secrets), key=len, reverse=True):
            text = text.replace(secret, "***")
        return " ".join(text.split())[:300]


@dataclass
class _Turn:
    """A turn as it comes in."""

    status: int | None = None
    names: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    turn_id: str | None = None
    cut_off: bool = False

    def hear(self, name: str, data: dict[str, Any], what: str) -> bool:
        """Take one event; whether it was the last."""
        self.names.append(name)
        if len(self.names) > MOST_EVENTS:
            raise too_long(what, f"{MOST_EVENTS} events")
        if name == "token":
            self.said.append(str(data.get("text", "")))
        elif name == "turn_end":
            self.turn_id = str(data.get("turn_id", ""))
        return name == "turn_end"

    def ended(self, seconds: float) -> Conversation:
        """The turn when no more comes."""
        status = self.status or 0
        return Conversation(
            status, self.names, "".join(self.said), len(self.said), seconds, self.turn_id, self.cut_off
        )


class _TooLateError(Exception):
    """An answer that was still coming in at its deadline."""
