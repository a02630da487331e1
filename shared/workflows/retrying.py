"""Asking again, for what may go better the next time."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from datetime import timedelta
from typing import Any

from shared.errors import LockedError
from shared.workflows.context import ActivityFailedError, Context, Task

TRIES = 3
FIRST_DELAY_SECONDS = 2.0
LONGEST_DELAY_SECONDS = 60.0
LOCK_PATIENCE = timedelta(hours=2)
"""How long a differential waits behind a full backup; the next differential is due after four hours."""


def persistently(
    ctx: Context, name: str, payload: Mapping[str, Any], *, lock_patience: timedelta = LOCK_PATIENCE
) -> Generator[Task, Any, Any]:
    """Run an activity, and again with growing delays while its failure may pass. Use with ``yield from``.

    Args:
        ctx: the workflow's context.
        name: the activity.
        payload: its input.
        lock_patience: how long a lock that another run holds is waited for; other passing failures are
            tried ``TRIES`` times in all.

    Returns:
        The activity's result.

    Raises:
        ActivityFailedError: the last failure.
    """
    begun = ctx.now()
    delay, tries = FIRST_DELAY_SECONDS, 0
    while True:
        try:
            return (yield ctx.activity(name, payload))
        except ActivityFailedError as failure:
            if failure.specific_code == LockedError.code:
                patient = ctx.now() - begun < lock_patience
            else:
                tries += 1
                patient = tries < TRIES
            if not (failure.retryable and patient):
                raise
        yield ctx.timer(delay)
        delay = min(delay * 2, LONGEST_DELAY_SECONDS)
