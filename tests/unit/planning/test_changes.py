"""What keeps a plan from being started."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.model.plans import TargetState
from shared.planning.changes import changes
from shared.planning.steps import files_of
from tests.unit.planning.world import ALICE, agent_collection, at, plan

PLAN = plan()
STATE = PLAN.execution.target_state
BLOBS: dict[str, tuple[int, str] | None] = {
    name: (size, etag) for name, size, etag in files_of(PLAN.execution.steps)
}


def test_nothing_changed_means_that_it_may_start() -> None:
    assert len(BLOBS) == 9
    assert changes(PLAN, STATE, "settings-1", BLOBS, at(8)) == []


def test_an_expired_plan() -> None:
    assert changes(PLAN, STATE, "settings-1", BLOBS, PLAN.expires_at - timedelta(seconds=1)) == []
    assert changes(PLAN, STATE, "settings-1", BLOBS, PLAN.expires_at) == [
        "The plan expired at 2026-03-02 07:00:00Z."
    ]


def test_other_settings() -> None:
    (found,) = changes(PLAN, STATE, "settings-2", BLOBS, at(8))
    assert "Settings" in found


def test_a_plan_that_was_altered_in_storage() -> None:
    altered = PLAN.model_copy(update={"execution": PLAN.execution.model_copy(update={"in_place": True})})
    (found,) = changes(altered, STATE, "settings-1", BLOBS, at(8))
    assert "digest" in found


def test_targets_that_appeared_or_went() -> None:
    collection = agent_collection(ALICE)
    state = TargetState(
        databases={"OctopusDB": "RESTORING"}, collections={**STATE.collections, collection: True}
    )
    assert changes(PLAN, state, "settings-1", BLOBS, at(8)) == [
        "Database OctopusDB was absent and is RESTORING now.",
        f"Collection {collection} exists now.",
    ]
    occupied = PLAN.model_copy(
        update={"execution": PLAN.execution.model_copy(update={"target_state": state})}
    )
    occupied = occupied.model_copy(update={"digest": occupied.execution.digest()})
    nothing = TargetState(databases={}, collections={})
    assert changes(occupied, nothing, "settings-1", BLOBS, at(8)) == [
        "Database OctopusDB was RESTORING and is absent now.",
        f"Collection {collection} is gone now.",
    ]


def test_an_alias_that_was_moved() -> None:
    alias = f"alias_{agent_collection(ALICE)}"
    moved = STATE.model_copy(update={"aliases": {**STATE.aliases, alias: "other"}})
    assert changes(PLAN, moved, "settings-1", BLOBS, at(8)) == [
        f"Alias {alias} stood for nothing and stands for other now."
    ]
    over = PLAN.model_copy(update={"execution": PLAN.execution.model_copy(update={"target_state": moved})})
    over = over.model_copy(update={"digest": over.execution.digest()})
    assert changes(over, STATE, "settings-1", BLOBS, at(8)) == [
        f"Alias {alias} stood for other and stands for nothing now."
    ]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(BLOBS)), st.sampled_from(["gone", "unknown", "size", "etag"]))
def test_any_file_that_changed_is_found_and_no_other(name: str, what: str) -> None:
    blobs = dict(BLOBS)
    size, etag = BLOBS[name] or (0, "")
    match what:
        case "gone":
            blobs[name] = None
        case "unknown":
            del blobs[name]
        case "size":
            blobs[name] = (size + 1, etag)
        case _:
            blobs[name] = (size, "other")
    (found,) = changes(PLAN, STATE, "settings-1", blobs, at(8))
    assert name in found
