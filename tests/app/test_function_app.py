"""The real app as Microsoft's worker library indexes it, with no settings but the schedules."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local.functions_host import index_app
from shared.workflows.registry import WORKFLOWS, activities
from tests.app.served import SETTINGS
from tests.servers import NEVER, ROOT

TIMERS = ("sql_full", "sql_differential", "sql_log", "recovery_point", "history_purge", "drill")
ROUTES = {
    ("POST", "backups"): "start_backup",
    ("GET", "backups"): "list_backups",
    ("GET", "backups/{id}"): "get_backup",
    ("POST", "recovery-points"): "start_recovery_point",
    ("GET", "recovery-points"): "list_recovery_points",
    ("GET", "recovery-points/{id}"): "get_recovery_point",
    ("POST", "recovery-points/{id}/pin"): "pin_recovery_point",
    ("POST", "restores/plan"): "plan_restore",
    ("POST", "restores"): "start_restore",
    ("GET", "restores"): "list_restores",
    ("GET", "restores/{id}"): "get_restore",
    ("POST", "restores/{id}/cancel"): "cancel_restore",
    ("GET", "restores/{id}/report"): "get_restore_report",
    ("POST", "restores/{id}/verdicts"): "judge_restore",
    ("POST", "checks"): "start_check",
    ("GET", "checks"): "list_checks",
    ("GET", "checks/{id}"): "get_check",
    ("GET", "checks/{id}/report"): "get_check_report",
    ("POST", "checks/{id}/verdicts"): "judge_check",
    ("POST", "drills"): "start_drill",
    ("GET", "drills"): "list_drills",
    ("GET", "drills/{id}"): "get_drill",
    ("GET", "status"): "status",
    ("GET", "health"): "health",
}

type Bindings = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def indexed() -> tuple[Bindings, list[str]]:
    with pytest.MonkeyPatch.context() as patch:
        for name in SETTINGS:
            patch.delenv(name, raising=False)
        schedules = {f"{timer.upper()}_SCHEDULE": NEVER for timer in TIMERS}
        functions, problems = index_app(ROOT, schedules)
    ours = [
        function for function in functions if not function["name"].startswith("BuiltIn__")
    ]  # else Durable's
    return {function["name"]: function["bindings"] for function in ours}, problems


@pytest.fixture
def functions(indexed: tuple[Bindings, list[str]]) -> Bindings:
    return indexed[0]


def triggers(functions: Bindings, kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: binding
        for name, bindings in functions.items()
        for binding in bindings
        if binding["type"] == kind
    }


def test_nothing_in_the_app_is_refused(indexed: tuple[Bindings, list[str]]) -> None:
    assert indexed[1] == []


def test_every_timer_takes_its_schedule_from_its_setting_and_never_fires_at_the_start(
    functions: Bindings,
) -> None:
    timers = triggers(functions, "timerTrigger")
    assert set(timers) == set(TIMERS)
    for name, timer in timers.items():
        assert timer["schedule"] == f"%{name.upper()}_SCHEDULE%"
        assert timer["runOnStartup"] is False
        assert timer["useMonitor"] is True  # so that a slot missed while the app was down fires afterwards


def test_there_is_one_function_per_route_and_only_health_is_open(functions: Bindings) -> None:
    found = {}
    for name, trigger in triggers(functions, "httpTrigger").items():
        (method,) = trigger["methods"]
        found[str(method).upper(), trigger["route"]] = name
        level = str(trigger.get("authLevel") or "FUNCTION").upper()
        assert level == ("ANONYMOUS" if name == "health" else "FUNCTION"), name
    assert found == ROUTES


def test_every_workflow_and_activity_is_registered_under_its_own_name(functions: Bindings) -> None:
    def never() -> Any:
        raise AssertionError("binding opens nothing")

    assert set(triggers(functions, "orchestrationTrigger")) == set(WORKFLOWS)
    assert set(triggers(functions, "activityTrigger")) == set(activities(never))


def test_whatever_starts_a_workflow_has_a_durable_client(functions: Bindings) -> None:
    starters = {
        "start_backup",
        "start_recovery_point",
        "start_restore",
        "start_check",
        "start_drill",
        *TIMERS,
    }
    assert set(triggers(functions, "durableClient")) == starters


def test_long_backups_fit_into_the_time_that_the_host_allows() -> None:
    host = json.loads((ROOT / "host.json").read_text("utf-8"))
    assert host["functionTimeout"] == "12:00:00"
    assert host["extensions"]["durableTask"]["hubName"] == "OctopusBackup"
