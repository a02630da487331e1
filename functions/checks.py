"""HTTP: look at the environment; reports of restores and checks, and what people say of them."""

from __future__ import annotations

import asyncio
from typing import Any

import azure.durable_functions as df
import azure.functions as func

from functions.engine import start
from functions.replies import answering, parsed, reply
from functions.system import system
from shared.model.checks import CheckRequest
from shared.model.runs import RunKind
from shared.model.verdicts import VerdictRequest
from shared.workflows import checks, looking, reports, watching

bp = df.Blueprint()

_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept",
}


@bp.route(route="checks", methods=["POST"])
@bp.durable_client_input(client_name="client")
@answering
async def start_check(req: func.HttpRequest, client: df.DurableFunctionsClient) -> func.HttpResponse:
    """Look at the environment: ``{"from_step": 1, "recovery_point": id or name, "checkdb": false}``."""
    request = parsed(req, CheckRequest)
    begun = await asyncio.to_thread(checks.start_check, system(), request)
    await start(client, begun.workflow, begun.payload, begun.instance_id)
    status_url = f"/api/checks/{begun.run_id}"
    return reply({"run_id": begun.run_id, "status_url": status_url}, 202, {"Location": status_url})


@bp.route(route="checks", methods=["GET"])
@answering
async def list_checks(req: func.HttpRequest) -> func.HttpResponse:
    """The newest looks at the environment."""
    return reply(await asyncio.to_thread(looking.runs, system(), RunKind.CHECK))


@bp.route(route="checks/{id}", methods=["GET"])
@answering
async def get_check(req: func.HttpRequest) -> func.HttpResponse:
    """A look at the environment: its steps, their evidence and, when it has ended, its report."""
    return reply(await asyncio.to_thread(watching.run, system(), RunKind.CHECK, req.route_params["id"]))


@bp.route(route="checks/{id}/report", methods=["GET"])
@answering
async def get_check_report(req: func.HttpRequest) -> func.HttpResponse:
    """The report of a check: a page for ``Accept: text/html``, else JSON."""
    return await _report(req, RunKind.CHECK)


@bp.route(route="restores/{id}/report", methods=["GET"])
@answering
async def get_restore_report(req: func.HttpRequest) -> func.HttpResponse:
    """The report of a restore: a page for ``Accept: text/html``, else JSON."""
    return await _report(req, RunKind.RESTORE)


@bp.route(route="checks/{id}/verdicts", methods=["POST"])
@answering
async def judge_check(req: func.HttpRequest) -> func.HttpResponse:
    """Say of an item of a check: ``{"item": 5, "verdict": "passed" | "failed", "by": …, "reason": …}``."""
    return await _judge(req, RunKind.CHECK)


@bp.route(route="restores/{id}/verdicts", methods=["POST"])
@answering
async def judge_restore(req: func.HttpRequest) -> func.HttpResponse:
    """Say of an item of a restore: ``{"item": 5, "verdict": "passed" | "failed", "by": …, "reason": …}``."""
    return await _judge(req, RunKind.RESTORE)


async def _report(req: func.HttpRequest, kind: RunKind) -> func.HttpResponse:
    wanted, page = req.route_params["id"], "text/html" in req.headers.get("Accept", "").lower()

    def read() -> Any:
        run = reports.find(system(), wanted, kind)
        return reports.as_html(system(), run) if page else reports.shown(system(), run)

    found = await asyncio.to_thread(read)
    if not page:
        return reply(found, headers={"Vary": "Accept"})
    return func.HttpResponse(found, mimetype="text/html", charset="utf-8", headers=_PAGE_HEADERS)


async def _judge(req: func.HttpRequest, kind: RunKind) -> func.HttpResponse:
    request, wanted = parsed(req, VerdictRequest), req.route_params["id"]

    def write() -> dict[str, Any]:
        run = reports.find(system(), wanted, kind)
        return reports.add_verdict(system(), run, request, "http").as_json()

    return reply(await asyncio.to_thread(write), 201)
