"""HTTP: start and list backups and recovery points."""

from __future__ import annotations

import asyncio

import azure.durable_functions as df
import azure.functions as func

from functions.engine import start
from functions.replies import answering, parsed, reply
from functions.system import system
from shared.errors import NotFoundError
from shared.model.requests import BackupRequest, PinRequest, PointRequest
from shared.model.runs import RunKind
from shared.workflows import looking, starts
from shared.workflows.runs import Start

bp = df.Blueprint()

KEY_HEADER = "Idempotency-Key"


async def accepted(client: df.DurableFunctionsClient, begun: Start, path: str) -> func.HttpResponse:
    """Start a run and answer 202, with where to watch it: ``/api/{path}/{run id}``."""
    await start(client, begun.workflow, begun.payload, begun.instance_id)
    status_url = f"/api/{path}/{begun.run_id}"
    return reply({"run_id": begun.run_id, "status_url": status_url}, 202, {"Location": status_url})


@bp.route(route="backups", methods=["POST"])
@bp.durable_client_input(client_name="client")
@answering
async def start_backup(req: func.HttpRequest, client: df.DurableFunctionsClient) -> func.HttpResponse:
    """Start a backup: ``{"kind": "full" | "differential" | "log", "databases": []}``."""
    request = parsed(req, BackupRequest)
    begun = await asyncio.to_thread(starts.start_backup, system(), request, req.headers.get(KEY_HEADER))
    return await accepted(client, begun, "backups")


@bp.route(route="backups", methods=["GET"])
@answering
async def list_backups(req: func.HttpRequest) -> func.HttpResponse:
    """The newest backups of every store."""
    return reply(await asyncio.to_thread(looking.backups, system()))


@bp.route(route="backups/{id}", methods=["GET"])
@answering
async def get_backup(req: func.HttpRequest) -> func.HttpResponse:
    """A run of a backup, or a committed backup, by its id."""
    wanted = req.route_params["id"]
    return reply(await asyncio.to_thread(looking.backup_or_run, system(), wanted))


@bp.route(route="recovery-points", methods=["POST"])
@bp.durable_client_input(client_name="client")
@answering
async def start_recovery_point(req: func.HttpRequest, client: df.DurableFunctionsClient) -> func.HttpResponse:
    """Make a recovery point: ``{"name": "before v7", "pinned": true}``, both being optional."""
    request = parsed(req, PointRequest)
    begun = await asyncio.to_thread(starts.start_point, system(), request, req.headers.get(KEY_HEADER))
    return await accepted(client, begun, "recovery-points")


@bp.route(route="recovery-points", methods=["GET"])
@answering
async def list_recovery_points(req: func.HttpRequest) -> func.HttpResponse:
    """The recovery points, newest first."""
    return reply(await asyncio.to_thread(looking.points, system()))


@bp.route(route="recovery-points/{id}", methods=["GET"])
@answering
async def get_recovery_point(req: func.HttpRequest) -> func.HttpResponse:
    """A recovery point by id or name, or the run that makes one."""
    wanted = req.route_params["id"]
    try:
        run = await asyncio.to_thread(system().catalogue.runs.get, RunKind.RECOVERY_POINT, wanted)
    except NotFoundError:
        point = await asyncio.to_thread(system().catalogue.points.get, wanted)
        return reply(point.as_json())
    return reply(run.as_json())


@bp.route(route="recovery-points/{id}/pin", methods=["POST"])
@answering
async def pin_recovery_point(req: func.HttpRequest) -> func.HttpResponse:
    """Keep a recovery point whatever the retention says: ``{"pinned": true}``; or no longer: ``false``."""
    request = parsed(req, PinRequest)
    wanted = req.route_params["id"]
    return reply(await asyncio.to_thread(looking.pin, system(), wanted, pinned=request.pinned))
