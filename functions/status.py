"""HTTP: health and status."""

from __future__ import annotations

import asyncio
import logging

import azure.durable_functions as df
import azure.functions as func

from functions.replies import answering, reply
from functions.system import system
from shared.errors import InvalidSettingsError
from shared.workflows import standing

bp = df.Blueprint()
log = logging.getLogger(__name__)


@bp.route(route="health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@answering
async def health(req: func.HttpRequest) -> func.HttpResponse:
    """Whether the app runs and its settings are sound. Tells a stranger nothing else."""
    try:
        system()
    except InvalidSettingsError as error:
        log.error("%s", error)  # noqa: TRY400 - the whole of it; a trace adds nothing
        return reply({"status": "unhealthy", "code": error.specific_code}, 503)
    return reply({"status": "healthy"})


@bp.route(route="status", methods=["GET"])
@answering
async def status(req: func.HttpRequest) -> func.HttpResponse:
    """How old what could be restored is, per store and as a pair, and what the timers did last."""
    return reply(await asyncio.to_thread(standing.status, system()))
