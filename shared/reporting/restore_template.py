"""The page that a report is shown as. Kept as a string, so that it is deployed with the code."""

from __future__ import annotations

from typing import Final

_STYLE: Final = """
  :root { color-scheme: light; }
  body { font: 15px/1.45 system-ui, sans-serif; color: #1b1f24; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
  h1 { font-size: 1.5rem; margin: 0 0 .3rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .4rem; border-bottom: 1px solid #c9d1d9; }
  h3 { font-size: 1rem; margin: 1rem 0 .2rem; }
  table { border-collapse: collapse; width: 100%; margin: .4rem 0 1rem; font-size: .9rem; }
  th, td { text-align: left; vertical-align: top; padding: .25rem .5rem; border: 1px solid #d0d7de; overflow-wrap: anywhere; }
  th { background: #f0f3f6; } td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
  code, pre { font: .82rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap; margin: 0; }
  .v { display: inline-block; padding: 0 .5rem; border: 1px solid; border-radius: .7rem; font-weight: 600; font-size: .85rem; }
  .passed, .succeeded { color: #116329; } .failed { color: #a40e26; } .skipped, .not_reached, .not_finished, .pending, .running { color: #6e4a00; }
  .person { border-left: 4px solid #8250df; padding: .2rem .6rem; margin: .3rem 0; background: #f6f2fb; }
  .wrong { border-left: 4px solid #a40e26; padding: .2rem .6rem; margin: .3rem 0; background: #fdf0f1; }
  p { margin: .3rem 0; } .small { color: #57606a; font-size: .85rem; }
  @page { margin: 16mm; }
  @media print {
    body { max-width: none; margin: 0; padding: 0; font-size: 10.5pt; }
    thead { display: table-header-group; } tr, .person, .wrong { break-inside: avoid; } h2, h3 { break-after: avoid; }
  }
"""  # noqa: E501 - a style sheet

TEMPLATE: Final = (
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ 'Restore' if report.plan_id else 'Environment check' }} {{ report.run_id }}: {{ report.verdict|words }}</title>
<style>"""  # noqa: E501 - one line of the page
    + _STYLE
    + """</style>
</head>
<body>
{% macro verdict(value) %}<span class="v {{ value }}">{{ value|words }}</span>{% endmacro %}
{% macro equal(value) %}{{ '–' if value is none else ('equal' if value else 'differs') }}{% endmacro %}
<header>
<h1>{{ 'Restore report' if report.plan_id else 'Environment check' }} {{ verdict(report.verdict) }}</h1>
<p>{{ report.summary }}</p>
<table>
<tbody>
<tr><th>Run</th><td><code>{{ report.run_id }}</code>, attempt {{ report.attempts }}, {{ report.state }}</td></tr>
<tr><th>Started, ended (UTC)</th><td>{{ report.started_at }} – {{ report.finished_at }}, took {{ report.seconds|lasted }}</td></tr>
{% if report.recovery_point %}
<tr><th>Recovery point</th><td><code>{{ report.recovery_point.id }}</code>{% if report.recovery_point.name %} “{{ report.recovery_point.name }}”{% endif %},
 {{ 'complete' if report.recovery_point.complete else 'incomplete' }}; vectors until {{ report.recovery_point.vectors_ended_at }},
 SQL Server at {{ report.recovery_point.sql_at|join(', ') }}; skew {{ report.recovery_point.skew_seconds }} s</td></tr>
{% endif %}
<tr><th>Made by</th><td>{{ report.software or 'octopus-backup' }}</td></tr>
</tbody>
</table>
</header>

<section>
<h2>What was asked</h2>
<table>
<tbody>
{% if report.plan_id %}
<tr><th>Plan</th><td><code>{{ report.plan_id }}</code>, made {{ report.asked.made_at }}, valid until {{ report.asked.expires_at }}; policy {{ report.policy }},
 {{ 'in place' if report.in_place else 'side by side' }}; {{ report.size|sized }} read from Blob Storage</td></tr>
<tr><th>Digest</th><td><code>{{ report.digest }}</code><br><span class="small">{{ report.asked.digest_is }}</span></td></tr>
{% endif %}
<tr><th>Request</th><td><pre>{{ report.asked.request|shown }}</pre></td></tr>
<tr><th>By whom</th><td>{{ report.asked.started_by or 'not known: a function key names nobody' }}{% if report.asked.fenced_by %};
 the Octopus API was stopped by {{ report.asked.fenced_by }}{% endif %}</td></tr>
