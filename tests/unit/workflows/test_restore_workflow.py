"""The order in which a restore does its steps, and what one failure means for the others."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from shared.errors import BackupSystemError, IntegrityError, UnreachableError
from shared.workflows.restores import restore
from shared.workflows.runner import DirectRunner
from tests.stores.blob.support import SetClock

TICKET = {"kind": "restore", "run_id": "R", "attempt": 1}


class Steps:
    """Stands in for the activities: groups as they are given, and failures by step, each so many times."""

    def __init__(self, *groups: list[Any], **failures: list[BackupSystemError]) -> None:
        self.groups = list(groups)
        self.failures = {int(name.removeprefix("step")): list(errors) for name, errors in failures.items()}
        self.done: list[int] = []
        self.tried: Counter[int] = Counter()
        self.ended: dict[str, Any] = {}

    def run(self) -> None:
        def step(payload: dict[str, Any]) -> Any:
            index = payload["index"]
            self.tried[index] += 1
            if self.failures.get(index):
                raise self.failures[index].pop(0)
            self.done.append(index)
            return {"again": False}

        def end(payload: dict[str, Any]) -> Any:
            self.ended = payload
            return {"state": "failed" if "error" in payload else "succeeded"}

        known = {
            "begin_restore": lambda _: {"groups": self.groups},
            "restore_step": step,
            "await_health": step,
            "await_rehydration": step,
            "end_restore": end,
        }
        DirectRunner(known, SetClock()).run(restore, TICKET)


def test_steps_are_done_in_their_order_and_collections_together() -> None:
    steps = Steps(["rehydrate", 0, 1], ["sql_restore", 1, 3], ["collection", 3, 9], ["health", 9, 10])
    steps.run()
    assert steps.done[:3] == [0, 1, 2]
    assert sorted(steps.done[3:9]) == [3, 4, 5, 6, 7, 8]
    assert steps.done[9:] == [9]
    assert "error" not in steps.ended


def test_a_collection_that_may_go_better_is_tried_again_although_another_one_failed_for_good() -> None:
    steps = Steps(
        ["collection", 0, 3],
        ["health", 3, 4],
        step0=[IntegrityError("damaged")],
        step2=[UnreachableError("busy"), UnreachableError("still busy")],
    )
    steps.run()
    assert sorted(steps.done) == [1, 2]
    assert steps.ended["error"]["message"] == "damaged"
    assert 3 not in steps.tried


def test_one_that_stays_away_does_not_keep_the_others_from_a_second_try() -> None:
    steps = Steps(
        ["collection", 0, 2], step0=[UnreachableError("away")] * 9, step1=[UnreachableError("busy")]
    )
    steps.run()
    assert steps.done == [1]
    assert steps.ended["error"]["message"] == "away"


@pytest.mark.parametrize("index", [0, 1])
def test_any_other_failure_ends_the_restore(index: int) -> None:
    failures: dict[str, list[BackupSystemError]] = {f"step{index}": [IntegrityError("damaged")]}
    steps = Steps(["sql_restore", 0, 2], **failures)
    steps.run()
    assert steps.done == list(range(index))
    assert steps.ended["error"]["code"] == "integrity"
