"""HTTP: plan, start and watch a restore."""

from __future__ import annotations

import asyncio

import azure.durable_functions as df
import azure.functions as func

from functions.engine import start
from functions.replies import answering, parsed, reply
from functions.system import system
from shared.errors import CallerNotPermittedError
from shared.model.plans import PlanRequest, StartRequest
from shared.model.runs import RunKind
from shared.reporting import plan_text
from shared.workflows import looking, plans, restores

bp = df.Blueprint()


@bp.route(route="restores/plan", methods=["POST"])
@answering
async def plan_restore(req: func.HttpRequest) -> func.HttpResponse:
    """Plan a restore: one plan, or one per policy, each with its digest. Touches nothing."""
    request = parsed(req, PlanRequest)
    made = await asyncio.to_thread(plans.make_plans, system(), request)
    return reply({"plans": [{**plan.as_json(), "text": plan_text(plan)} for plan in made]})


@bp.route(route="restores", methods=["POST"])
@bp.durable_client_input(client_name="client")
@answering
async def start_restore(req: func.HttpRequest, client: df.DurableFunctionsClient) -> func.HttpResponse:
    """Start a restore: ``{"plan_id": …, "digest": …}``, the digest being that of the plan that was read."""
    request = parsed(req, StartRequest)
    if not system().settings.access.allow_key_restore:
        raise CallerNotPermittedError(
            "A function key carries no identity, so it may not start a restore.",
            "Set ALLOW_KEY_RESTORE to true, or use the command line with an identity of your own.",
            code="key_restore_not_allowed",
        )
    begun = await asyncio.to_thread(restores.start_restore, system(), request)
    await start(client, begun.workflow, begun.payload, begun.instance_id)
    status_url = f"/api/restores/{begun.run_id}"
    return reply({"run_id": begun.run_id, "status_url": status_url}, 202, {"Location": status_url})


@bp.route(route="restores", methods=["GET"])
@answering
async def list_restores(req: func.HttpRequest) -> func.HttpResponse:
    """The newest restores."""
    return reply(await asyncio.to_thread(looking.runs, system(), RunKind.RESTORE))


@bp.route(route="restores/{id}", methods=["GET"])
@answering
async def get_restore(req: func.HttpRequest) -> func.HttpResponse:
    """A restore: its steps, progress, evidence and, when it has ended, its report."""
    wanted = req.route_params["id"]
    run = await asyncio.to_thread(system().catalogue.runs.get, RunKind.RESTORE, wanted)
    return reply(run.as_json())
