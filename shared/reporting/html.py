"""Pages for a browser or a printer: one file each, with its style in it, that loads nothing."""

from __future__ import annotations

from typing import Any

from shared.reporting.text import clean

STYLE = """
:root { color-scheme: light dark; --line: #8888; --stop: #b00020; --warn: #8a5a00; --soft: #8882; }
@media (prefers-color-scheme: dark) { :root { --stop: #ff8a95; --warn: #ffc966; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 0 auto; padding: 1rem 1.5rem 4rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; border-top: 3px solid; padding-top: 1rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
ul { margin: .25rem 0; padding-left: 1.25rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
th, td { border: 1px solid var(--line); padding: .3rem .5rem; text-align: left; vertical-align: top;
  overflow-wrap: anywhere; }
th { background: var(--soft); }
code, pre { font: .85rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap; }
pre { background: var(--soft); padding: .75rem; margin: .25rem 0; }
small { display: block; opacity: .8; }
td code { display: block; margin-top: .2rem; }
.number { text-align: right; white-space: nowrap; overflow-wrap: normal; }
.stop { color: var(--stop); font-weight: bold; }
.warn { color: var(--warn); font-weight: bold; }
@media print {
  body { font-size: 11px; max-width: none; padding: 0; }
  h2 ~ h2 { break-before: page; }
  tr, li, pre { break-inside: avoid; }
}
"""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Whatever a name smuggled in, the browser loads and runs nothing."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>{% raw %}"""


def page(title: str, body: str, **values: Any) -> str:
    """A whole page.

    Args:
        title: what the browser shows as its name.
        body: template (jinja2) of the page's body; every value in it is escaped, and its control characters
            are shown as question marks.
        values: what the template names; a name that is missing is an error.
    """
    from jinja2 import Environment, StrictUndefined  # costs 50 ms, which no timer needs to wait for

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_clean,
    )
    whole = f"{_PAGE}{STYLE}{{% endraw %}}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    return environment.from_string(whole).render(title=title, policy=_POLICY, **values)


def _clean(value: object) -> object:
    if isinstance(value, str) and not hasattr(value, "__html__"):  # what a macro made is clean already
        return clean(value)
    return value
