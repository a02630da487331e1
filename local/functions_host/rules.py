"""What the real Functions host would refuse or drop in an indexed app, and the worker library lets pass.

Sources: Microsoft's documentation of host.json, of the HTTP and timer triggers and of binding expressions,
and the grammar of the NCrontab library that the host reads schedules with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from local.functions_host.routes import same_for_all_values
from local.functions_host.schedule import BadScheduleError, Schedule
from local.functions_host.worker import Function, setting

SERVED = {"httpTrigger", "timerTrigger", "orchestrationTrigger", "activityTrigger"}
_IGNORED = {"durableClient", "http"}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,127}")
_LEVELS = {"ANONYMOUS", "FUNCTION", "ADMIN"}
_METHODS = {"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"}
_RESERVED = {"admin", "runtime"}


def read_host_json(app_dir: Path) -> tuple[dict[str, Any], list[str]]:
    """Read an app's ``host.json``.

    Args:
        app_dir: the app's folder.

    Returns:
        Its content (empty if unusable), and what the host would refuse in it.
    """
    path = app_dir / "host.json"
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}, [f"host.json is missing in {app_dir}; the host does not start without it."]
    except ValueError as error:
        return {}, [f"host.json is not JSON: {error}."]
    if not isinstance(content, dict) or content.get("version") != "2.0":
        return {}, ['host.json must say "version": "2.0".']
    return content, []


def route_prefix(host_json: Mapping[str, Any]) -> str:
    """The first part of every HTTP function's route; ``api`` unless host.json says otherwise."""
    return str(host_json.get("extensions", {}).get("http", {}).get("routePrefix", "api")).strip("/")


def problems(functions: Iterable[Function], prefix: str, environment: Mapping[str, str]) -> list[str]:
    """Judge an indexed app.

    Args:
        functions: its functions.
        prefix: the route prefix.
        environment: the app settings.

    Returns:
        One sentence for each thing that the host would refuse; empty when all is well.
    """
    found: list[str] = []
    routes: dict[tuple[str, str], str] = {}
    names: dict[tuple[str, str], str] = {}
    for function in functions:
        found += [f"Function {function.name}: {text}" for text in _of_function(function, environment)]
        if function.kind == "httpTrigger":
            found += _of_route(function, prefix, routes)
        key = ("name", function.name.lower())
        if key in names:
            found.append(f"Function {function.name}: {names[key]} has the same name but for its case.")
        names[key] = function.name
    return found


def _of_function(function: Function, environment: Mapping[str, str]) -> Iterator[str]:
    if not _NAME.fullmatch(function.name):
        yield "its name must begin with a letter, then have letters, digits, - and _, at most 128."
    if function.kind not in SERVED:
        yield f"this host does not serve a {function.kind}."
    for binding in function.bindings:
        if binding["type"] not in SERVED | _IGNORED:
            yield f"this host does not serve a {binding['type']} binding."
        yield from _missing_settings(binding, environment)
    if function.kind == "timerTrigger":
        schedule = setting(str(function.trigger["schedule"]), environment)
        try:
            Schedule(schedule)
        except BadScheduleError as error:
            yield f"its schedule {schedule!r} is no six-field NCRONTAB expression: {error}"
    if function.kind == "httpTrigger":
        level = str(function.trigger.get("authLevel") or "FUNCTION").upper()
        if level not in _LEVELS:
            yield f"it has an unknown authorisation level {level}."
        for method in function.trigger.get("methods") or []:
            if str(method).upper() not in _METHODS:
                yield f"it has an unknown HTTP method {method}."


def _missing_settings(binding: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[str]:
    for key, value in binding.items():
        for name in re.findall(r"%([^%]+)%", value) if isinstance(value, str) else []:
            if not environment.get(name):
                yield f"its {key} needs the app setting {name}, which is not set."
    connection = binding.get("connection") or binding.get("connectionName")
    if connection and not any(n == connection or n.startswith(f"{connection}__") for n in environment):
        yield f"its connection needs the app setting {connection}, which is not set."


def _of_route(function: Function, prefix: str, routes: dict[tuple[str, str], str]) -> Iterator[str]:
    full = "/".join(part for part in (prefix, function.route) if part)
    if full.split("/")[0].lower() in _RESERVED:
        yield f"Function {function.name}: the route /{full} belongs to the host itself."
    shape = same_for_all_values(full)
    for method in sorted(str(m).upper() for m in function.trigger.get("methods") or _METHODS):
        other = routes.setdefault((shape, method), function.name)
        if other != function.name:
            yield f"Function {function.name}: {other} has the route {method} /{full} already."
            return
