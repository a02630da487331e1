"""HTTP: plan, start, watch and cancel a restore."""

from __future__ import annotations

import asyncio

import azure.durable_functions as df
import azure.functions as func

from functions.engine import start
from functions.replies import answering, page, parsed, reply, wants_page
from functions.system import system
from shared.errors import CallerNotPermittedError
from shared.model.plans import CancelRequest, PlanRequest, StartRequest
from shared.model.runs import RunKind
from shared.reporting import plan_text, plans_html
from shared.workflows import cancelling, looking, plans, restores, watching

bp = df.Blueprint()

PLAN_BODY = 16 * 1024 * 1024
"""Bytes of the request of a plan, which can hold a migration script and a hundred thousand user ids."""


@bp.route(route="restores/plan", methods=["POST"])
@answering
async def plan_restore(req: func.HttpRequest) -> func.HttpResponse:
    """Plan a restore: one plan, or one per policy, each with its digest. Touches nothing.

    ``Accept: text/html`` is answered with a page that shows them beside one another.
    """
    request = parsed(req, PlanRequest, PLAN_BODY)
    made = await asyncio.to_thread(plans.make_plans, system(), request)
    if wants_page(req):
        return page(plans_html(made))
    return reply({"plans": [{**plan.as_json(), "text": plan_text(plan)} for plan in made]})


@bp.route(route="restores", methods=["POST"])
@bp.durable_client_input(client_name="client")
@answering
async def start_restore(req: func.HttpRequest, client: df.DurableFunctionsClient) -> func.HttpResponse:
    """Start a restore: ``{"plan_id": …, "digest": …, "fenced_by": …}``, the digest of the plan as read."""
    request = parsed(req, StartRequest)
    _demand_permitted()
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
    return reply(await asyncio.to_thread(watching.run, system(), RunKind.RESTORE, req.route_params["id"]))


@bp.route(route="restores/{id}/cancel", methods=["POST"])
@answering
async def cancel_restore(req: func.HttpRequest) -> func.HttpResponse:
    """Ask a restore to stop: ``{"by": "a name"}``. It stops at its next sign of progress; follow it."""
    request = parsed(req, CancelRequest)
    _demand_permitted()
    wanted = req.route_params["id"]
    run = await asyncio.to_thread(cancelling.cancel, system(), wanted, request.by)
    told = run.as_json()
    status_url = f"/api/restores/{run.id}"
    answer = {"run_id": run.id, "state": told["state"], "cancel": told["cancel"], "status_url": status_url}
    return reply(answer, 202, {"Location": status_url})


def _demand_permitted() -> None:
    if not system().settings.access.allow_key_restore:
        raise CallerNotPermittedError(
            "A function key carries no identity, so it may neither start nor cancel a restore.",
            "Set ALLOW_KEY_RESTORE to true, or use the command line with an identity of your own.",
            code="key_restore_not_allowed",
        )
