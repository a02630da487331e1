"""The steps around the restore itself: rehydration, fence, gap, safety, migrations, erasures, the trial."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.model.backups import BlobRef, CollectionFacts, Count, QdrantFacts, Quality
from shared.model.plans import (
    ErasuresStep,
    FenceStep,
    GapStep,
    HealthStep,
    Migrations,
    MigrationsStep,
    Plan,
    Policy,
    RehydrateStep,
    SafetyStep,
    SqlProofStep,
)
from shared.planning.erasing import erased_users, list_sha256
from shared.planning.steps import files_of
from tests.unit.planning.world import (
    ALICE,
    BOB,
    agent_collection,
    at,
    hints,
    part,
    plan,
    point,
    request,
    resolution,
    snapshot_set,
)

A, B = agent_collection(ALICE), agent_collection(BOB)
LIVE: dict[str, Any] = {"databases": {"OctopusDB": "ONLINE"}, "collections": {A: True, B: True}}
SCRIPT = BlobRef(container="state", name="plans/x.migrations.sql", size=9, etag="e", sha256="ab" * 32)


def kinds(made: Plan) -> list[str]:
    return [step.kind for step in made.execution.steps]


def only[T](made: Plan, kind: type[T]) -> T:
    (found,) = [step for step in made.execution.steps if isinstance(step, kind)]
    return found


def codes(made: Plan) -> set[str]:
    return {finding.code for finding in made.findings}


def test_in_place_everything_has_its_place() -> None:
    made = plan(
        request(in_place=True, erase_users=["u1"]),
        tiers={"data/sql/1-0.bak": "Archive"},
        stop_hook=True,
        start_hook=True,
        **LIVE,
    )
    assert kinds(made) == [
        "rehydrate",
        "fence",
        "sql_tail",
        *["sql_restore"] * 4,
        *["sql_recover", "sql_proof", "migrations"],
        *["gap", "safety", "collection", "collection", "aliases"],
        *["orphans", "erasures", "health", "conversation", "aftermath"],
    ]
    assert [step.id[:3] for step in made.execution.steps] == [f"{n:03}" for n in range(1, 21)]


def test_only_what_is_archived_is_brought_back_and_the_plan_says_that_it_takes_hours() -> None:
    tiers = {"data/sql/1-0.bak": "Archive", "data/sql/1-1.bak": "Cool", "data/sql/2-0.bak": "Archive"}
    made = plan(tiers={**tiers, f"data/qdrant/{A}-1": "Archive"})
    step = only(made, RehydrateStep)
    assert {file.name for file in step.files} == {"sql/1-0.bak", f"qdrant/{A}-1"}
    assert made.execution.steps[0] is step
    assert made.size == plan().size
    (told,) = [finding for finding in made.findings if finding.code == "files_archived"]
    assert "15 hours" in told.message
    assert "rehydrate" not in kinds(plan(tiers=dict.fromkeys(tiers, "Hot")))


@pytest.mark.parametrize(
    ("changed", "hook"),
    [
        ({"stop_hook": True}, True),
        ({"stop_hook": True, "octopus_api": False}, True),
        ({}, False),
        ({"octopus_api": False}, None),
    ],
)
def test_the_api_is_fenced_where_a_hook_stops_it_or_its_address_is_known(
    changed: dict[str, Any], hook: bool | None
) -> None:
    made = plan(**changed)
    if hook is None:
        assert "fence" not in kinds(made)
    else:
        assert only(made, FenceStep).hook is hook
    assert ("fence_by_hand" in codes(made)) == (hook is False)


def test_beside_the_live_names_octopus_goes_on() -> None:
    made = plan(stop_hook=True, start_hook=True, **LIVE)
    assert not {"fence", "gap", "safety", "health", "conversation", "aftermath"} & set(kinds(made))


def test_a_database_beside_the_live_one_with_collections_in_service_holds_no_conversation() -> None:
    made = plan(databases={"OctopusDB": "ONLINE"})
    assert "health" in kinds(made)
    assert "conversation" not in kinds(made)
    assert "aftermath" not in kinds(made)


def test_the_start_hook_is_called_before_the_api_is_waited_for() -> None:
    assert only(plan(start_hook=True), HealthStep).hook
    assert not only(plan(), HealthStep).hook


def test_what_is_overwritten_is_read_and_kept_first() -> None:
    facts = snapshot_set(ALICE, BOB).facts
    assert isinstance(facts, QdrantFacts)
    parts = (part(A, 1, 0, at(4.4)), part(A, 2, 1, at(4.45)), *facts.parts[2:])
    made = plan(
        request(in_place=True), collections={A: True}, snapshot_set=snapshot_set(ALICE, BOB, parts=parts)
    )
    gap, safety = only(made, GapStep), only(made, SafetyStep)
    assert (gap.collections, gap.since) == ((A,), at(4.4))
    assert safety.collections == (A,)
    assert kinds(made)[kinds(made).index("gap") :][:3] == ["gap", "safety", "collection"]


def test_checkdb_is_part_of_the_proof_when_it_is_asked_for() -> None:
    assert only(plan(request(checkdb=True)), SqlProofStep).checkdb
    assert "CHECKDB" in only(plan(request(checkdb=True)), SqlProofStep).title
    assert not only(plan(), SqlProofStep).checkdb


def test_the_migration_script_is_a_file_of_the_plan() -> None:
    made = plan(request(migrations="script"), script=SCRIPT)
    step = only(made, MigrationsStep)
    assert (step.how, step.script, step.script_sha256) == (Migrations.SCRIPT, SCRIPT, SCRIPT.sha256)
    assert ("state/plans/x.migrations.sql", 9, "e") in list(files_of(made.execution.steps))
    plain = only(plan(script=SCRIPT), MigrationsStep)
    assert (plain.how, plain.script, plain.script_sha256) == (Migrations.CHECK, None, None)


def test_a_command_is_named_in_the_title_and_has_no_file() -> None:
    step = only(plan(request(migrations="command")), MigrationsStep)
    assert (step.how, step.script) == (Migrations.COMMAND, None)
    assert "OCTOPUS_MIGRATION_COMMAND" in step.title


def two_databases() -> dict[str, Any]:
    first = point().sql[0]
    other = first.model_copy(update={"database": "Other", "agents": ()})
    both = [one.model_copy(update={"id": one.id, "database": "Other"}) for one in hints()]
    found = resolution(
        request(), points=[point(sql=(other, first))], backups={"OctopusDB": hints(), "Other": both}
    )
    return {"resolution": found}


def test_only_octopus_own_database_is_migrated() -> None:
    made = plan(request(migrations="script"), script=SCRIPT, **two_databases())
    steps = [step for step in made.execution.steps if isinstance(step, MigrationsStep)]
    assert {step.database: step.how for step in steps} == {
        "Other": Migrations.CHECK,
        "OctopusDB": Migrations.SCRIPT,
    }


def test_users_are_erased_from_every_restored_database_and_named_nowhere() -> None:
    users = ["victor", "alicia", "victor"]
    made = plan(request(erase_users=users, names={"Other": "Copy"}), **two_databases())
    steps = [step for step in made.execution.steps if isinstance(step, ErasuresStep)]
    assert {(step.database, step.target, step.users) for step in steps} == {
        ("Other", "Copy", 2),
        ("OctopusDB", "OctopusDB", 2),
    }
    assert {step.list_sha256 for step in steps} == {list_sha256(erased_users(users))}
    told = json.dumps(made.as_json())
    assert "victor" not in told
    assert "alicia" not in told
    assert made.request["erase_users"] == {"users": 2, "sha256": list_sha256(("alicia", "victor"))}


def test_a_script_that_came_with_the_request_is_kept_as_a_hash_only() -> None:
    made = plan(request(migrations="script", migration_script="SELECT 'sécret';"), script=SCRIPT)
    assert "cret" not in json.dumps(made.as_json(), ensure_ascii=False)
    assert made.request["migration_script"]["bytes"] == len("SELECT 'sécret';".encode())
    assert plan().request["migration_script"] is None
    assert plan().request["erase_users"] is None


def test_the_list_of_users_has_one_order_and_another_list_another_hash() -> None:
    assert erased_users(["b", "a", "b"]) == ("a", "b")
    assert list_sha256(["a", "b"]) != list_sha256(["a,b"])


def test_the_conversation_is_told_to_write_an_episode() -> None:
    assert "conversation_writes" in codes(plan())
    assert "conversation_writes" not in codes(plan(octopus_api=False))


def losses(made: Plan) -> list[str]:
    return [loss for loss in made.losses if "about" in loss]


def test_how_many_episodes_and_documents_are_newer_is_told_where_it_is_known() -> None:
    made = plan(episodes_now={"OctopusDB": 10}, points_now={A: 25, B: 20})
    assert losses(made) == [
        "OctopusDB: about 7 episode(s) after the recovery point.",
        "Vectors: about 5 document part(s) after the snapshots.",
    ]
    some = plan(episodes_now={"OctopusDB": 1}, points_now={A: 15})
    assert losses(some) == [
        "OctopusDB: about 2 episode(s) fewer are there now than at the recovery point; those come back.",
        (
            "Vectors: about 5 document part(s) fewer are there now than at the snapshots; those come back, "
            "in 1 of 2 collections."
        ),
    ]


def test_nothing_is_counted_where_nobody_could() -> None:
    assert losses(plan()) == []
    assert losses(plan(episodes_now={"Another": 10}, points_now={"another": 3})) == []
    silent = point().sql[0].model_copy(update={"tables": {}})
    found = resolution(request(), points=[point(sql=(silent,))])
    assert losses(plan(resolution=found, episodes_now={"OctopusDB": 10})) == []
    elsewhere = resolution(request(stores=["qdrant"], target={"recovery_point": "POINT1"}))
    assert losses(plan(resolution=elsewhere, episodes_now={"OctopusDB": 10})) == []


def test_episodes_at_a_time_between_two_points_are_not_known() -> None:
    assert losses(plan(policy=Policy.LATEST_SQL, episodes_now={"OctopusDB": 10})) == []


def test_a_set_of_another_collection_is_not_counted() -> None:
    facts = snapshot_set(ALICE).facts
    assert isinstance(facts, QdrantFacts)
    other = CollectionFacts(
        name="empty", config={}, shard_ids=(0,), points=Count(value=0, quality=Quality.EXACT)
    )
    made = plan(
        snapshot_set=snapshot_set(ALICE, collections=(*facts.collections, other)),
        points_now={A: 21, "empty": 99},
    )
    assert losses(made) == ["Vectors: about 1 document part(s) after the snapshots."]
