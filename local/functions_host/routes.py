"""Route templates of HTTP functions: ``restores/{id:int}``, ``files/{*path}``, ``agents/{name?}``.

The rules are ASP.NET's, which the host uses: literals ignore case; a literal comes before a constrained
parameter, that before a plain one, a catch-all last; values are decoded, except an encoded slash.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote

from local.functions_host.worker import Function

_PATTERNS = {
    "int": r"-?\d+",
    "long": r"-?\d+",
    "guid": r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}",
    "alpha": "[A-Za-z]+",
    "bool": "(?i:true|false)",
}
_PARAMETER = re.compile(r"(\{[^}]*\})")


def same_for_all_values(template: str) -> str:
    """The shape of a route: two templates of one shape answer to the same addresses."""
    return _PARAMETER.sub("{}", template.strip("/").lower())


class Routes:
    """Finds the function for an address.

    Args:
        functions: the app's functions; those without an HTTP trigger are left out.
        prefix: the first part of every route.
    """

    def __init__(self, functions: Iterable[Function], prefix: str) -> None:
        http = [function for function in functions if function.kind == "httpTrigger"]
        self._table = [
            (_compiled("/".join(part for part in (prefix, function.route) if part)), function)
            for function in sorted(http, key=lambda function: _rank(function.route))
        ]

    def find(self, method: str, path: str) -> tuple[Function, dict[str, str]] | None:
        """Look an address up.

        Args:
            method: the HTTP method. One that the function does not list is not found: the real host
                answers 404, not 405, also to HEAD where only GET is listed.
            path: the address' path, still percent-encoded.

        Returns:
            The function and its route values, or None.
        """
        for pattern, function in self._table:
            match = pattern.fullmatch(path.strip("/"))
            methods = [str(listed).upper() for listed in function.trigger.get("methods") or []]
            if match and (not methods or method.upper() in methods):
                return function, {name: _decoded(v) for name, v in match.groupdict().items() if v is not None}
        return None


def _compiled(template: str) -> re.Pattern[str]:
    pattern = ""
    for part in _PARAMETER.split(template.strip("/")):
        if not part.startswith("{"):
            pattern += re.escape(part)
            continue
        name, *constraints = part[1:-1].lstrip("*").split(":")
        last = constraints[-1] if constraints else name
        may_lack = last.endswith("?") or part.startswith("{*")
        wanted = next((_PATTERNS[c.rstrip("?")] for c in constraints if c.rstrip("?") in _PATTERNS), "[^/]+")
        group = f"(?P<{name.rstrip('?').split('=')[0]}>{'.*' if part.startswith('{*') else wanted})"
        if may_lack and pattern.endswith("/"):  # a parameter that may lack takes its slash with it
            pattern = f"{pattern[:-1]}(?:/{group})?"
        else:
            pattern += group + ("?" if may_lack else "")
    return re.compile(f"(?i:{pattern})/?")


def _rank(route: str) -> list[int]:
    def one(segment: str) -> int:
        if "{" not in segment:
            return 0
        if segment.startswith("{*"):
            return 3
        return 1 if ":" in segment else 2

    return [one(segment) for segment in route.split("/")]


def _decoded(value: str) -> str:
    return unquote(re.sub("%2f", "%252F", value, flags=re.IGNORECASE))
