"""Drills: the timer, and HTTP to start, list and watch them."""

from __future__ import annotations

import asyncio

import azure.durable_functions as df
import azure.functions as func

from functions.backups import KEY_HEADER, accepted
from functions.replies import answering, parsed, reply
from functions.schedules import start_due
from functions.system import system
from shared.model.drills import DrillRequest
from shared.model.runs import RunKind
from shared.workflows import drills

bp = df.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="%DRILL_SCHEDULE%", run_on_startup=False, use_monitor=True)
@bp.durable_client_input(client_name="client")
async def drill(timer: func.TimerRequest, client: df.DurableFunctionsClient) -> None:
    """Drills, weekly, where DRILL_ENABLED is true."""
    await start_due("drill", client)


@bp.route(route="drills", methods=["POST"])
@bp.durable_client_input(client_name="client")
@answering
async def start_drill(req: func.HttpRequest, client: df.DurableFunctionsClient) -> func.HttpResponse:
    """Start a drill: ``{"recovery_point": id or name}``; of the newest complete one if left out."""
    request = parsed(req, DrillRequest)
    begun = await asyncio.to_thread(drills.start_drill, system(), request, req.headers.get(KEY_HEADER))
    return await accepted(client, begun, "drills")


@bp.route(route="drills", methods=["GET"])
@answering
async def list_drills(req: func.HttpRequest) -> func.HttpResponse:
    """The newest drills with their verdicts and figures, and what is to be said of them."""
    return reply(await asyncio.to_thread(drills.drills, system()))


@bp.route(route="drills/{id}", methods=["GET"])
@answering
async def get_drill(req: func.HttpRequest) -> func.HttpResponse:
    """A drill: its steps, progress, evidence and, when it has ended, its report."""
    runs = system().catalogue.runs
    run = await asyncio.to_thread(runs.get, RunKind.DRILL, req.route_params["id"])
    return reply((await asyncio.to_thread(runs.whole, run)).as_json())