</tbody>
</table>
</section>

<section>
<h2>Checklist</h2>
{% for item in report.checklist %}
<h3>{{ item.number }}. {{ item.title }} {{ verdict(item.verdict) }}{% if item.seconds %} <span class="small">{{ item.seconds|lasted }}</span>{% endif %}</h3>
{% for one in item.manual %}
<div class="person"><strong>Manual verdict: {{ one.verdict }}</strong>, by {{ one.by }}, {{ one.at }} ({{ one.via }}): {{ one.reason }}</div>
{% endfor %}
{% if not item.steps %}<p class="small">There is no step for it.</p>{% endif %}
{% for step in item.steps %}
<p>{{ step.title }}: <span class="{{ step.state }}">{{ step.state }}</span>{% if step.note %} – {{ step.note }}{% endif %}</p>
{% for note in step.evidence.get('notes') or [] %}<p class="small">{{ note }}</p>{% endfor %}
{% for wrong in step.evidence.get('mismatches') or [] %}<div class="wrong">{{ wrong }}</div>{% endfor %}
{% if step.error %}<div class="wrong">{{ step.error.message }} {{ step.error.meaning }} {{ step.error.hint }} <code>{{ step.error.code }}</code></div>{% endif %}
{% endfor %}
{% endfor %}
</section>

{% set evidence = report.evidence %}
<section>
<h2>Evidence</h2>
{% if evidence.counts %}
<h3>Rows per table</h3>
<table>
<thead><tr><th>Database</th><th>Table</th><th>Expected</th><th>Found</th><th>Quality of the expected count</th><th></th></tr></thead>
<tbody>
{% for row in evidence.counts %}
<tr><td>{{ row.database }}</td><td>{{ row.table }}</td><td class="n">{{ row.expected|number }}</td><td class="n">{{ row.found|number }}</td><td>{{ row.quality }}</td><td>{{ equal(row.equal) }}</td></tr>
{% endfor %}
</tbody>
</table>
{% endif %}
{% if evidence.markers %}
<h3>Marker row</h3>
<table>
<thead><tr><th>Database</th><th>Expected</th><th>Newest found</th><th>Of recovery point</th><th></th></tr></thead>
<tbody>
{% for row in evidence.markers %}
<tr><td>{{ row.database }}</td><td><code>{{ row.expected }}</code></td><td><code>{{ row.found }}</code></td><td><code>{{ row.point_id }}</code></td><td>{{ equal(row.equal) }}</td></tr>
{% endfor %}
</tbody>
</table>
{% endif %}
{% if evidence.consistency_checks %}
<h3>DBCC CHECKDB</h3>
<table>
<thead><tr><th>Database</th><th>Allocation errors</th><th>Consistency errors</th><th>First messages</th></tr></thead>
<tbody>
{% for row in evidence.consistency_checks %}
<tr><td>{{ row.database }}</td><td class="n">{{ row.allocation_errors|number }}</td><td class="n">{{ row.consistency_errors|number }}</td><td>{{ row.messages|join('\\n')|shown }}</td></tr>
{% endfor %}
</tbody>
</table>
{% endif %}
{% if evidence.migrations %}
<h3>Migrations</h3>
<table>
<thead><tr><th>Database</th><th>Expected head</th><th>Head</th><th>Executed</th></tr></thead>
<tbody>
{% for row in evidence.migrations %}
<tr><td>{{ row.database }}</td><td>{{ row.expected_head }}</td><td>{{ row.head }}</td><td>{% if row.script is defined %}script {{ row.script }}, SHA-256 <code>{{ row.script_sha256 }}</code>{% elif row.command is defined %}command {{ row.command }}, exit code {{ row.exit_code }}{% else %}nothing: checked only{% endif %}</td></tr>
{% endfor %}
</tbody>
</table>
{% endif %}
{% if evidence.collections %}
<h3>Collections</h3>
<table>
<thead><tr><th>Collection</th><th>As</th><th>Expected points</th><th>Quality</th><th>Counted by each peer</th><th>Status</th></tr></thead>
<tbody>
{% for row in evidence.collections %}
<tr><td>{{ row.collection }}</td><td>{{ row.target }}</td><td class="n">{{ row.expected|number }}</td><td>{{ row.quality }}</td><td>{% for peer, count in row.counted.items() %}{{ peer }}: {{ count|number }}<br>{% endfor %}</td><td>{% for peer, status in row.status.items() %}{{ peer }}: {{ status }}<br>{% endfor %}</td></tr>
{% endfor %}
</tbody>
</table>
{% endif %}
{% for row in evidence.all_collections %}
<h3>All collections together</h3>
<pre>{{ row|shown }}</pre>
{% endfor %}
{% if evidence.aliases %}
<h3>Aliases</h3>
<table>
<thead><tr><th>Alias</th><th>Collection</th></tr></thead>
<tbody>
{% for row in evidence.aliases %}
<tr><td>{{ row.alias }}</td><td>{{ row.collection }}</td></tr>
{% endfor %}
</tbody>
</table>
{% endif %}
{% for row in evidence.orphans %}
<h3>Orphans, compared with {{ row.database }}</h3>
<pre>{{ row|shown }}</pre>
{% endfor %}
{% for row in evidence.fence %}
<h3>Fence</h3>
<p>{% if row.hook %}The stop hook was called. {% endif %}{% if row.by %}{{ row.by }} says that the Octopus API was stopped. {% endif %}{% if row.seen_down is none %}Nobody looked whether it was down.{% else %}Seen to be down {{ row.seen_down }} times, {{ row.at }}.{% endif %}</p>
{% endfor %}
{% for row in evidence.erasures %}
<h3>Erasures in {{ row.database }}</h3>
<p>Rows of {{ row.users|number }} users were deleted again; none of their rows is left: {{ row.rows_left|number }}.</p>
<table>
<thead><tr><th>Table</th><th>Rows deleted</th></tr></thead>
<tbody>
{% for table, rows in row.rows_deleted.items() %}
<tr><td>{{ table }}</td><td class="n">{{ rows|number }}</td></tr>
{% endfor %}
</tbody>
</table>
{% endfor %}
{% for row in evidence.api %}
<h3>Health of the Octopus API</h3>
<p>HTTP status {{ row.status }} after {{ row.waited_seconds }} s; {{ row.deadline_seconds }} s were allowed.</p>
{% endfor %}
{% for row in evidence.conversations %}
<h3>Conversation</h3>
<pre>{{ row|shown }}</pre>
{% endfor %}
</section>

