"""What callers send: typed bodies, bounded in size, and one clear error for each that is wrong."""

from __future__ import annotations

import uuid
from typing import Annotated

from pydantic import Field, StringConstraints
from starlette.datastructures import UploadFile
from starlette.requests import Request as HttpRequest

from local.octopus.knowledge import Source
from shared.model.base import Request

BODY_BYTES = 4 * 1024 * 1024
"""The largest body that is read, documents included."""


class ApiError(Exception):
    """A request that cannot be served: HTTP status, stable code, one sentence for the caller."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
TopK = Annotated[int, Field(ge=1, le=50)]


class NewAgent(Request):
    """Body of ``POST /api/octopus/agents``."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    prompt: Words = "Answer from your documents."
    category: str = ""


class EpisodeQuestion(Request):
    """Body of ``POST /api/octopus/episodes/search``."""

    query: Words
    agentId: uuid.UUID  # noqa: N815  # the product's spelling
    topK: TopK = 5  # noqa: N815  # likewise


class KnowledgeQuestion(Request):
    """Body of ``POST /api/octopus/knowledge/{agentId}/search``."""

    query: Words
    topK: TopK = 5  # noqa: N815  # the product's spelling


class ChatMessage(Request):
    """Body of ``POST /api/chat/{sessionId}/send``."""

    agentId: uuid.UUID  # noqa: N815  # the product's spelling
    message: Words


async def body[T: Request](request: HttpRequest, model: type[T]) -> T:
    """The request's JSON as ``model``.

    Raises:
        ApiError: it has no length, or is too large.
        pydantic.ValidationError: it is not what the model says.
    """
    _bounded(request)
    return model.model_validate_json(await request.body())


async def document(request: HttpRequest) -> Source:
    """The text that was uploaded as the multipart field ``file``, with the optional field ``category``.

    Raises:
        ApiError: no such field, no text, no ``waitForIndexing=true``, too large.
    """
    _bounded(request)
    async with request.form(max_files=1, max_fields=10) as form:
        upload = form.get("file")
        wait = form.get("waitForIndexing", request.query_params.get("waitForIndexing"))
        category = form.get("category", "")
        if not isinstance(upload, UploadFile) or not upload.filename or not isinstance(category, str):
            raise ApiError(
                400, "bad_request", "Send the document as the multipart field 'file', with a name."
            )
        if wait != "true":
            raise ApiError(400, "bad_request", "Only waitForIndexing=true is known here.")
        try:
            text = (await upload.read()).decode()
        except UnicodeDecodeError:
            raise ApiError(400, "bad_request", "Only text in UTF-8 can be indexed here.") from None
        return Source(upload.filename, category, text)


def _bounded(request: HttpRequest) -> None:
    length = request.headers.get("content-length", "")
    if not length.isdigit():
        raise ApiError(411, "length_required", "The request needs a Content-Length.")
    if int(length) > BODY_BYTES:
        raise ApiError(413, "too_large", f"A request has at most {BODY_BYTES} bytes.")


def number(request: HttpRequest, name: str, default: int, largest: int) -> int:
    """A number from the query string, from 1 to ``largest``.

    Raises:
        ApiError: it is something else.
    """
    given = request.query_params.get(name, str(default))
    if not (given.isascii() and given.isdigit() and len(given) < 10 and 1 <= int(given) <= largest):
        raise ApiError(400, "bad_request", f"{name} is a number from 1 to {largest}.")
    return int(given)


def agent_id(given: str) -> uuid.UUID:
    """An agent's id from a path or a query string.

    Raises:
        ApiError: it is no UUID.
    """
    try:
        return uuid.UUID(given)
    except ValueError:
        raise ApiError(400, "bad_request", "An agent id is a UUID.") from None
