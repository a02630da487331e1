"""What went wrong, as the API's callers see it: a status and ``{"error": {"code", "message"}}``."""

from __future__ import annotations

import httpx
import pyodbc
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.octopus.embedding import NoWordsError
from local.octopus.memory import reason
from local.octopus.requests import ApiError

EXPECTED = (ApiError, HTTPException, ValidationError, NoWordsError, pyodbc.Error, httpx.HTTPError)
"""Everything that ``failed`` has an answer to."""

STORE_FAILED = 503


def reply(status: int, code: str, message: str) -> JSONResponse:
    """An error as the API writes it."""
    return JSONResponse({"error": {"code": code, "message": message}}, status)


def failed(_: Request, error: Exception) -> Response:
    """The reply to a request that ended in one of the expected errors; any other is raised again."""
    match error:
        case ApiError():
            return reply(error.status, error.code, error.message)
        case HTTPException():
            return reply(error.status_code, "http_error", str(error.detail))
        case ValidationError():
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the body"
            return reply(400, "bad_request", f"{where}: {first['msg']}")
        case NoWordsError():
            return reply(400, "no_words", str(error))
        case pyodbc.Error():
            return reply(STORE_FAILED, "sqlserver_failed", f"SQL Server: {reason(error)}")
        case httpx.HTTPError():
            return reply(STORE_FAILED, "qdrant_failed", f"Qdrant: {reason(error)}")
    raise error