<section>
<h2>What was executed</h2>
<table>
<thead><tr><th>#</th><th>Step</th><th>Began (UTC)</th><th>Ended (UTC)</th><th>Took</th><th>State</th></tr></thead>
<tbody>
{% for step in report.executed %}
<tr><td class="n">{{ step.number }}</td><td>{{ step.title }}{% if step.note %}<br><span class="small">{{ step.note }}</span>{% endif %}</td><td>{{ step.started_at }}</td><td>{{ step.finished_at }}</td><td class="n">{{ step.seconds|lasted }}</td><td class="{{ step.state }}">{{ step.state }}</td></tr>
{% endfor %}
</tbody>
</table>
</section>

{% if report.plan_id %}
<section>
<h2>What is consistent with what</h2>
<p>{{ report.consistency }}</p>
<h2>What is lost</h2>
{% if report.losses %}<ul>{% for loss in report.losses %}<li>{{ loss }}</li>{% endfor %}</ul>{% else %}<p>Nothing.</p>{% endif %}
</section>
{% endif %}

{% if report.findings %}
<section>
<h2>Findings</h2>
<ul>{% for found in report.findings %}<li>{{ found.severity }}: {{ found.message }} {{ found.hint }} <code>{{ found.code }}</code></li>{% endfor %}</ul>
</section>
{% endif %}
{% if report.error %}
<section>
<h2>What went wrong</h2>
<div class="wrong"><p>{{ report.error.message }}</p><p>{{ report.error.meaning }}</p><p>{{ report.error.hint }}</p><p><code>{{ report.error.code }}</code></p></div>
</section>
{% endif %}
</body>
</html>
"""  # noqa: E501 - a table row of the page is one line
)
