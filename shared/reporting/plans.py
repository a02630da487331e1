"""A restore plan for the person who has to decide, at any hour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shared.model.findings import Severity
from shared.model.plans import Plan
from shared.planning.words import said, sized
from shared.reporting.plan_facts import (
    by_words,
    comparison,
    expected_in_all,
    known_of,
    overwritten,
    sorted_findings,
    stopped,
)
from shared.reporting.text import bullets, columns, cut, heading, joined, wrapped

LONGEST_STATEMENT = 270
"""Characters of a statement in the text, three lines of it; the JSON and the page hold the whole."""

_LABEL = 16  # columns of the labels of the comparison


def plans_text(plans: Sequence[Plan]) -> str:
    """All plans of one request: where there are several, beside one another first, then one by one."""
    if len(plans) == 1:
        return plan_text(plans[0])
    rows = [line for label, cells in comparison(plans) for line in columns(label, cells, _LABEL)]
    first = joined([f"{len(plans)} PLANS BESIDE ONE ANOTHER", *rows])
    line = "\n" + "=" * 100 + "\n\n"
    return line.join([first, *(plan_text(plan) for plan in plans)])


def plan_text(plan: Plan) -> str:
    """What would happen, what is lost, what it overwrites, and how to start it."""
    return joined(
        [
            *wrapped(f"RESTORE PLAN {plan.id}", ""),
            *wrapped(plan.summary, ""),
            *wrapped(
                f"Made {said(plan.made_at)}, valid until {said(plan.expires_at)}. Nothing has been changed.",
                "",
            ),
            *_findings(plan),
            *heading("What is consistent with what"),
            *wrapped(plan.consistency),
            *heading("What is lost"),
            *(bullets(plan.losses) or ["  Nothing."]),
            *heading("What is overwritten"),
            *(bullets(overwritten(plan)) or ["  Nothing: every target name is free."]),
            *heading("What will happen"),
            *wrapped(
                f"{len(plan.execution.steps)} steps; {sized(plan.size)} are read from Blob Storage. "
                f"Expected time: {expected_in_all(plan)}."
            ),
            *_steps(plan),
            *_space(plan),
            *_section("What it needs besides", by_words(plan.details, lambda detail: detail.needs)),
            *_section("If it is cut off", by_words(plan.details, lambda detail: [detail.interrupted])),
            *_statements(plan),
            *_windows(plan),
            *_alternatives(plan),
            *_rejected(plan),
            *_start(plan),
        ]
    )


_MARKS = {Severity.ERROR: "STOP: ", Severity.WARNING: "WARNING: ", Severity.INFO: ""}


def _section(title: str, texts: Sequence[str]) -> list[str]:
    return [*heading(title), *bullets(texts)] if texts else []


def _findings(plan: Plan) -> list[str]:
    texts = [
        f"{_MARKS[found.severity]}{found.message} {found.hint} [{found.code}]"
        for found in sorted_findings(plan)
    ]
    return _section("Look at this first", texts)


def _steps(plan: Plan) -> Iterator[str]:
    details = {detail.step_id: detail for detail in plan.details}
    for step in plan.execution.steps:
        yield from wrapped(step.title, f"  {step.id[:3]}  ")
        known = known_of(details[step.id]) if step.id in details else ""
        yield from wrapped(known, " " * 9) if known else ()


def _space(plan: Plan) -> list[str]:
    return _section("Space needed", [f"{server}: {sized(need)} free" for server, need in plan.space.items()])


def _statements(plan: Plan) -> list[str]:
    if not plan.details:
        return []
    lines = [
        line
        for detail in plan.details
        for line in wrapped(cut(detail.statement, LONGEST_STATEMENT), f"  {detail.step_id[:3]}  ")
    ]
    return [*heading("Statements and requests"), *lines]


def _windows(plan: Plan) -> list[str]:
    texts = [f"{database}: {window}." for database, found in plan.windows.items() for window in found]
    return _section("What could be restored instead", texts)


def _alternatives(plan: Plan) -> list[str]:
    lines = [
        line
        for found in plan.alternatives
        for line in (
            *wrapped(found.sentence, "  - "),
            *wrapped(f"octopus-backup plan {found.target}", "      "),
        )
    ]
    return [*heading("Other ways"), *lines] if lines else []


def _rejected(plan: Plan) -> list[str]:
    texts = [
        f"{found.kind} {found.backup_id}, {said(found.finished_at)}: {found.reason}"
        for found in plan.rejected
    ]
    return _section("Backups considered and not used", texts)


def _start(plan: Plan) -> list[str]:
    if stopped(plan):
        return [*heading("To start it"), *wrapped("It cannot be started before what says STOP is settled.")]
    return [
        *heading("To start it"),
        "  From a terminal:",
        f"    octopus-backup restore {plan.id} \\",
        f"      --digest {plan.digest}",
        "  Over HTTP, POST /api/restores with the body:",
        f'    {{"plan_id": "{plan.id}",',
        f'     "digest": "{plan.digest}"}}',
    ]
