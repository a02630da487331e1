"""The vector side of the checklist: what is read and kept before it is overwritten, proven as a whole, and
compared with the agents."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas

from local.octopus import embedding, truth
from shared.errors import RefusedError, UnreachableError
from shared.model.backups import Kind
from shared.model.runs import Run, StepState
from shared.stores.qdrant import QdrantStore
from tests.world import LATER, THEMES, World


def step_of(run: Run, kind: str) -> StepState:
    (step,) = (one for one in run.steps if one.id.endswith(f"-{kind}"))
    return step


def lines_of(world: World, listing: dict[str, Any]) -> list[dict[str, Any]]:
    """A listing in the catalogue, which must be the one that the evidence names."""
    blob = world.storage.get_blob_client(listing["container"], listing["name"])
    content = blob.download_blob().readall()
    assert len(content) == listing["size"]
    return [json.loads(line) for line in content.splitlines()]


def write(world: World, collection: str, *payloads: dict[str, Any]) -> None:
    points = [{"id": str(uuid.uuid4()), "vector": [0.1] * embedding.SIZE, "payload": one} for one in payloads]
    answer = world.qdrant.put(f"/collections/{collection}/points?wait=true", json={"points": points})
    answer.raise_for_status()


def test_documents_indexed_in_the_gap_are_listed_before_they_are_overwritten(world: World) -> None:
    world.back_up(Kind.FULL)
    world.make_point("before")
    world.moment()
    first, second = world.memory.agents()
    before = world.clock.now()
    world.memory.index(first, LATER.sources())
    write(world, f"agent_{second.id.hex}", {"source": "undated.pdf", "agentId": str(second.id)})
    world.work("newer than the point")
    world.back_up(Kind.LOG)

    plan = world.plan("latest", policy="latest_sql", in_place=True)
    run = world.restore(plan)

    found = step_of(run, "gap").evidence
    documents = lines_of(world, found["listing"])
    assert {one["source"] for one in documents} == {source.name for source in LATER.sources()}
    assert {one["agent_id"] for one in documents} == {str(first.id)}
    assert all(one["first_indexed_at"] >= before.isoformat()[:19] for one in documents)
    assert found["documents_indexed_in_the_gap"] == len(documents) == len(found["first_documents"])
    assert found["chunks"] == sum(one["chunks"] for one in documents) > 0
    assert found["points_without_time"] == {f"agent_{second.id.hex}": 1}
    assert found["not_listed"] == []
    assert str(len(documents)) in run.result["report_text"]
    assert "documents_indexed_in_the_gap" in run.result["report_text"]


def test_of_what_is_gone_the_window_and_the_agents_are_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.back_up(Kind.FULL)
    world.make_point("before")
    lost, _ = world.memory.agents()
    plan = world.plan({"recovery_point": "before"}, in_place=True)
    start = world.begin(plan)
    world.qdrant.delete(f"/collections/agent_{lost.id.hex}")  # after the plan, before its step
    run = world.run(start)
    assert run.state == "succeeded", run.error
    found = step_of(run, "gap").evidence
    assert found["not_listed"] == [
        {"collection": f"agent_{lost.id.hex}", "agent": str(lost.id), "why": "It is not there any more."}
    ]
    assert found["window"][0] < found["window"][1]
    assert step_of(run, "safety").evidence["not_copied"] == {
        f"agent_{lost.id.hex}": "It is not there any more."
    }


def shell(world: World, command: str, folder: Path) -> None:
    """Run a command as a person does who has nothing but a shell."""
    sas = generate_container_sas(
        world.account,
        "data",
        account_key=world.account_key,
        permission=ContainerSasPermissions(read=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    env = {
        "PATH": os.environ["PATH"],
        "DATA_SAS": sas,
        "QDRANT_API_KEY": "",
        "CURL_CA_BUNDLE": str(world.servers.azurite.certificate),
        "no_proxy": "*",
    }
    done = subprocess.run(
        ["sh", "-c", command], env=env, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_was_overwritten_comes_back_by_the_command_in_the_evidence(world: World, tmp_path: Path) -> None:
    world.back_up(Kind.FULL)
    world.make_point("before")
    first, _ = world.memory.agents()
    world.memory.index(first, LATER.sources())
    dismissed = world.truth().collections

    run = world.restore(world.plan({"recovery_point": "before"}, in_place=True))

    found = step_of(run, "safety").evidence
    assert found["copies"] == len(found["kept"]) == 2
    assert lines_of(world, found["listing"]) == found["kept"]
    name = f"agent_{first.id.hex}"
    assert world.truth().collections[name] != dismissed[name]
    (copy,) = (one for one in found["kept"] if one["collection"] == name)
    assert copy["points"]["value"] == len(dismissed[name])
    container, _, blob = copy["blob"].partition("/")
    assert world.storage.get_blob_client(container, blob).get_blob_properties().size == copy["size"]
    shell(world, copy["way_back"], tmp_path)
    assert world.truth().collections[name] == dismissed[name]
    assert world.account_key not in json.dumps(found)
    listed = world.qdrant.get(f"/collections/{name}/snapshots").json()["result"]
    assert listed == [], "neither a copy nor what was uploaded stays on the server"
    assert list(tmp_path.iterdir()) == []


def test_the_copies_are_no_backup_that_a_plan_could_choose(world: World) -> None:
    world.back_up(Kind.FULL)
    world.make_point("before")
    sets = world.system.catalogue.backups.set_hints()
    world.restore(world.plan({"recovery_point": "before"}, in_place=True))
    assert world.system.catalogue.backups.set_hints() == sets


def test_copies_are_taken_once_and_never_after_the_overwriting_has_begun(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.back_up(Kind.FULL)
    world.make_point("before")
    first, second = (f"agent_{agent.id.hex}" for agent in world.memory.agents())
    plan = world.plan({"recovery_point": "before"}, in_place=True)
    start = world.begin(plan)
    taken: list[str] = []
    back_up = QdrantStore.back_up

    def only_one(self: QdrantStore, request: Any, *more: Any) -> Any:
        if taken:
            raise UnreachableError("The peer is away.")
        taken.append(request.collection)
        return back_up(self, request, *more)

    with monkeypatch.context() as broken:
        broken.setattr(QdrantStore, "back_up", only_one)
        assert world.run(start).state == "failed"
    assert len(taken) == 1
    (other,) = {first, second} - set(taken)
    # As if another delivery of the run had gone on to overwrite this one meanwhile.
    overwriting = next(s for s in plan.execution.steps if getattr(s, "target", "") == other)
    world.system.catalogue.runs.save_part(start.run_id, f"begun/{overwriting.id}", {"attempt": 1})
    again: list[str] = []

    def noted(self: QdrantStore, request: Any, *more: Any) -> Any:
        again.append(request.collection)
        return back_up(self, request, *more)

    monkeypatch.setattr(QdrantStore, "back_up", noted)
    run = world.run(world.begin(plan))
    assert run.state == "succeeded", run.error
    assert again == []
    found = step_of(run, "safety").evidence
    assert [one["collection"] for one in found["kept"]] == taken
    assert found["not_copied"] == {other: "Its overwriting has begun: what was there is gone."}


def misshapen(world: World) -> str:
    """What an Octopus with another embedding model leaves when it is started too early."""
    first, _ = world.memory.agents()
    path = f"/collections/agent_{first.id.hex}"
    world.qdrant.delete(path).raise_for_status()
    world.qdrant.put(path, json={"vectors": {"size": 8, "distance": "Cosine"}}).raise_for_status()
    return path


def test_a_live_collection_of_other_dimensions_is_found_by_the_plan_which_cannot_be_started(
    world: World,
) -> None:
    world.back_up(Kind.FULL)
    world.make_point("before")
    misshapen(world)
    before = world.truth()
    plan = world.plan({"recovery_point": "before"}, in_place=True)
    assert "incompatible_collection" in {finding.code for finding in plan.findings}
    with pytest.raises(RefusedError, match=f"has 8 dimensions .* has {embedding.SIZE} dimensions") as refused:
        world.begin(plan)
    assert refused.value.specific_code == "incompatible_collection"
    assert truth.differences(before, world.truth()) == []


def test_one_that_gets_other_dimensions_after_the_plan_stops_its_step_and_is_left_alone(world: World) -> None:
    world.back_up(Kind.FULL)
    world.make_point("before")
    start = world.begin(world.plan({"recovery_point": "before"}, in_place=True))
    path = misshapen(world)
    run = world.run(start)
    assert run.error is not None
    assert (run.state, run.error.code) == ("failed", "incompatible_collection")
    vectors = world.qdrant.get(path).json()["result"]["config"]["params"]["vectors"]
    assert vectors == {"size": 8, "distance": "Cosine"}


@pytest.mark.parametrize("in_place", [True, False])
def test_all_collections_are_proven_together_in_the_last_step_of_the_third_item(
    world: World, in_place: bool
) -> None:
    world.back_up(Kind.FULL)
    world.make_point("before")
    points = sum(map(len, world.truth().collections.values()))
    run = world.restore(world.plan({"recovery_point": "before"}, in_place=in_place))
    proven = step_of(run, "orphans").evidence["all_collections"]
    assert proven["passed"]
    assert proven["collections"] == {"expected": 2, "restored": 2}
    assert proven["points"] == {"expected": points, "counted": points}
    assert proven["statuses"] == {"green": 2}


def test_where_only_vectors_are_restored_whichever_collection_ends_last_proves_all(world: World) -> None:
    world.back_up(Kind.FULL)
    world.make_point("before")
    world.lose_collections()
    plan = world.plan({"recovery_point": "before"}, stores=["qdrant"])
    run = world.restore(plan)
    steps = [step for step in run.steps if step.checklist == 3]
    assert any("all_collections" in step.evidence for step in steps)
    assert sum("all_collections" in step.evidence for step in steps) <= 2


def test_an_alias_that_was_moved_after_its_step_is_found_at_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (f"agent_{agent.id.hex}" for agent in world.memory.agents())
    alias(world, "current", first)
    world.back_up(Kind.FULL)
    world.make_point("before")
    restore_aliases = QdrantStore.restore_aliases

    def meddled(self: QdrantStore, wanted: Any) -> Any:
        done = restore_aliases(self, wanted)
        alias(world, "current", second)
        return done

    monkeypatch.setattr(QdrantStore, "restore_aliases", meddled)
    run = world.run(world.begin(world.plan({"recovery_point": "before"}, in_place=True)))
    assert run.state == "failed"
    assert run.error is not None
    assert (run.error.code, "'current' stands for" in run.error.message) == ("vectors_differ", True)
    alias(world, "current", first)


def alias(world: World, name: str, collection: str) -> None:
    action = {"create_alias": {"alias_name": name, "collection_name": collection}}
    world.qdrant.post("/collections/aliases", json={"actions": [action]}).raise_for_status()


def test_points_that_name_another_agent_or_tenant_are_reported_and_left_where_they_are(world: World) -> None:
    first, second = world.memory.agents()
    tenant = {"tenantId": str(uuid.uuid4()), "agentId": str(second.id)}
    write(world, f"agent_{second.id.hex}", tenant)
    stray = {"agentId": str(first.id), "tenantId": str(world_tenant(world)), "source": "stray.pdf"}
    write(world, f"agent_{second.id.hex}", stray, stray)
    world.qdrant.put(
        "/collections/shared_kb", json={"vectors": {"size": embedding.SIZE, "distance": "Cosine"}}
    )
    known = {"agentId": str(first.id), "tenantId": str(world_tenant(world))}
    write(world, "shared_kb", known, {**known, "agentId": str(uuid.uuid4())}, {"tenantId": known["tenantId"]})
    world.back_up(Kind.FULL)
    world.make_point("before")
    before = world.truth()

    run = world.restore(world.plan({"recovery_point": "before"}, in_place=True))

    found = step_of(run, "orphans")
    odd = {one["collection"]: one for one in found.evidence["points_that_disagree"]}
    assert odd[f"agent_{second.id.hex}"]["other_agent"] == 2
    assert odd[f"agent_{second.id.hex}"]["other_tenant"] == 1
    assert odd["shared_kb"]["other_agent"] == 1
    assert odd["shared_kb"]["without_agent"] == 1
    assert {one["source"] for one in odd[f"agent_{second.id.hex}"]["examples"]} == {"stray.pdf", None}
    assert found.evidence["counts"]["points_of_another_agent"] == 3
    assert found.evidence["collections_without_agent"] == []
    assert "name another agent or tenant" in found.note
    assert truth.differences(before, world.truth()) == []


def world_tenant(world: World) -> str:
    agents = world.system.sqlserver.agents_with_tenants(world.database)
    (tenant,) = set(agents.values())
    assert tenant is not None
    return tenant


def test_copies_beside_the_live_collections_are_no_orphans(world: World) -> None:
    world.back_up(Kind.FULL)
    world.make_point("before")
    world.restore(world.plan({"recovery_point": "before"}))  # side by side
    run = world.restore(world.plan({"recovery_point": "before"}, in_place=True))
    found = step_of(run, "orphans").evidence
    assert found["collections_without_agent"] == found["agents_without_collection"] == found["shared"] == []
    assert found["counts"]["collections_not_judged"] == 0


def test_an_orphan_is_reported_with_its_points_and_the_command_that_puts_it_aside(world: World) -> None:
    world.back_up(Kind.FULL)
    world.make_point("before")
    newcomer = world.add_agent(LATER)
    name = f"agent_{newcomer.id.hex}"
    points = len(world.truth().collections[name])
    run = world.restore(world.plan({"recovery_point": "before"}, in_place=True))
    found = step_of(run, "orphans").evidence
    assert found["points_without_known_agent"] == {name: points}
    assert found["quarantine"] == [f"octopus-backup quarantine {name}"]
    assert len(THEMES) == found["counts"]["collections_without_agent"] + 1
