"""What both the text and the page of a plan show, in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from shared.model.findings import Finding, Severity
from shared.model.plans import AliasesStep, Plan, StepDetail
from shared.planning.durations import NO_HISTORY, Expectation, known_part
from shared.planning.words import lasted, said, sized

GRAVITY = (Severity.ERROR, Severity.WARNING, Severity.INFO)
"""Severities, the gravest first."""


UNDER = "under 1 s"


def sorted_findings(plan: Plan) -> list[Finding]:
    """The gravest first."""
    return sorted(plan.findings, key=lambda finding: GRAVITY.index(finding.severity))


def stopped(plan: Plan) -> bool:
    """Whether something keeps the plan from being started."""
    return any(finding.severity is Severity.ERROR for finding in plan.findings)


def overwritten(plan: Plan) -> list[str]:
    """What is there now and will be replaced, a sentence each; empty if every target name is free."""
    state = plan.execution.target_state
    databases = [
        f"Database {name}, which is {now} at present."
        for name, now in state.databases.items()
        if now != "absent"
    ]
    collections = [f"Collection {name}." for name, exists in state.collections.items() if exists]
    aliases = [
        f"Alias {alias}, which stands for {state.aliases[alias]} at present."
        for step in plan.execution.steps
        if isinstance(step, AliasesStep)
        for alias, collection in step.aliases.items()
        if state.aliases.get(alias, "") not in ("", collection)
    ]
    return databases + collections + aliases


def span(seconds: float) -> str:
    """A duration that was measured or is expected."""
    return lasted(timedelta(seconds=round(seconds)))


def expected_in_all(plan: Plan) -> str:
    """How long the whole plan will take, as far as that can be known."""
    if plan.expected_seconds is not None:
        return f"about {span(plan.expected_seconds)}" if plan.expected_seconds >= 1 else UNDER
    expected = {detail.step_id: Expectation(detail.expected_seconds, detail.basis) for detail in plan.details}
    unknown = sum(one.seconds is None for one in expected.values())
    if unknown == len(expected):
        return "cannot be known: no history"
    least = known_part(plan.execution.steps, expected)
    return f"at least {span(least)}; {unknown} of {len(expected)} steps have no history"


def expected_of(detail: StepDetail) -> str:
    """How long a step will take, and what that rests on."""
    if detail.expected_seconds is None:
        return detail.basis
    seconds = detail.expected_seconds
    return f"{f'about {span(seconds)}' if seconds >= 1 else UNDER} ({detail.basis})"


def known_of(detail: StepDetail) -> str:
    """What is known of a step's duration, bytes and victims; empty where that is nothing."""
    said_of = [] if detail.basis == NO_HISTORY else [expected_of(detail)]
    said_of += [f"overwrites {', '.join(detail.overwrites)}"] if detail.overwrites else []
    return "; ".join(said_of)


def by_words(details: Iterable[StepDetail], words: Callable[[StepDetail], Iterable[str]]) -> list[str]:
    """What is said of several steps, once each, with the numbers of the steps: ``001-004, 007: …``."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for number, detail in enumerate(details, 1):
        for text in words(detail):
            numbers[text].append(number)
    return [f"{ranges(found)}: {text}" for text, found in numbers.items()]


def ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers, runs of them joined: ``001-004, 007``."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(f"{low:03}" if low == high else f"{low:03}-{high:03}" for low, high in found)


def comparison(plans: Sequence[Plan]) -> list[tuple[str, list[str]]]:
    """Plans beside one another: label, then a cell for each plan."""
    rows: list[tuple[str, Callable[[Plan], str]]] = [
        ("Policy", lambda plan: plan.execution.policy.value),
        ("Plan", lambda plan: plan.id),
        ("SQL Server at", lambda plan: _moment(plan.sql_at)),
        ("Vectors at", lambda plan: _moment(plan.vectors_at)),
        ("Lost", _lost),
        ("Expected time", expected_in_all),
        ("Bytes read", lambda plan: sized(plan.size)),
        ("Can be started", lambda plan: "NO: see what says STOP" if stopped(plan) else "yes"),
    ]
    return [(label, [cell(plan) for plan in plans]) for label, cell in rows]


def _moment(time: datetime | None) -> str:
    return said(time) if time else "left as it is"


def _lost(plan: Plan) -> str:
    sides = (("of SQL Server", plan.sql_at), ("of vectors", plan.vectors_at))
    lost = [f"the last {lasted(plan.made_at - at)} {what}" for what, at in sides if at]
    return "; ".join(lost) or "nothing"
