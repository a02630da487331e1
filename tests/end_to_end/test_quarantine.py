"""A collection that nobody knows is put aside: never deleted before its copy is proven, wherever it stops."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest

from shared.errors import LockedError, NotFoundError, RefusedError, UnreachableError
from shared.model.backups import Kind
from shared.model.quarantines import QuarantineRequest
from shared.model.runs import Run
from shared.stores.qdrant import QdrantStore
from shared.workflows import quarantine
from shared.workflows.quarantine import copy_name, look, start_quarantine
from shared.workflows.runs import Start
from tests.world import LATER, World


def orphan(world: World) -> str:
    """A collection of an agent that SQL Server does not know."""
    known, *_ = world.memory.agents()
    stranger = replace(known, id=uuid.uuid4())
    world.memory.index(stranger, LATER.sources())
    return f"agent_{stranger.id.hex}"


def begun(world: World, name: str, **more: Any) -> Start:
    return start_quarantine(world.system, QuarantineRequest(collection=name, **more))


def refusal(world: World, name: str) -> str:
    with pytest.raises(RefusedError) as refused:
        look(world.system, QuarantineRequest(collection=name))
    return refused.value.specific_code


def aside(run: Run) -> str:
    return str(run.request["copy_name"])


def test_an_orphan_is_copied_proven_and_only_then_deleted(world: World) -> None:
    name = orphan(world)
    points = world.truth().collections[name]
    run = world.run(begun(world, name))
    assert run.state == "succeeded", run.error
    found = world.truth().collections
    assert name not in found
    assert found[aside(run)] == points
    assert run.step("copy").evidence["points"] == len(points)
    assert run.step("copy").evidence["kept"][0]["way_back"].startswith("curl ")
    assert set(run.step("aside").evidence["points"]["counted"].values()) == {len(points)}
    assert run.step("delete").evidence["was_there"]


def test_what_was_put_aside_is_backed_up_no_more_and_is_no_orphan(world: World) -> None:
    name = orphan(world)
    run = world.run(begun(world, name))
    world.back_up(Kind.FULL)
    point = world.make_point("after")
    assert not {name, aside(run)} & set(point.vectors.collections)
    state = world.system.qdrant.inspect()
    assert aside(run) in state.scratch
    assert aside(run) not in state.unprotected


def test_the_collection_of_a_known_agent_is_refused_unless_a_reason_is_given(world: World) -> None:
    first, _ = world.memory.agents()
    name = f"agent_{first.id.hex}"
    assert refusal(world, name) == "agent_known"
    found = look(world.system, QuarantineRequest(collection=name, force="a twin of agent 7"))
    assert (found.force, found.agent) == ("a twin of agent 7", str(first.id))
    assert world.run(begun(world, name, force="a twin of agent 7")).state == "succeeded"


def test_what_may_be_in_use_is_refused(world: World) -> None:
    vectors = {"vectors": {"size": 4, "distance": "Dot"}}
    for name in ("shared_kb", "rp_20260131t040000_kb"):
        world.qdrant.put(f"/collections/{name}", json=vectors).raise_for_status()
    assert refusal(world, "shared_kb") == "not_an_agents"
    assert refusal(world, "rp_20260131t040000_kb") == "is_a_copy"
    name = orphan(world)
    action = {"create_alias": {"alias_name": "current", "collection_name": name}}
    world.qdrant.post("/collections/aliases", json={"actions": [action]}).raise_for_status()
    assert refusal(world, name) == "alias_in_use"
    with pytest.raises(NotFoundError):
        look(world.system, QuarantineRequest(collection="current"))  # the alias's own name
    with pytest.raises(NotFoundError):
        look(world.system, QuarantineRequest(collection="nothing", force="x"))


@pytest.mark.parametrize(
    ("step", "nth"), [("copy", 1), ("aside", 2), ("delete", 3)], ids=["copy", "aside", "delete"]
)
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_killed_beside_any_step_it_goes_on_where_it_was(
    world: World, step: str, nth: int, before: bool
) -> None:
    name = orphan(world)
    points = world.truth().collections[name]
    start = begun(world, name)
    left = world.crash(start, "quarantine_step", nth=nth, before=before)
    found = world.truth().collections
    assert points in (found.get(name), found.get(aside(left))), "at no moment are the points nowhere"
    with pytest.raises(LockedError):
        begun(world, name)
    world.die(start)
    run = world.run(begun(world, name))
    assert (run.id, run.attempt, run.state) == (start.run_id, 2, "succeeded")
    found = world.truth().collections
    assert name not in found
    assert found[aside(run)] == points
    assert len([one for one in world.collections() if one.startswith("quarantine_")]) == 1


def test_killed_in_the_midst_of_the_deletion_it_finds_it_done(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = orphan(world)
    remove, calls = QdrantStore.remove, []

    def cut_off(self: QdrantStore, *wanted: Any) -> Any:
        calls.append(remove(self, *wanted))
        if len(calls) == 1:
            raise UnreachableError("The answer was lost.")
        return calls[-1]

    monkeypatch.setattr(QdrantStore, "remove", cut_off)
    run = world.run(begun(world, name))
    assert run.state == "succeeded", run.error
    assert [one["was_there"] for one in calls] == [True, False]
    assert name not in world.collections()
    assert aside(run) in world.collections()


def test_what_was_written_since_the_copy_is_never_deleted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = orphan(world)
    restore = QdrantStore.restore

    def written_to(self: QdrantStore, *wanted: Any, **more: Any) -> Any:
        done = restore(self, *wanted, **more)
        point = world.qdrant.post(
            f"/collections/{name}/points/scroll", json={"limit": 1, "with_vector": True}
        ).json()["result"]["points"][0]
        late = {**point, "id": "00000000-0000-4000-8000-00000000abcd"}
        world.qdrant.put(f"/collections/{name}/points?wait=true", json={"points": [late]}).raise_for_status()
        return done

    with monkeypatch.context() as busy:
        busy.setattr(QdrantStore, "restore", written_to)
        run = world.run(begun(world, name))
    assert run.error is not None
    assert (run.state, run.error.code) == ("failed", quarantine.CHANGED)
    points = world.truth().collections[name]
    world.moment()  # the second copy gets a name of its own
    again = world.run(begun(world, name))
    assert (again.state, again.id == run.id) == ("succeeded", False)
    assert world.truth().collections[aside(again)] == points


def test_a_quarantine_and_a_restore_of_the_same_collection_keep_out_of_each_others_way(world: World) -> None:
    world.back_up(Kind.FULL)
    world.make_point("before")
    first, _ = world.memory.agents()
    start = begun(world, f"agent_{first.id.hex}", force="for the test")
    with pytest.raises(LockedError, match=start.run_id):
        world.begin(world.plan({"recovery_point": "before"}, in_place=True))
    assert world.run(start).state == "succeeded"


def test_a_long_name_is_cut_so_that_the_copy_can_be_snapshotted_too(world: World) -> None:
    name = copy_name("agent_" + "é" * 120, world.clock.now())
    assert len(name.encode()) <= 193
    assert name.startswith("quarantine_")
