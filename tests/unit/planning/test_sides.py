"""Restores of one side only, and of some agents only."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from pydantic import ValidationError

from shared.errors import BackupSystemError, InvalidRequestError, NothingToRestoreError
from shared.model.backups import QdrantFacts
from shared.model.plans import (
    CollectionStep,
    ConversationStep,
    MigrationsStep,
    OrphansStep,
    Plan,
    PlanRequest,
    Policy,
    SqlRestoreStep,
    Stop,
)
from shared.model.points import VectorSide
from shared.planning.asked import Sides, sides_of
from shared.planning.resolving import Resolved, resolve
from tests.unit.planning.world import (
    ALICE,
    BOB,
    GONE,
    agent_collection,
    at,
    known,
    plan,
    point,
    request,
    resolution,
    set_hint,
    snapshot_set,
    unmarked,
)

A, B, G = agent_collection(ALICE), agent_collection(BOB), agent_collection(GONE)
POINT = {"recovery_point": "POINT1"}


def resolved(asked: PlanRequest, **changed: Any) -> Resolved:
    return resolve(asked, known(**changed), at(7))


def planned(policy: Policy, values: dict[str, Any], **changed: Any) -> Plan:
    asked = request(**values)
    return plan(asked, policy, resolution=resolution(asked, policy), **changed)


def refusal(
    values: dict[str, Any], kind: type[BackupSystemError] = InvalidRequestError, **changed: Any
) -> str:
    with pytest.raises(kind) as caught:
        resolved(request(**values), **changed)
    assert caught.value.hint
    return caught.value.specific_code


def finding(made: Plan, code: str) -> str:
    return next(one.message for one in made.findings if one.code == code)


def codes(made: Plan) -> set[str]:
    return {one.code for one in made.findings}


def kinds(made: Plan) -> list[str]:
    return [step.kind for step in made.execution.steps]


@pytest.mark.parametrize(
    ("values", "sides"),
    [
        ({}, (True, True)),
        ({"stores": ["sqlserver"]}, (True, False)),
        ({"stores": ["qdrant"]}, (False, True)),
        ({"stores": ["qdrant", "sqlserver"]}, (True, True)),
        ({"agents": [ALICE]}, (False, True)),
        ({"agents": [ALICE], "stores": ["qdrant"]}, (False, True)),
        ({"agents": [ALICE], "stores": ["sqlserver", "qdrant"]}, (True, True)),
    ],
)
def test_what_a_request_wants_restored(values: dict[str, Any], sides: tuple[bool, bool]) -> None:
    assert sides_of(request(**values)) == Sides(*sides)


def test_agents_without_their_collections_are_a_contradiction() -> None:
    assert refusal({"agents": [ALICE], "stores": ["sqlserver"]}) == "stores_contradict_agents"


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ({"stores": ["sqlserver"], "policy": "paired"}, True),
        ({"stores": ["sqlserver"], "policy": "latest_sql"}, False),
        ({"stores": ["qdrant"], "policy": "paired"}, True),
        ({"stores": ["qdrant"], "policy": "latest_sql"}, True),
        ({"agents": [ALICE], "policy": "paired"}, True),
        ({"agents": [ALICE], "stores": ["sqlserver", "qdrant"], "policy": "paired"}, False),
        ({"agents": [ALICE], "policy": "paired", "target": POINT}, False),
    ],
)
def test_a_policy_needs_a_pair(values: dict[str, Any], refused: bool) -> None:
    if refused:
        assert refusal(values) == "policy_not_applicable"
    else:
        assert len(resolved(request(**values)).resolutions) == 1


@pytest.mark.parametrize(
    "values",
    [{"checkdb": True}, {"migrations": "script"}, {"erase_users": ["u"]}, {"migrations": "command"}],
)
def test_what_is_done_to_databases_needs_sql_server(values: dict[str, Any]) -> None:
    assert refusal({"stores": ["qdrant"], **values}) == "needs_sqlserver"


def test_a_restore_is_no_moment() -> None:
    assert refusal({"target": {"restore": "RUN1"}}) == "not_a_moment"


def test_a_script_that_nobody_would_execute_is_a_mistake() -> None:
    assert refusal({"migration_script": "GO"}) == "migration_script_unused"


def test_one_side_alone_has_one_plan_without_a_policy() -> None:
    for stores in (["sqlserver"], ["qdrant"]):
        for target in ("latest", {"time": "2026-03-01T05:30:00Z"}, POINT):
            (found,) = resolved(request(stores=stores, target=target)).resolutions
            assert bool(found.chains) == (stores == ["sqlserver"])
            assert bool(found.set_id) == (stores == ["qdrant"])


def test_sql_server_alone_goes_to_the_target_itself() -> None:
    (found,) = resolved(request(stores=["sqlserver"], target={"time": "2026-03-01T05:30:00Z"})).resolutions
    assert (found.policy, found.sql_point, found.point) == (Policy.LATEST_SQL, at(5.5), None)
    (found,) = resolved(request(stores=["sqlserver"]), points=[], sets=[]).resolutions
    assert [hint.id for hint in found.hints][-1] == "SQL6"


def test_sql_server_alone_at_a_point_goes_to_its_mark_and_tells_that_the_vectors_stay() -> None:
    made = planned(
        Policy.PAIRED, {"stores": ["sqlserver"], "target": POINT}, snapshot_set=None, has_qdrant=True
    )
    assert made.execution.target.snapshot_set_id is None
    assert made.execution.target.recovery_point_id == "POINT1"
    assert "orphans" in kinds(made)
    assert next(s for s in made.execution.steps if isinstance(s, OrphansStep)).collections == ()
    assert "nothing is done to the vectors" in made.consistency
    assert "refer to agents that SQL Server does not know" in made.consistency
    assert "vectors_left_newer" in codes(made)
    assert made.execution.stores == ("sqlserver",)


def test_sql_server_alone_beside_the_live_one_compares_nothing() -> None:
    made = planned(
        Policy.LATEST_SQL,
        {"stores": ["sqlserver"]},
        snapshot_set=None,
        has_qdrant=True,
        databases={"OctopusDB": "ONLINE"},
    )
    assert "orphans" not in kinds(made)
    assert "fence" not in kinds(made)


def test_a_point_without_sql_server_cannot_give_its_sql_side() -> None:
    told = refusal({"stores": ["sqlserver"], "target": POINT}, NothingToRestoreError, points=[point(sql=())])
    assert told == "no_sql_side"


def test_vectors_alone_come_from_the_newest_complete_set_whatever_the_clocks_say() -> None:
    older = point("POINT0", mark=2, ended=1.9)
    older = older.model_copy(update={"vectors": older.vectors.model_copy(update={"snapshot_set_id": "SET0"})})
    sets = [
        set_hint("SET0", 1.9),
        set_hint("SET1"),
        set_hint("SET2", 6.99),
        set_hint("SET3", 7, complete=False),
    ]
    asked = request(stores=["qdrant"])
    (found,) = resolved(asked, points=[older, point()], sets=sets).resolutions
    assert (found.set_id, found.point, found.sql_point) == ("SET2", None, at(6.99))
    timed = request(stores=["qdrant"], target={"time": "2026-03-01T04:40:00Z"})
    (found,) = resolved(timed, points=[older, point()], sets=sets).resolutions
    assert (found.set_id, found.point and found.point.id) == ("SET1", "POINT1")
    (found,) = resolved(asked, points=[point()], sets=[]).resolutions
    assert found.set_id == "SET1"


def test_vectors_alone_without_a_set_that_had_ended_are_refused() -> None:
    early = {"stores": ["qdrant"], "target": {"time": "2026-03-01T01:00:00Z"}}
    assert refusal(early, NothingToRestoreError) == "no_vectors_before_target"
    assert (
        refusal({"stores": ["qdrant"]}, NothingToRestoreError, points=[], sets=[])
        == "no_vectors_before_target"
    )


def test_a_time_before_the_first_full_backup_limits_vectors_alone_not() -> None:
    asked = request(stores=["qdrant"], target={"time": "2026-03-01T00:30:00Z"})
    (found,) = resolved(asked, sets=[set_hint("SET0", 0.1)], points=[]).resolutions
    assert found.set_id == "SET0"


ALONE: dict[str, Any] = {"live_database": "OctopusDB", "live_agents": frozenset({ALICE, BOB})}


def test_vectors_alone_leave_sql_server_as_it_is_and_say_so() -> None:
    made = planned(Policy.LATEST_SQL, {"stores": ["qdrant"]}, **ALONE)
    assert not any(isinstance(step, SqlRestoreStep | MigrationsStep) for step in made.execution.steps)
    assert made.execution.target_state.databases == {}
    assert "SQL Server stays at now" in made.consistency
    assert "none of them refers to an agent that SQL Server does not know" in made.consistency
    assert "SQL Server is left as it is" in made.summary
    assert kinds(made)[-3:] == ["orphans", "health", "conversation"]
    trial = next(step for step in made.execution.steps if isinstance(step, ConversationStep))
    assert trial.target == "OctopusDB"


def test_vectors_alone_at_a_point_say_which() -> None:
    made = planned(Policy.PAIRED, {"stores": ["qdrant"], "target": POINT}, **ALONE)
    assert "to recovery point POINT1" in made.summary
    assert "SQL Server is left as it is" in made.summary
    found = resolution(request(stores=["qdrant"], target=POINT), points=[unmarked(point())])
    assert "no_mark" not in codes(plan(resolution=found, **ALONE))


def test_vectors_whose_agent_is_gone_from_sql_server_stay_away_unless_they_are_named() -> None:
    only_bob = {**ALONE, "live_agents": frozenset({BOB})}
    made = planned(Policy.LATEST_SQL, {"stores": ["qdrant"]}, **only_bob)
    assert [s.collection for s in made.execution.steps if isinstance(s, CollectionStep)] == [B]
    assert any("is not known to SQL Server now" in loss for loss in made.losses)
    assert "does not know now" in finding(made, "collections_without_agent")
    named = planned(Policy.LATEST_SQL, {"stores": ["qdrant"], "names": {A: A}}, **only_bob)
    assert [s.collection for s in named.execution.steps if isinstance(s, CollectionStep)] == [A, B]


def test_one_agent_is_its_collection_and_nothing_else() -> None:
    made = planned(Policy.LATEST_SQL, {"agents": [ALICE], "in_place": True}, collections={A: True}, **ALONE)
    assert [s.target for s in made.execution.steps if isinstance(s, CollectionStep)] == [A]
    assert kinds(made) == [
        *["fence", "gap", "safety", "collection", "aliases", "orphans", "health", "conversation"]
    ]
    assert "the vectors of 1 agent(s) are restored alone" in made.consistency
    assert made.losses[-1].startswith("Vectors:")
    assert made.execution.agents == (ALICE,)


def test_an_agent_beside_its_live_collection_stops_nothing() -> None:
    made = planned(Policy.LATEST_SQL, {"agents": [ALICE]}, collections={A: True}, **ALONE)
    assert kinds(made) == ["collection", "orphans"]


def test_agents_are_told_apart_whatever_their_case_and_counted_once() -> None:
    twice = [ALICE.upper(), uuid.UUID(ALICE), ALICE.replace("-", "")]
    made = planned(Policy.LATEST_SQL, {"agents": twice}, **ALONE)
    assert made.execution.agents == (ALICE,)
    assert "of 1 agent(s)" in made.consistency


@pytest.mark.parametrize("agent", ["", "nobody", ALICE[:-1], f"{ALICE}0", f"agent_{ALICE}"])
def test_what_is_no_guid_is_no_agent(agent: str) -> None:
    with pytest.raises(ValidationError, match="a GUID"):
        request(agents=[agent])


def test_an_agent_without_a_collection_in_the_set_is_told_and_alone_refused() -> None:
    made = planned(Policy.LATEST_SQL, {"agents": [ALICE, GONE]}, **ALONE)
    assert GONE in finding(made, "agents_without_collection")
    with pytest.raises(NothingToRestoreError) as alone:
        planned(Policy.LATEST_SQL, {"agents": [GONE]}, **ALONE)
    assert alone.value.specific_code == "agent_without_collection"
    assert GONE in alone.value.message


def test_an_agent_that_sql_server_does_not_know_is_refused_unless_its_collection_is_named() -> None:
    unknown = {**ALONE, "live_agents": frozenset({BOB})}
    with pytest.raises(NothingToRestoreError) as refused:
        planned(Policy.LATEST_SQL, {"agents": [ALICE]}, **unknown)
    assert refused.value.specific_code == "no_collection_left"
    assert "is not known to SQL Server now" in refused.value.message
    named = planned(Policy.LATEST_SQL, {"agents": [ALICE], "names": {A: A}}, **unknown)
    assert A in finding(named, "collections_without_agent")


def test_an_empty_set_restores_nothing() -> None:
    with pytest.raises(NothingToRestoreError) as refused:
        planned(Policy.LATEST_SQL, {"stores": ["qdrant"]}, snapshot_set=snapshot_set(), **ALONE)
    assert refused.value.specific_code == "no_collection_left"


def test_where_sql_server_does_not_answer_its_agents_are_not_known_and_the_plan_says_so() -> None:
    made = planned(Policy.LATEST_SQL, {"agents": [ALICE]})
    assert "could not be asked" in made.consistency
    assert "agents_not_known" in codes(made)
    assert "conversation" not in kinds(made)


def test_agents_together_with_sql_server_are_those_of_the_mark() -> None:
    values = {"agents": [ALICE], "stores": ["qdrant", "sqlserver"]}
    made = planned(Policy.PAIRED, values)
    assert [s.collection for s in made.execution.steps if isinstance(s, CollectionStep)] == [A]
    assert "sql_restore" in kinds(made)
    assert "its mark was set" in made.consistency


def tagged(*without: str) -> dict[str, Any]:
    side = VectorSide(
        snapshot_set_id="SET1",
        started_at=at(4.5),
        finished_at=at(4.55),
        collections={},
        without_agent=without,
    )
    silent = point().sql[0].model_copy(update={"agents": ()})
    found = resolution(request(), points=[point(vectors=side, sql=(silent,))])
    return {"resolution": found, "snapshot_set": snapshot_set(ALICE, BOB, GONE)}


def test_collections_that_the_point_tells_to_have_lost_their_agent_stay_away_unless_named() -> None:
    made = plan(**tagged(G))
    assert [s.collection for s in made.execution.steps if isinstance(s, CollectionStep)] == [A, B]
    assert G in finding(made, "collections_without_agent")
    named = plan(request(names={G: G}), **tagged(G))
    assert [s.collection for s in named.execution.steps if isinstance(s, CollectionStep)] == [A, B, G]
    assert f"Restored because they were named: {G}" in finding(named, "collections_without_agent")


def test_snapshots_that_are_gone_leave_their_collection_out() -> None:
    facts = snapshot_set(ALICE, BOB).facts
    assert isinstance(facts, QdrantFacts)
    gone = frozenset(f"{p.blob.container}/{p.blob.name}" for p in facts.parts if p.collection == A)
    made = plan(gone=gone)
    assert [s.collection for s in made.execution.steps if isinstance(s, CollectionStep)] == [B]
    assert finding(made, "files_gone").startswith("2 file(s)")
    assert any(f"Collection {A} is not restored" in loss for loss in made.losses)


@pytest.mark.parametrize("policy", list(Policy))
def test_a_point_without_a_mark_works_with_both_policies(policy: Policy) -> None:
    found = resolution(request(), policy, points=[unmarked(point())])
    made = plan(policy=policy, resolution=found)
    restores = [step for step in made.execution.steps if isinstance(step, SqlRestoreStep)]
    assert restores[-1].backup_id == ("SQL5" if policy is Policy.PAIRED else "SQL6")
    assert {step.stop for step in restores} == {Stop()}
    assert made.execution.target.snapshot_set_id == "SET1"
    said = "its log backup was made" if policy is Policy.PAIRED else "POINT1 proves the order"
    assert said in made.consistency
    assert ("no_mark" in codes(made)) == (policy is Policy.PAIRED)


def test_without_any_point_pairs_are_derived_and_paired_says_why_it_cannot() -> None:
    for target in ("latest", {"time": "2026-03-01T05:30:00Z"}):
        found = resolved(request(target=target), points=[])
        (derived,) = found.resolutions
        assert (derived.policy, derived.set_id, derived.point) == (Policy.LATEST_SQL, "SET1", None)
        assert "none was ever made" in found.impossible[Policy.PAIRED]
