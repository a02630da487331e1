"""A small function app with one of everything that the functions host serves."""

import json
import logging
import os
import time

import azure.durable_functions as df
import azure.functions as func

from functions import engine
from tests.local.functions_host.app import sample

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)
workflows = df.Blueprint()
for workflow in sample.WORKFLOWS:
    workflows.orchestration_trigger(context_name="context")(engine.adapted(workflow))
for activity_name, activity in sample.ACTIVITIES.items():
    workflows.activity_trigger(input_name="payload")(engine.activity_function(activity_name, activity))
app.register_functions(workflows)

ticks: list[float] = []


def reply(value: object, status: int = 200) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(value), status_code=status, mimetype="application/json")


@app.route(route="health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def health(req: func.HttpRequest) -> func.HttpResponse:
    return reply({"ok": True, "sees keys": [name for name in os.environ if name.endswith("_KEY")]})


@app.route(route="echo/{name}/{number:int?}", methods=["GET", "POST"])
def echo(req: func.HttpRequest) -> func.HttpResponse:
    answer = reply(
        {"route": dict(req.route_params), "query": dict(req.params), "body": req.get_body().decode()}
    )
    answer.headers.add("Set-Cookie", "seen=1; Path=/; HttpOnly")
    return answer


@app.route(route="admin-only", methods=["GET"], auth_level=func.AuthLevel.ADMIN)
def admin_only(req: func.HttpRequest) -> func.HttpResponse:
    return reply({})


@app.route(route="boom", methods=["GET"])
def boom(req: func.HttpRequest) -> func.HttpResponse:
    raise KeyError("the text of an exception")


@app.route(route="ticks", methods=["GET"])
def get_ticks(req: func.HttpRequest) -> func.HttpResponse:
    return reply(ticks)


@app.timer_trigger(schedule="%TICK_SCHEDULE%", arg_name="timer")
def tick(timer: func.TimerRequest) -> None:
    ticks.append(time.time())
    logging.getLogger("app").info("tick")
    time.sleep(float(os.environ.get("TICK_SECONDS", "0")))


@app.timer_trigger(schedule="0 0 0 1 1 *", arg_name="timer")
def yearly(timer: func.TimerRequest) -> None:
    ticks.append(-1.0)


@app.route(route="workflows/{name}/{id}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start_workflow(req: func.HttpRequest, client: df.DurableFunctionsClient) -> func.HttpResponse:
    began = await engine.start(client, req.route_params["name"], req.get_json(), req.route_params["id"])
    return reply({"began": began}, 202 if began else 409)


@app.route(route="workflows/{id}", methods=["GET"])
@app.durable_client_input(client_name="client")
async def watch_workflow(req: func.HttpRequest, client: df.DurableFunctionsClient) -> func.HttpResponse:
    state = await client.get_orchestration_state(req.route_params["id"])
    if state is None:
        return reply({}, 404)
    return reply(
        {
            "status": state.runtime_status.name,
            "output": json.loads(state.serialized_output or "null"),
            "custom": json.loads(state.serialized_custom_status or "null"),
            "failure": state.failure_details.message if state.failure_details else None,
        }
    )


@app.route(route="workflows/{id}/events/{event}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def raise_event(req: func.HttpRequest, client: df.DurableFunctionsClient) -> func.HttpResponse:
    await client.raise_orchestration_event(
        req.route_params["id"], req.route_params["event"], data=req.get_json()
    )
    return reply({}, 202)
