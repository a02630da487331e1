"""The report as one HTML page: nothing is loaded from anywhere, and it prints on paper.

The page is built from the report's JSON, so that both say the same. Every value is escaped: names of
databases, collections and persons are input from outside.
"""

from __future__ import annotations

import json
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from shared.planning.words import lasted, sized
from shared.reporting.restore_template import TEMPLATE

if TYPE_CHECKING:
    from jinja2 import Template

MOST_SHOWN = 2_000
"""Characters of one value on the page; the JSON report holds the whole."""


def report_html(report: dict[str, Any]) -> str:
    """The report of ``shared.reporting.restores.report`` as a page of its own.

    Args:
        report: plain JSON data, with what people said, if they did.
    """
    return _template().render(report=report)


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined  # no timer shows a page

    page = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_clean,
    )
    page.filters |= {"lasted": _lasted, "sized": sized, "shown": _shown, "words": _words, "number": _number}
    return page.from_string(TEMPLATE)


def _clean(value: object) -> object:
    """Nothing that a browser would show as something else than it is: control and direction characters."""
    if value is None:
        return "–"
    if not isinstance(value, str):
        return value
    clean = "".join(char if char.isprintable() or char == "\n" else "?" for char in value)
    return type(value)(clean)  # what is marked as safe stays so


def _lasted(seconds: float | None) -> str:
    return lasted(timedelta(seconds=seconds)) if seconds is not None else "–"


def _words(verdict: str) -> str:
    return verdict.replace("_", " ")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,}"


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, indent=1, sort_keys=True, default=str)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}… (whole in the JSON report)"
