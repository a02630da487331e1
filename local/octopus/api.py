"""The product's routes that a restore is judged by, and two of our own to see and add agents.

Every answer but the chat's stream is JSON; an error is ``{"error": {"code", "message"}}``.
"""

from __future__ import annotations

import hmac
import uuid

import pyodbc
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from local.octopus import chat, embedding, rows
from local.octopus.failures import EXPECTED, failed, reply
from local.octopus.memory import Memory, iso
from local.octopus.requests import (
    ApiError,
    ChatMessage,
    EpisodeQuestion,
    KnowledgeQuestion,
    NewAgent,
    agent_id,
    body,
    document,
    number,
)
from local.octopus.rows import Agent, Episode

PAGE_SIZE = 20
LARGEST_PAGE = 100
LONGEST_SESSION = 100


class Routes:
    """The handlers, with the memory that they work on."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def health(self, _: HttpRequest) -> Response:
        """200 when both stores answer and the tables are there, else 503 with what is wrong."""
        problems = await run_in_threadpool(self._memory.problems)
        if problems:
            return JSONResponse({"status": "Unhealthy", "problems": problems}, 503)
        return JSONResponse({"status": "Healthy", "problems": []})

    async def list_agents(self, _: HttpRequest) -> Response:
        """Every agent."""
        found = await run_in_threadpool(self._memory.agents)
        return JSONResponse({"items": [_shown_agent(one) for one in found]})

    async def add_agent(self, request: HttpRequest) -> Response:
        """A new agent; 409 when there is one of that name."""
        wanted = await body(request, NewAgent)
        try:
            agent = await run_in_threadpool(
                self._memory.add_agent, wanted.name, wanted.prompt, wanted.category
            )
        except pyodbc.IntegrityError:
            raise ApiError(409, "agent_exists", f"There is an agent {wanted.name!r} already.") from None
        return JSONResponse(_shown_agent(agent), 201)

    async def add_document(self, request: HttpRequest) -> Response:
        """Index an uploaded text; replies when it can be searched."""
        agent = await self._agent(agent_id(request.path_params["agent_id"]))
        source = await document(request)
        (indexed,) = await run_in_threadpool(self._memory.index, agent, [source])
        if not indexed.chunks:
            raise ApiError(400, "empty_document", "The document holds no words, so nothing was indexed.")
        return JSONResponse(
            {
                "documentId": str(indexed.document_id),
                "chunkCount": indexed.chunks,
                "status": "Indexed",
                "indexedAt": iso(indexed.at),
            }
        )

    async def search_knowledge(self, request: HttpRequest) -> Response:
        """The chunks nearest to a query."""
        question = await body(request, KnowledgeQuestion)
        agent = await self._agent(agent_id(request.path_params["agent_id"]))
        hits = await run_in_threadpool(self._memory.search, agent, question.query, question.topK)
        return JSONResponse({"items": [chat.shown_hit(hit) for hit in hits]})

    async def list_episodes(self, request: HttpRequest) -> Response:
        """A page of episodes, newest first."""
        page = number(request, "page", 1, 1_000_000)
        size = number(request, "pageSize", PAGE_SIZE, LARGEST_PAGE)
        given = request.query_params.get("agentId")
        wanted = agent_id(given) if given else None

        def read() -> tuple[int, list[Episode]]:
            with self._memory.unit_of_work() as connection:
                total = rows.count_episodes(connection, wanted)
                return total, rows.episodes(connection, wanted, (page - 1) * size, size)

        total, found = await run_in_threadpool(read)
        return JSONResponse(
            {
                "items": [_shown_episode(one) for one in found],
                "page": page,
                "pageSize": size,
                "totalCount": total,
            }
        )

    async def search_episodes(self, request: HttpRequest) -> Response:
        """The episodes that resemble a query, with their messages."""
        question = await body(request, EpisodeQuestion)
        agent = await self._agent(question.agentId)
        found = await run_in_threadpool(self._memory.recall, agent, question.query, question.topK)
        return JSONResponse({"items": [chat.shown_episode(one) for one in found]})

    async def send(self, request: HttpRequest) -> Response:
        """One turn of a conversation, streamed as events."""
        wanted = await body(request, ChatMessage)
        session = request.path_params["session_id"]
        if len(session) > LONGEST_SESSION:
            raise ApiError(400, "bad_request", "A session id is longer than 100 characters.")
        agent = await self._agent(wanted.agentId)
        embedding.embed(wanted.message)  # refused before the stream begins
        events = chat.turn(self._memory, agent, session, wanted.message)
        stream = (event.encoded() for event in events)
        return StreamingResponse(
            stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    async def _agent(self, wanted: uuid.UUID) -> Agent:
        agent = await run_in_threadpool(self._memory.agent, wanted)
        if agent is None:
            raise ApiError(404, "agent_not_found", f"There is no agent {wanted}.")
        return agent


def application(memory: Memory, token: str | None) -> Starlette:
    """The web application; with a token, everything but ``/health`` demands it as bearer."""
    routes = Routes(memory)
    return Starlette(
        routes=[
            Route("/health", routes.health),
            Route("/api/octopus/agents", routes.list_agents),
            Route("/api/octopus/agents", routes.add_agent, methods=["POST"]),
            Route("/api/octopus/knowledge/{agent_id}/documents", routes.add_document, methods=["POST"]),
            Route("/api/octopus/knowledge/{agent_id}/search", routes.search_knowledge, methods=["POST"]),
            Route("/api/octopus/episodes", routes.list_episodes),
            Route("/api/octopus/episodes/search", routes.search_episodes, methods=["POST"]),
            Route("/api/chat/{session_id}/send", routes.send, methods=["POST"]),
        ],
        middleware=[Middleware(_BearerToken, token=token)] if token else [],
        exception_handlers=dict.fromkeys(EXPECTED, failed),
    )


class _BearerToken:
    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/health":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                answer = reply(401, "unauthorized", "A valid bearer token is needed.")
                answer.headers["WWW-Authenticate"] = "Bearer"
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _shown_agent(agent: Agent) -> dict[str, object]:
    return {
        "agentId": str(agent.id),
        "name": agent.name,
        "category": agent.category,
        "createdAt": iso(agent.created_at),
    }


def _shown_episode(episode: Episode) -> dict[str, object]:
    return {
        "episodeId": str(episode.id),
        "agentId": str(episode.agent_id),
        "sessionId": episode.session,
        "userId": episode.user,
        "summary": episode.summary,
        "createdAt": iso(episode.created_at),
    }
