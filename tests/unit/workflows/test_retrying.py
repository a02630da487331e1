"""How often and how long an activity is asked again."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.errors import BackupSystemError, IntegrityError, LockedError, UnreachableError
from shared.workflows.context import ActivityFailedError, Context, Task
from shared.workflows.retrying import FIRST_DELAY_SECONDS, LOCK_PATIENCE, TRIES, persistently
from shared.workflows.runner import DirectRunner
from tests.stores.blob.support import SetClock


class Stubborn:
    """An activity that fails with the given errors, one after the other, and then succeeds."""

    def __init__(self, clock: SetClock, *errors: BackupSystemError) -> None:
        self._clock = clock
        self._errors = list(errors)
        self.asked: list[datetime] = []

    def __call__(self, payload: dict[str, Any]) -> str:
        self.asked.append(self._clock.now())
        if self._errors:
            raise self._errors.pop(0)
        return "done"

    @property
    def pauses(self) -> list[float]:
        """Seconds between two calls, to the tenth."""
        pairs = zip(self.asked, self.asked[1:], strict=False)
        return [round((later - earlier).total_seconds(), 1) for earlier, later in pairs]


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


def asked(clock: SetClock, activity: Stubborn, **patience: timedelta) -> Any:
    def workflow(ctx: Context, payload: dict[str, Any]) -> Generator[Task, Any, Any]:
        return (yield from persistently(ctx, "work", payload, **patience))

    return DirectRunner({"work": activity}, clock).run(workflow, {})


def test_a_failure_that_may_pass_is_tried_again_after_growing_pauses(clock: SetClock) -> None:
    activity = Stubborn(clock, UnreachableError("gone"), UnreachableError("gone"))
    assert asked(clock, activity) == "done"
    assert activity.pauses == [FIRST_DELAY_SECONDS, 2 * FIRST_DELAY_SECONDS]


def test_it_is_given_up_after_three_tries_with_the_last_failure(clock: SetClock) -> None:
    activity = Stubborn(clock, *(UnreachableError(f"gone {number}") for number in range(9)))
    with pytest.raises(ActivityFailedError) as failed:
        asked(clock, activity)
    assert failed.value.message == "gone 2"
    assert failed.value.specific_code == "unreachable"
    assert len(activity.asked) == TRIES


def test_a_failure_that_stays_is_not_tried_again(clock: SetClock) -> None:
    activity = Stubborn(clock, IntegrityError("damaged"))
    with pytest.raises(ActivityFailedError):
        asked(clock, activity)
    assert len(activity.asked) == 1


def test_a_lock_is_waited_for_with_pauses_of_a_minute_at_most(clock: SetClock) -> None:
    activity = Stubborn(clock, *(LockedError("held") for _ in range(30)))
    assert asked(clock, activity) == "done"
    assert activity.pauses[:6] == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
    assert set(activity.pauses[6:]) == {60.0}


def test_waiting_for_a_lock_ends_when_patience_does(clock: SetClock) -> None:
    activity = Stubborn(clock, *(LockedError("held") for _ in range(500)))
    with pytest.raises(ActivityFailedError) as failed:
        asked(clock, activity)
    assert failed.value.specific_code == LockedError.code
    waited = activity.asked[-1] - activity.asked[0]
    assert LOCK_PATIENCE <= waited < LOCK_PATIENCE + timedelta(minutes=2)


def test_without_patience_a_lock_is_not_waited_for(clock: SetClock) -> None:
    activity = Stubborn(clock, LockedError("held"))
    with pytest.raises(ActivityFailedError):
        asked(clock, activity, lock_patience=timedelta(0))
    assert len(activity.asked) == 1


def test_waiting_for_a_lock_uses_up_no_tries(clock: SetClock) -> None:
    held = [LockedError("held") for _ in range(5)]
    activity = Stubborn(clock, *held, UnreachableError("gone"), *held, UnreachableError("gone"))
    assert asked(clock, activity) == "done"
