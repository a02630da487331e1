"""What is only nice to know is not waited for, and what must not be used is left out with its reason."""

from __future__ import annotations

import threading

import pytest

from shared.errors import UnreachableError
from shared.model.plans import PointTarget
from shared.planning.consistency import pair
from shared.workflows import gathering
from shared.workflows.gathering import without
from tests.unit.planning.world import hints, known


def away() -> int:
    raise UnreachableError("The server is away.")


def test_answers_that_come_too_late_or_not_at_all_are_done_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gathering, "ANSWER_SECONDS", 0.2)
    ended = threading.Event()

    def late() -> int:
        ended.wait(5)
        return 1

    try:
        found = gathering._in_time({"quick": lambda: 7, "away": away, "none": lambda: None, "late": late})
    finally:
        ended.set()
    assert found == {"quick": 7}
    assert "The server is away." in caplog.text
    assert "1 of 4 answers" in caplog.text


def test_a_mistake_of_ours_is_not_taken_for_a_missing_answer() -> None:
    with pytest.raises(ZeroDivisionError):
        gathering._in_time({"broken": lambda: 1 // 0})


def test_what_has_a_flaw_is_left_out_with_its_reason() -> None:
    what = without(known(), {"SQL1": "it is gone", "SET1": "one file is gone"})
    (full, *_) = what.backups["OctopusDB"]
    assert (full.is_damaged, full.flaw) == (True, "it is gone")
    assert what.sets == []
    (point,) = what.points
    assert not point.complete
    assert point.reasons == ("of its snapshot set: one file is gone",)
    assert pair(what.points, PointTarget(recovery_point="POINT1")) is point
    assert known().backups["OctopusDB"] == hints()
