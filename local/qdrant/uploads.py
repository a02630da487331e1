"""Upload of a snapshot as a form, and recovery from it."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from local.qdrant import recovery, snapshots
from local.qdrant.answers import VARY, QdrantError, accepted, disk_failed, flag, success
from local.qdrant.node import Node
from local.qdrant.registry import valid_name
from local.qdrant.server import needs_manage

FIELD = "snapshot"


def upload_route(node: Node) -> Route:
    """``POST /collections/{c}/snapshots/upload``."""

    async def endpoint(request: Request) -> Response:
        started = time.perf_counter()
        try:
            needs_manage(node.keys, request)
            return await _upload(node, request, started)
        except QdrantError as error:
            return error.response(time.perf_counter() - started)
        except OSError as error:
            return disk_failed(error).response(time.perf_counter() - started)

    return Route("/collections/{collection}/snapshots/upload", endpoint, methods=["POST"])


async def _upload(node: Node, request: Request, started: float) -> Response:
    if not request.headers.get("content-type", "").startswith("multipart/"):
        problem = "Parsed Content-Type did not have 'multipart' top-level media type"
        return PlainTextResponse(problem, 415, {"vary": VARY})
    name = valid_name(request.path_params["collection"])
    checksum = recovery.checked(request.query_params.get("checksum"), "query parameters")
    _known_priority(request.query_params.get("priority"))
    async with request.form() as form:  # written to a temporary file while it comes in
        sent = form.get(FIELD)
        if sent is None:
            return PlainTextResponse(f"Required field is missing: {FIELD}", 400, {"vary": VARY})
        if not isinstance(sent, UploadFile):
            problem = f"An error occurred processing field: {FIELD}"
            return PlainTextResponse(problem, 400, {"vary": VARY})
        received = await run_in_threadpool(_keep, node, sent)
        file_name = Path(sent.filename or "").name or "snapshot"
    if flag(request.query_params, "wait", True):
        result = await run_in_threadpool(_recover, node, name, received, file_name, checksum)
        return success(result, time.perf_counter() - started)
    node.background.start(lambda: _recover(node, name, received, file_name, checksum))
    return accepted(time.perf_counter() - started)


def _known_priority(priority: str | None) -> None:
    if priority not in (None, *recovery.PRIORITIES):
        expected = ", ".join(f"`{word}`" for word in recovery.PRIORITIES)
        problem = f"unknown variant `{priority}`, expected one of {expected}"
        raise QdrantError(400, f"Deserialize error in query parameters: {problem}")


def _keep(node: Node, sent: UploadFile) -> Path:
    folder = node.registry.snapshots / "tmp" / "upload"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        shutil.copyfileobj(sent.file, file)
    return Path(file.name)


def _recover(node: Node, name: str, received: Path, file_name: str, checksum: str | None) -> bool:
    """Recover from an uploaded file, which stays among the snapshots of the collection, whatever comes.

    Only a wrong checksum removes it. The two words of that error are the wrong way round, as on the server.
    """
    found = snapshots.sha256(received)
    if checksum not in (None, found):
        received.unlink()
        raise QdrantError(400, f"Checksum mismatch: expected {found}, actual {checksum}")
    folder = node.registry.snapshots / node.registry.resolve(name)
    folder.mkdir(exist_ok=True)
    return recovery.from_file(node, name, received.rename(folder / file_name))
