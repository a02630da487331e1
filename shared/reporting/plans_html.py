"""Restore plans as a page: beside one another, then each whole; for a screen at night and for paper."""

from __future__ import annotations

from collections.abc import Sequence

from shared.model.plans import Plan
from shared.planning.words import said, sized
from shared.reporting.html import page
from shared.reporting.plan_facts import (
    comparison,
    expected_in_all,
    expected_of,
    overwritten,
    sorted_findings,
    stopped,
)


def plans_html(plans: Sequence[Plan]) -> str:
    """All plans of one request as one page that needs nothing else."""
    names = ", ".join(plan.id for plan in plans)
    return page(
        f"Restore plan {names}",
        _BODY,
        plans=plans,
        rows=comparison(plans),
        expected_in_all=expected_in_all,
        expected_of=expected_of,
        overwritten=overwritten,
        sorted_findings=sorted_findings,
        stopped=stopped,
        said=said,
        sized=sized,
    )


_BODY = """
{% macro listed(texts, otherwise) %}
{% if texts %}
<ul>{% for text in texts %}<li>{{ text }}</li>{% endfor %}</ul>
{% else %}
<p>{{ otherwise }}</p>
{% endif %}
{% endmacro %}
<h1>{{ "Restore plan" if plans|length == 1 else "Restore plans beside one another" }}</h1>
<p>Nothing has been changed. Times are UTC.</p>
<table>
{% for label, cells in rows %}
<tr><th scope="row">{{ label }}</th>{% for cell in cells %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table>
{% for plan in plans %}
<h2>Plan {{ plan.id }}: {{ plan.execution.policy.value }}</h2>
<p>{{ plan.summary }}<br>Made {{ said(plan.made_at) }}, valid until {{ said(plan.expires_at) }}.</p>
{% if plan.findings %}
<h3>Look at this first</h3>
<ul>
{% for found in sorted_findings(plan) %}
<li>{% if found.severity.value == "error" %}<span class="stop">STOP:</span>
{% elif found.severity.value == "warning" %}<span class="warn">WARNING:</span>
{% endif %}{{ found.message }} {{ found.hint }} <code>{{ found.code }}</code></li>
{% endfor %}
</ul>
{% endif %}
<h3>What is consistent with what</h3>
<p>{{ plan.consistency }}</p>
<h3>What is lost</h3>
{{ listed(plan.losses, "Nothing.") }}
<h3>What is overwritten</h3>
{{ listed(overwritten(plan), "Nothing: every target name is free.") }}
<h3>What will happen</h3>
<p>{{ plan.execution.steps|length }} steps; {{ sized(plan.size) }} are read from Blob Storage.
Expected time: {{ expected_in_all(plan) }}.</p>
<table>
<tr><th>Step</th><th>What</th><th>Expected</th><th>Reads</th><th>If it is cut off</th></tr>
{% for step in plan.execution.steps %}
{% set detail = plan.details[loop.index0] if plan.details else none %}
<tr>
<td class="number">{{ step.id[:3] }}</td>
<td>{{ step.title }}
{% if detail %}
<code>{{ detail.statement }}</code>
{% if detail.overwrites %}<small class="warn">Overwrites {{ detail.overwrites|join(", ") }}</small>{% endif %}
{% if detail.needs %}<small>Needs {{ detail.needs|join("; ") }}</small>{% endif %}
{% endif %}
</td>
<td>{{ expected_of(detail) if detail else "" }}</td>
<td class="number">{{ sized(detail.size) if detail and detail.size else "" }}</td>
<td>{{ detail.interrupted if detail else "" }}</td>
</tr>
{% endfor %}
</table>
{% if plan.space %}
<h3>Space needed</h3>
<ul>{% for server, need in plan.space.items() %}<li>{{ server }}: {{ sized(need) }} free</li>{% endfor %}</ul>
{% endif %}
{% if plan.windows %}
<h3>What could be restored instead</h3>
<ul>
{% for database, found in plan.windows.items() %}
{% for window in found %}<li>{{ database }}: {{ window }}.</li>{% endfor %}
{% endfor %}
</ul>
{% endif %}
{% if plan.alternatives %}
<h3>Other ways</h3>
<ul>
{% for other in plan.alternatives %}
<li>{{ other.sentence }}<br><code>octopus-backup plan {{ other.target }}</code></li>
{% endfor %}
</ul>
{% endif %}
<h3>Backups that are used</h3>
<table>
<tr><th>Kind</th><th>Ended</th><th>Size</th><th>Why</th></tr>
{% for found in plan.chosen %}
<tr><td>{{ found.kind.value }}<small>{{ found.backup_id }}</small></td><td>{{ said(found.finished_at) }}</td>
<td class="number">{{ sized(found.size) }}</td><td>{{ found.reason }}</td></tr>
{% endfor %}
</table>
{% if plan.rejected %}
<h3>Backups considered and not used</h3>
<table>
<tr><th>Kind</th><th>Ended</th><th>Why not</th></tr>
{% for found in plan.rejected %}
<tr><td>{{ found.kind.value }}<small>{{ found.backup_id }}</small></td><td>{{ said(found.finished_at) }}</td>
<td>{{ found.reason }}</td></tr>
{% endfor %}
</table>
{% endif %}
<h3>To start it</h3>
{% if stopped(plan) %}
<p class="stop">It cannot be started before what says STOP is settled.</p>
{% else %}
<pre>octopus-backup restore {{ plan.id }} \\
  --digest {{ plan.digest }}</pre>
{% endif %}
{% endfor %}
"""
