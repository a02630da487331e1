"""What is no longer as it was when a plan was made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from shared.model.plans import Plan, TargetState
from shared.planning.steps import files_of
from shared.planning.words import said, sized


def changes(
    plan: Plan,
    target_state: TargetState,
    settings: str,
    blobs: Mapping[str, tuple[int, str] | None],
    now: datetime,
) -> list[str]:
    """What has changed since the plan was made, in sentences; an empty list means that it may start.

    Args:
        plan: as it was shown.
        target_state: what is on the targets now.
        settings: fingerprint of the settings now.
        blobs: size in bytes and ETag of every file of the plan by ``container/name``; None, or no entry, for
            one that is gone.
        now: UTC.
    """
    execution = plan.execution
    found = []
    if now >= plan.expires_at:
        found.append(f"The plan expired at {said(plan.expires_at)}.")
    if execution.digest() != plan.digest:
        found.append("The stored plan is not the one that its digest was made of.")
    if settings != execution.settings:
        found.append(
            "Settings that the restore uses are not the same (addresses, databases, folders, hooks, the "
            "migration command)."
        )
    return found + _targets(execution.target_state, target_state) + _files(plan, blobs)


def _targets(then: TargetState, now: TargetState) -> list[str]:
    found = []
    for database, state in then.databases.items():
        current = now.databases.get(database, "absent")
        if current != state:
            found.append(f"Database {database} was {state} and is {current} now.")
    for collection, existed in then.collections.items():
        exists = now.collections.get(collection, False)
        if exists != existed:
            found.append(f"Collection {collection} {'exists now' if exists else 'is gone now'}.")
    for alias, stood_for in then.aliases.items():
        stands_for = now.aliases.get(alias, "")
        if stands_for != stood_for:
            found.append(
                f"Alias {alias} stood for {stood_for or 'nothing'} and stands for "
                f"{stands_for or 'nothing'} now."
            )
    return found


def _files(plan: Plan, blobs: Mapping[str, tuple[int, str] | None]) -> list[str]:
    found = []
    for name, size, etag in files_of(plan.execution.steps):
        current = blobs.get(name)
        if current is None:
            found.append(f"The file {name} is gone.")
        elif current[0] != size:
            found.append(f"The file {name} had {sized(size)} and has {sized(current[0])} now.")
        elif current[1] != etag:
            found.append(f"The file {name} was written anew (its ETag is another one).")
    return found
