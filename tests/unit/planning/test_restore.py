"""The restore plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.model.backups import Count, QdrantFacts, Quality, ShardPart, Store
from shared.model.findings import Severity
from shared.model.plans import (
    AftermathStep,
    AliasesStep,
    CollectionStep,
    ConversationStep,
    Migrations,
    OrphansStep,
    Plan,
    PlanRequest,
    Policy,
    SqlRestoreStep,
    SqlTailStep,
    Stop,
)
from shared.planning.resolving import Resolution
from shared.planning.restore import PlanInputs, plan_restore
from tests.unit.planning.world import (
    ALICE,
    BACKUPS,
    BOB,
    GONE,
    MARK_LSN,
    PLAN_ID,
    agent_collection,
    at,
    blob,
    inputs,
    part,
    plan,
    point,
    request,
    resolution,
    snapshot_set,
    unmarked,
)

A, B, G = agent_collection(ALICE), agent_collection(BOB), agent_collection(GONE)
LIVE: dict[str, Any] = {"databases": {"OctopusDB": "ONLINE"}, "collections": {A: True, B: True}}

ORDINARY = {"fence_by_hand", "conversation_writes"}
"""What every plan finds that ends with Octopus in service."""


def codes(made: Plan) -> set[str]:
    return {finding.code for finding in made.findings}


def only[T](made: Plan, kind: type[T]) -> T:
    (found,) = [step for step in made.execution.steps if isinstance(step, kind)]
    return found


def test_the_steps_come_in_the_order_of_the_checklist() -> None:
    made = plan()
    assert [step.kind for step in made.execution.steps] == [
        "fence",
        *["sql_restore"] * 4,
        "sql_recover",
        "sql_proof",
        "migrations",
        *["collection"] * 2,
        "aliases",
        "orphans",
        "health",
        "conversation",
        "aftermath",
    ]
    numbers = [step.checklist for step in made.execution.steps if step.checklist is not None]
    assert numbers == sorted(numbers)
    assert [step.id for step in made.execution.steps][:2] == ["001-fence", "002-sql_restore"]


def test_every_restore_has_the_same_stop_and_only_the_last_must_reach_it() -> None:
    steps = [step for step in plan().execution.steps if isinstance(step, SqlRestoreStep)]
    assert {step.stop for step in steps} == {Stop(mark="rp_1")}
    assert [step.last for step in steps] == [False, False, False, True]
    assert [bool(step.data_files) for step in steps] == [True, False, False, False]
    assert "1-0.bak in 2 stripes" in steps[0].title


def test_what_was_resolved_is_in_the_execution() -> None:
    target = plan().execution.target
    assert (target.recovery_point_id, target.sql_stop, target.sql_lsn) == (
        "POINT1",
        Stop(mark="rp_1"),
        MARK_LSN,
    )
    latest = plan(policy=Policy.LATEST_SQL).execution
    assert (latest.target.recovery_point_id, latest.target.sql_stop) == ("POINT1", Stop())
    assert latest.target.sql_lsn is None


def test_a_collection_is_restored_from_every_peer_that_holds_data_of_it() -> None:
    empty = part(A, 3, 0, at(4.5)).model_copy(
        update={"shards": (ShardPart(shard_id=0, segments=(), has_wal=False),)}
    )
    manifest = snapshot_set(ALICE, BOB)
    assert isinstance(manifest.facts, QdrantFacts)
    made = plan(snapshot_set=snapshot_set(ALICE, BOB, parts=(*reversed(manifest.facts.parts), empty)))
    first = next(step for step in made.execution.steps if isinstance(step, CollectionStep))
    assert [one.peer_id for one in first.parts] == [1, 2]


def test_side_by_side_overwrites_nothing_and_leaves_aliases_where_they_are() -> None:
    made = plan(**LIVE)
    state = made.execution.target_state
    assert state.databases == {"rp_20260301t043600_OctopusDB": "absent"}
    assert not any(state.collections.values())
    assert not any(
        isinstance(step, AliasesStep | AftermathStep | SqlTailStep) for step in made.execution.steps
    )
    assert "aliases_not_moved" in codes(made)
    assert "overwrites" not in codes(made)


def test_after_a_total_loss_the_live_names_are_used() -> None:
    made = plan()
    assert made.execution.target_state.databases == {"OctopusDB": "absent"}
    assert only(made, AliasesStep).aliases == {f"alias_{A}": A, f"alias_{B}": B}
    assert codes(made) == ORDINARY


def test_in_place_takes_the_tail_first_warns_and_backs_up_afterwards() -> None:
    made = plan(request(in_place=True), **LIVE)
    tail = only(made, SqlTailStep)
    assert [step.kind for step in made.execution.steps][:2] == ["fence", "sql_tail"]
    assert (tail.database, tail.backup_id[:8]) == ("OctopusDB", PLAN_ID[:8])
    assert all(step.overwrites for step in made.execution.steps if isinstance(step, CollectionStep))
    assert "overwrites" in codes(made)
    assert any("tail" in loss for loss in made.losses)


def test_what_was_replaced_is_backed_up_at_once_under_the_name_that_it_has() -> None:
    made = plan(request(in_place=True, names={"OctopusDB": "Live"}), databases={"Live": "ONLINE"})
    kinds = [step.kind for step in made.execution.steps]
    assert kinds[-1] == "aftermath"
    aftermath = only(made, AftermathStep)
    assert aftermath.database == "Live"
    assert "Back up Live" in aftermath.title


def test_an_alias_in_service_is_moved_in_place_only() -> None:
    alias, right = f"alias_{A}", f"alias_{B}"
    there = {alias: "other", right: B, "theirs": "other"}
    beside = plan(aliases=there)
    assert only(beside, AliasesStep).aliases == {right: B}
    assert beside.execution.target_state.aliases == {right: B}
    (told,) = [finding for finding in beside.findings if finding.code == "aliases_not_moved"]
    assert alias in told.message
    assert right not in told.message
    in_place = plan(request(in_place=True), aliases=there)
    assert only(in_place, AliasesStep).aliases == {alias: A, right: B}
    assert in_place.execution.target_state.aliases == {alias: "other", right: B}
    assert "aliases_not_moved" not in codes(in_place)
    assert plan().execution.target_state.aliases == {alias: "", right: ""}


def test_a_name_that_is_an_alias_is_avoided_and_in_place_it_stops_the_plan() -> None:
    there: dict[str, Any] = {"aliases": {A: "other"}, "collections": {A: True}}
    beside = plan(**there)
    assert A not in beside.execution.target_state.collections
    assert "target_is_alias" not in codes(beside)
    (told,) = [one for one in plan(request(in_place=True), **there).findings if one.code == "target_is_alias"]
    assert (told.severity, A in told.message) == (Severity.ERROR, True)


@pytest.mark.parametrize(
    ("version", "stops"),
    [("1.18.9", True), ("unknown", True), ("1.19.0", False), ("v1.19.3-dev", False), ("2.0.0", False)],
)
def test_a_server_older_than_the_snapshots_stops_the_plan(version: str, stops: bool) -> None:
    made = plan(qdrant_versions={"1": "1.19.0", "2": version})
    told = [finding for finding in made.findings if finding.code == "version_too_old"]
    assert bool(told) == stops
    assert all(one.severity is Severity.ERROR and f"{version} (peer 2)" in one.message for one in told)


def test_a_set_without_known_versions_stops_nothing() -> None:
    assert codes(plan(snapshot_set=snapshot_set(ALICE, BOB, versions={}))) == ORDINARY


def test_a_collection_with_custom_sharding_is_left_out_even_when_it_is_named() -> None:
    manifest = snapshot_set(ALICE, BOB)
    assert isinstance(manifest.facts, QdrantFacts)
    first, second = manifest.facts.collections
    custom = first.model_copy(update={"config": {"params": {"sharding_method": "custom"}}})
    plain = second.model_copy(update={"config": {"params": {"sharding_method": "auto"}}})
    made = plan(
        request(names={A: "rescued"}), snapshot_set=snapshot_set(ALICE, BOB, collections=(custom, plain))
    )
    assert set(made.execution.target_state.collections) == {B}
    assert any(A in loss and "custom sharding" in loss for loss in made.losses)


def test_the_zone_that_a_backup_was_made_in_is_part_of_what_is_executed() -> None:
    steps = [step for step in plan().execution.steps if isinstance(step, SqlRestoreStep)]
    assert {step.utc_offset_minutes for step in steps} == {60}


def test_a_database_that_is_not_online_has_no_tail_to_take() -> None:
    made = plan(request(in_place=True), databases={"octopusdb": "SUSPECT"})
    assert not any(isinstance(step, SqlTailStep) for step in made.execution.steps)
    assert made.execution.target_state.databases == {"OctopusDB": "SUSPECT"}


def test_many_overwritten_names_are_abridged() -> None:
    agents = [f"{n:08}-1111-4111-8111-111111111111" for n in range(9)]
    there: dict[str, bool] = {agent_collection(agent): True for agent in agents}
    without = resolution(request(), points=[point(sql=())])
    made = plan(
        request(in_place=True), resolution=without, snapshot_set=snapshot_set(*agents), collections=there
    )
    assert any("and 4 more" in finding.message for finding in made.findings)


def test_a_collection_whose_agent_was_deleted_is_listed_and_not_restored() -> None:
    made = plan(snapshot_set=snapshot_set(ALICE, BOB, GONE))
    assert G not in made.execution.target_state.collections
    assert "collections_without_agent" in codes(made)
    assert any(G in loss and "was deleted" in loss for loss in made.losses)


def test_a_collection_whose_agent_was_deleted_is_restored_when_it_is_named() -> None:
    made = plan(request(names={G: "rescued"}), snapshot_set=snapshot_set(ALICE, BOB, GONE))
    assert "rescued" in made.execution.target_state.collections
    assert any("because they were named" in finding.message for finding in made.findings)


def test_without_known_agents_no_collection_is_left_out() -> None:
    side = point().sql[0].model_copy(update={"agents": ()})
    found = resolution(request(), points=[point(sql=(side,))])
    made = plan(resolution=found, snapshot_set=snapshot_set(ALICE, GONE))
    assert set(made.execution.target_state.collections) == {A, G}


def test_a_collection_with_a_missing_shard_is_left_out_unless_named() -> None:
    one_peer = tuple(part(name, 1, 0, at(4.5)) for name in (A, B))
    manifest = snapshot_set(ALICE, BOB, parts=one_peer[:1])
    made = plan(snapshot_set=manifest)
    assert any("shards 1" in loss for loss in made.losses)
    assert any(B in loss and "shards 0, 1" in loss for loss in made.losses)
    named = plan(request(names={A: "partly"}), snapshot_set=manifest)
    assert set(named.execution.target_state.collections) == {"partly"}


def test_the_orphans_are_looked_for_under_the_restored_names() -> None:
    made = plan(request(names={A: "copy"}))
    assert only(made, OrphansStep).collections == ("copy", B)
    assert only(made, ConversationStep).collections == {A: "copy", B: B}


def test_without_the_api_the_last_two_steps_are_left_out_and_said_so() -> None:
    made = plan(octopus_api=False)
    assert {step.checklist for step in made.execution.steps} == {None, 1, 2, 3}
    assert "octopus_api_not_configured" in codes(made)


def test_vectors_alone() -> None:
    found = resolution(request(), points=[point(sql=())])
    made = plan(resolution=found)
    assert {step.kind for step in made.execution.steps} == {"fence", "collection", "aliases", "health"}
    assert "alone" in made.consistency
    assert made.execution.target.sql_stop == Stop()
    assert "sqlserver" not in made.space
    quiet = plan(resolution=found, octopus_api=False)
    assert {step.kind for step in quiet.execution.steps} == {"collection", "aliases"}


def test_sql_server_alone() -> None:
    found = resolution(request(policy="latest_sql"), Policy.LATEST_SQL, points=[], sets=[])
    made = plan(resolution=found, snapshot_set=None)
    assert {step.checklist for step in made.execution.steps} == {None, 1, 2, 4, 5}
    assert "nothing is done to the vectors" in made.consistency
    assert "vectors" not in made.summary
    assert made.execution.target.recovery_point_id is None


def test_the_consistency_is_stated_for_each_policy() -> None:
    assert "its mark was set" in plan().consistency
    assert (
        "log backup was made"
        in plan(resolution=resolution(request(), points=[unmarked(point())])).consistency
    )
    assert "proves the order" in plan(policy=Policy.LATEST_SQL).consistency
    bare = resolution(request(policy="latest_sql"), Policy.LATEST_SQL, points=[])
    assert "margin for clocks" in plan(resolution=bare).consistency


def test_what_is_lost_is_said_with_its_span() -> None:
    lost = plan().losses
    assert "after 2026-03-01 04:36:00Z" in lost[0]
    assert "1 h 24 min" in lost[0]
    assert "59 min 55 s" in lost[1]
    assert "indexed or changed after 2026-03-01 04:30:00Z, 2 h 30 min ago" in lost[2]
    assert "2026-03-01 06:00:05Z" in plan(policy=Policy.LATEST_SQL).losses[0]


def test_a_name_is_in_the_summary() -> None:
    named = resolution(request(), points=[point(name="before v7")])
    assert "(before v7)" in plan(resolution=named).summary


def test_what_is_weak_about_the_point_is_a_finding() -> None:
    side = (
        point().sql[0].model_copy(update={"tables": {"dbo.T": Count(value=1, quality=Quality.APPROXIMATE)}})
    )
    weak = point(complete=False, reasons=("one collection failed",), sql=(side,))
    asked = request(target={"recovery_point": "POINT1"})
    made = plan(resolution=resolution(asked, points=[weak]))
    assert {"recovery_point_incomplete", "approximate_counts"} <= codes(made)
    assert "no_mark" in codes(plan(resolution=resolution(asked, points=[unmarked(point())])))


@pytest.mark.parametrize(
    ("versions", "overwritten", "needed"),
    [
        ({"1": "1.19.0"}, False, 2500),
        ({"1": "1.20.1-dev", "2": "1.19.2"}, False, 2500),
        ({"1": "1.16.3", "2": "1.19.0"}, False, 3500),
        ({}, False, 3500),
        ({"1": "unknown"}, False, 3500),
        ({"1": "1.19.0"}, True, 4500),
    ],
)
def test_the_space_that_each_peer_needs(versions: dict[str, str], overwritten: bool, needed: int) -> None:
    # two collections of 1,000 bytes per peer: both stay, and the peak of one comes on top
    there: dict[str, Any] = LIVE if overwritten else {}
    made = plan(request(in_place=overwritten), qdrant_versions=versions, **there)
    assert made.space["qdrant/1"] == made.space["qdrant/2"] == needed
    assert made.space.get("sqlserver") == (None if overwritten else 5500)


def test_unknown_space_stops_the_plan_until_a_person_confirms_it() -> None:
    asked = request(confirm_space=False)
    (finding,) = [one for one in plan(asked).findings if one.code not in ORDINARY]
    assert (finding.code, finding.severity) == ("space_unknown", Severity.ERROR)
    assert codes(plan(asked, free_bytes=2500)) == ORDINARY
    assert codes(plan(asked, free_bytes=2499)) == ORDINARY | {"space_short"}
    assert codes(plan(request(confirm_space=True), free_bytes=1)) == ORDINARY


def test_a_plan_expires_after_a_day_and_counts_what_it_reads() -> None:
    made = plan()
    assert made.expires_at - made.made_at == timedelta(hours=24)
    assert made.size == 5 * 1000 + 4 * 1000
    assert [choice.backup_id for choice in made.chosen] == ["SQL1", "SQL3", "SQL4", "SQL5"]
    assert made.request["target"] == "latest"


def test_a_manifest_of_another_store_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match="no SQL Server backup"):
        plan(manifests={manifest.id: snapshot_set(ALICE) for manifest in BACKUPS})


def test_a_plan_survives_json() -> None:
    made = plan(request(in_place=True), **LIVE)
    again = Plan.model_validate(made.as_json())
    assert again == made
    assert again.execution.digest() == made.digest


def other_point(given: PlanInputs) -> PlanInputs:
    return replace(given, resolution=resolution(request(), points=[point("POINT2")]))


def other_file(given: PlanInputs) -> PlanInputs:
    facts = BACKUPS[0].facts
    files = (facts.files[0].model_copy(update={"etag": "other"}), *facts.files[1:])  # type: ignore[union-attr]
    changed = BACKUPS[0].model_copy(update={"facts": facts.model_copy(update={"files": files})})
    return replace(given, manifests={**given.manifests, "SQL1": changed})


def other_zone(given: PlanInputs) -> PlanInputs:
    facts = given.manifests["SQL3"].facts.model_copy(update={"utc_offset_minutes": 0})
    changed = given.manifests["SQL3"].model_copy(update={"facts": facts})
    return replace(given, manifests={**given.manifests, "SQL3": changed})


SCRIPT = blob("migrations/x.sql").model_copy(update={"sha256": "ab" * 32})


def also(given: PlanInputs, **values: Any) -> PlanInputs:
    return replace(given, request=given.request.model_copy(update=values))


def asked(**values: Any) -> PlanRequest:
    return request(**values)


CHANGES: dict[str, Callable[[PlanInputs], PlanInputs]] = {
    "recovery point": other_point,
    "file": other_file,
    "name": lambda given: replace(given, request=asked(names={"OctopusDB": "Copy"})),
    "policy": lambda given: replace(given, resolution=resolution(asked(), Policy.LATEST_SQL)),
    "time": lambda given: replace(
        given, resolution=resolution(asked(target={"time": "2026-03-01T05:00:00Z"}), Policy.LATEST_SQL)
    ),
    "state of the database": lambda given: replace(given, databases={"OctopusDB": "RESTORING"}),
    "state of a collection": lambda given: replace(given, collections={B: True}),
    "in place": lambda given: replace(given, request=asked(in_place=True)),
    "settings": lambda given: replace(given, settings="settings-2"),
    "alias": lambda given: replace(given, aliases={f"alias_{B}": "other"}),
    "zone": other_zone,
    "snapshot": lambda given: replace(given, snapshot_set=snapshot_set(ALICE)),
    "api": lambda given: replace(given, octopus_api=False),
    "hook": lambda given: replace(given, stop_hook=True),
    "tier": lambda given: replace(given, tiers={"data/sql/1-0.bak": "Archive"}),
    "checkdb": lambda given: also(given, checkdb=True),
    "erasures": lambda given: also(given, erase_users=("u1",)),
    "script": lambda given: also(replace(given, script=SCRIPT), migrations=Migrations.SCRIPT),
    "stores": lambda given: also(given, stores=(Store.SQLSERVER, Store.QDRANT)),
    "agents": lambda given: also(given, agents=(ALICE, BOB)),
}


REPLACING = ("name", "in place")
"""Changes that replace the whole request, so they come first."""


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sets(st.sampled_from(sorted(CHANGES))), st.integers(0, 10_000))
def test_the_digest_changes_with_what_is_executed_and_with_nothing_else(
    changed: set[str], minutes: int
) -> None:
    original = inputs()
    later = replace(
        original,
        now=at(7) + timedelta(minutes=minutes),
        free_bytes=minutes,
        episodes_now={"OctopusDB": minutes},
        points_now={A: minutes},
    )
    assert plan_restore(later).digest == plan_restore(original).digest
    exclusive = {"recovery point", "policy", "time"}
    one_resolution = sorted(changed & exclusive)[:1] + sorted(changed - exclusive)
    if {"name", "in place"} <= set(one_resolution):
        one_resolution.remove("name")
    for name in sorted(one_resolution, key=lambda name: name not in REPLACING):
        later = CHANGES[name](later)
    assert (plan_restore(later).digest == plan_restore(original).digest) == (not one_resolution)


def test_a_resolution_is_not_looked_at_beyond_its_fields() -> None:
    found = inputs().resolution
    assert isinstance(found, Resolution)
    assert plan_restore(inputs(resolution=replace(found))).digest == plan().digest
