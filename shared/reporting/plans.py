"""A restore plan for the person who has to decide, at any hour."""

from __future__ import annotations

from shared.model.findings import Severity
from shared.model.plans import AliasesStep, Plan
from shared.planning.words import said, sized
from shared.reporting.text import bullets, heading, joined, wrapped


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
            *_overwritten(plan),
            *heading("What will happen"),
            *wrapped(f"{len(plan.execution.steps)} steps; {sized(plan.size)} are read from Blob Storage."),
            *(line for step in plan.execution.steps for line in wrapped(step.title, f"  {step.id[:3]}  ")),
            *_space(plan),
            *_rejected(plan),
            *_start(plan),
        ]
    )


_MARKS = {Severity.ERROR: "STOP: ", Severity.WARNING: "WARNING: ", Severity.INFO: ""}
_GRAVITY = list(_MARKS)


def _findings(plan: Plan) -> list[str]:
    if not plan.findings:
        return []
    ordered = sorted(plan.findings, key=lambda finding: _GRAVITY.index(finding.severity))
    texts = (f"{_MARKS[found.severity]}{found.message} {found.hint} [{found.code}]" for found in ordered)
    return [*heading("Look at this first"), *bullets(texts)]


def _overwritten(plan: Plan) -> list[str]:
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
    return bullets(databases + collections + aliases) or ["  Nothing: every target name is free."]


def _space(plan: Plan) -> list[str]:
    if not plan.space:
        return []
    needs = (f"{server}: {sized(need)} free" for server, need in plan.space.items())
    return [*heading("Space needed"), *bullets(needs)]


def _rejected(plan: Plan) -> list[str]:
    if not plan.rejected:
        return []
    texts = (
        f"{found.kind} {found.backup_id}, {said(found.finished_at)}: {found.reason}"
        for found in plan.rejected
    )
    return [*heading("Backups considered and not used"), *bullets(texts)]


def _start(plan: Plan) -> list[str]:
    if any(finding.severity is Severity.ERROR for finding in plan.findings):
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
