"""What a real deployment would refuse, the local host refuses too, with one sentence for each reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from local import functions_host
from local.processes import ChildFailedError
from tests.local.functions_host.hosted import APP

HEAD = """
import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)
"""


def write(folder: Path, body: str, host_json: str | None = '{"version": "2.0"}') -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "function_app.py").write_text(HEAD + body)
    if host_json is not None:
        (folder / "host.json").write_text(host_json)
    return folder


def http(name: str, route: str, methods: str = '["GET"]') -> str:
    return f"""
@app.function_name("{name}")
@app.route(route="{route}", methods={methods})
def {name.replace("-", "_").lstrip("1_")}(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("")
"""


def timer(name: str, schedule: str) -> str:
    return f"""
@app.timer_trigger(schedule="{schedule}", arg_name="timer")
def {name}(timer: func.TimerRequest) -> None:
    pass
"""


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (timer("a", "%NO_SUCH_SETTING%"), "Function a: its schedule needs the app setting NO_SUCH_SETTING"),
        (timer("a", "* * * * *"), "Function a: its schedule '* * * * *' is no six-field NCRONTAB"),
        (timer("a", "99 * * * * *"), "Function a: its schedule '99 * * * * *' is no six-field NCRONTAB"),
        (
            http("a", "x/{id}") + http("b", "X/{name}"),
            "Function b: a has the route GET /api/X/{name} already",
        ),
        (http("1-bad", "x"), "Function 1-bad: its name must begin with a letter"),
        (http("a", "x") + http("A", "y"), "Function A: a has the same name but for its case"),
        (http("a", "x", '["FETCH"]'), "FETCH"),
        (
            """
@app.queue_trigger(arg_name="msg", queue_name="jobs", connection="NO_SUCH_CONNECTION")
def a(msg: func.QueueMessage) -> None:
    pass
""",
            "Function a: this host does not serve a queueTrigger.",
        ),
        ("raise ImportError('no such thing')", "ImportError: no such thing"),
        ("app = None", "Could not find top level function app"),
    ],
)
def test_each_reason_is_a_sentence(tmp_path: Path, body: str, expected: str) -> None:
    _, problems = functions_host.index_app(write(tmp_path / "app", body))
    assert expected in "\n".join(problems)


@pytest.mark.parametrize(
    ("host_json", "expected"),
    [
        (None, "host.json is missing"),
        ("{", "host.json is not JSON"),
        ("{}", 'must say "version": "2.0"'),
        (
            json.dumps({"version": "2.0", "extensions": {"http": {"routePrefix": ""}}}),
            "the route /admin/x belongs to the host",
        ),
    ],
)
def test_host_json_is_judged_as_well(tmp_path: Path, host_json: str | None, expected: str) -> None:
    _, problems = functions_host.index_app(write(tmp_path / "app", http("a", "admin/x"), host_json))
    assert expected in "\n".join(problems)


def test_same_routes_with_different_methods_are_two_functions(tmp_path: Path) -> None:
    body = http("a", "x") + http("b", "x", '["POST"]')
    functions, problems = functions_host.index_app(write(tmp_path / "app", body))
    assert problems == []
    assert {"a", "b"} <= {function["name"] for function in functions}


def test_an_app_with_problems_is_not_served_and_all_of_them_are_told(tmp_path: Path) -> None:
    app = write(tmp_path / "app", timer("a", "%NO_SUCH_SETTING%") + timer("b", "* * *"))
    with pytest.raises(ChildFailedError) as failed:
        functions_host.start(app, log=tmp_path / "log")
    assert "ended with exit code 1" in str(failed.value)
    assert "- Function a: its schedule needs the app setting NO_SUCH_SETTING" in str(failed.value)
    assert "- Function b: its schedule '* * *'" in str(failed.value)


def test_a_folder_without_an_app_is_told(tmp_path: Path) -> None:
    assert "There is no function_app.py" in "\n".join(functions_host.index_app(tmp_path)[1])


def test_the_fixture_app_has_no_problems_and_lists_its_bindings() -> None:
    functions, problems = functions_host.index_app(APP, {"TICK_SCHEDULE": "* * * * * *"})
    assert problems == []
    bindings = {function["name"]: function["bindings"] for function in functions}
    assert bindings["tick"] == [
        {"direction": "IN", "type": "timerTrigger", "name": "timer", "schedule": "%TICK_SCHEDULE%"}
    ]
