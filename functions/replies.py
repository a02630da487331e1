"""How a request is read, and how its answer is shaped: JSON, and for errors RFC 9457 problem details."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import azure.functions as func
from pydantic import BaseModel, ValidationError

from shared.errors import (
    BackupSystemError,
    CallerNotPermittedError,
    InvalidRequestError,
    InvalidSettingsError,
    NotFoundError,
    NotPermittedError,
    RefusedError,
    StorageError,
    StoreError,
    UnreachableError,
)

MAX_BODY = 64 * 1024
"""Bytes of a request's body, where the door says nothing else; honest requests stay far below."""

_STATUS: tuple[tuple[type[BackupSystemError], int], ...] = (
    (NotFoundError, 404),
    (InvalidSettingsError, 500),
    (InvalidRequestError, 400),
    (CallerNotPermittedError, 403),
    (NotPermittedError, 502),  # our own identity lacks a right: not the caller's fault
    (RefusedError, 409),
    (UnreachableError, 503),
    (StoreError, 502),
    (StorageError, 502),
)

log = logging.getLogger(__name__)


def reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> func.HttpResponse:
    """An answer in JSON."""
    return func.HttpResponse(
        json.dumps(value, indent=2, ensure_ascii=False),
        status_code=status,
        mimetype="application/json",
        headers=dict(headers or {}),
    )


def page(text: str) -> func.HttpResponse:
    """An answer as a page, which names of databases and collections, hostile input, are part of."""
    headers = {
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Vary": "Accept",
    }
    return func.HttpResponse(text, mimetype="text/html", charset="utf-8", headers=headers)


def problem(error: BackupSystemError) -> func.HttpResponse:
    """An error as problem details: code, what happened, what it means, what to do."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    details = {
        "type": f"urn:octopus-backup:{error.specific_code}",
        "title": error.message,
        "status": status,
        **error.as_dict(),
    }
    return func.HttpResponse(
        json.dumps(details, indent=2, ensure_ascii=False),
        status_code=status,
        mimetype="application/problem+json",
    )


def parsed[T: BaseModel](request: func.HttpRequest, model: type[T], most: int = MAX_BODY) -> T:
    """The request's body as a typed request.

    Args:
        request: the request.
        model: what its body should be.
        most: bytes of the body that are read.

    Raises:
        InvalidRequestError: it is too large, not JSON, or not of that shape; says where.
    """
    body = request.get_body() or b"{}"
    if len(body) > most:
        raise InvalidRequestError(
            f"The body measures {len(body):,} bytes; at most {most:,} are read.", code="body_too_large"
        )
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)
        if first[0]["type"] == "json_invalid":
            raise InvalidRequestError(
                "The body is not JSON.", f"Send one JSON object. {first[0]['msg']}", code="malformed_json"
            ) from None
        where = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in first[:5])
        raise InvalidRequestError(
            f"The request is not understood: {where}.",
            "docs/http.md shows every request.",
            code="invalid_request",
        ) from None


def wants_page(request: func.HttpRequest) -> bool:
    """Whether the caller accepts a page for a browser, and does not ask for JSON before it."""
    accepted = str(request.headers.get("Accept", "")).lower()
    html, data = accepted.find("text/html"), accepted.find("application/json")
    return html >= 0 and (data < 0 or html < data)


type Door = Callable[..., Awaitable[func.HttpResponse]]


def answering(door: Door) -> Door:
    """Let a door answer our errors as problem details, and anything unforeseen without its text."""

    @functools.wraps(door)
    async def wrapped(*args: Any, **kwargs: Any) -> func.HttpResponse:
        try:
            return await door(*args, **kwargs)
        except BackupSystemError as error:
            return problem(error)
        except Exception as error:
            log.exception("%s failed", door.__name__)
            unforeseen = BackupSystemError(
                f"Something went wrong that nobody foresaw ({type(error).__name__}).",
                "The app's log has the details.",
                code="unexpected",
            )
            return problem(unforeseen)

    return wrapped
