"""A drill writes to copies of its own and to nothing else, whatever the plan that it is made of."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import BackupSystemError, RefusedError
from shared.model.backups import QdrantFacts
from shared.model.plans import (
    AftermathStep,
    AliasesStep,
    CleanUpStep,
    CollectionStep,
    ErasuresStep,
    Execution,
    FenceStep,
    GapStep,
    HealthStep,
    MigrationsStep,
    Plan,
    RehydrateStep,
    SafetyStep,
    SqlProofStep,
    SqlRecoverStep,
    SqlRestoreStep,
    SqlTailStep,
    Step,
    SwapStep,
)
from shared.planning.drilling import as_drill, demand_scratch, not_restored, prefix_at, scratch_names
from shared.planning.names import LONGEST_COLLECTION, LONGEST_DATABASE
from shared.planning.restore import plan_restore
from tests.unit.planning import world
from tests.unit.planning.world import ALICE, BOB, GONE, agent_collection, blob, snapshot_set

AT = datetime(2026, 3, 1, 4, 30, tzinfo=UTC)
PREFIX = "drill_20260301t043000_"


def drill(**changed: Any) -> Plan:
    """The drill of the small world's recovery point."""
    inputs = world.inputs(**changed)
    names = scratch_names(plan_restore(inputs), prefix_at(AT))
    return as_drill(plan_restore(replace(inputs, request=inputs.request.model_copy(update={"names": names}))))


def written(execution: Execution) -> set[str]:
    """Every name that some step has as its target, or removes."""
    found: set[str] = set()
    for step in execution.steps:
        found |= (
            {step.target} if isinstance(step, SqlRestoreStep | SqlRecoverStep | CollectionStep) else set()
        )
        found |= {*step.databases, *step.collections} if isinstance(step, CleanUpStep) else set()
    return found


def test_a_drill_restores_proves_samples_and_removes_under_scratch_names() -> None:
    execution = drill().execution
    kinds = [step.kind for step in execution.steps]
    assert kinds == [
        *("sql_restore", "sql_restore", "sql_restore", "sql_restore", "sql_recover", "sql_proof"),
        *("migrations", "collection", "collection", "orphans", "sample", "clean_up"),
    ]
    assert written(execution) == {
        f"{PREFIX}OctopusDB",
        f"{PREFIX}{agent_collection(ALICE)}",
        f"{PREFIX}{agent_collection(BOB)}",
    }
    assert [step.id for step in execution.steps] == [
        f"{number:03}-{kind}" for number, kind in enumerate(kinds, 1)
    ]
    assert [step.checkdb for step in execution.steps if isinstance(step, SqlProofStep)] == [True]


def test_the_digest_is_that_of_the_drill() -> None:
    plan = drill()
    assert plan.digest == plan.execution.digest()


def test_a_live_name_that_exists_makes_no_difference() -> None:
    there = drill(databases={"OctopusDB": "ONLINE"}, collections={agent_collection(ALICE): True})
    assert written(there.execution) == written(drill().execution)


def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(BackupSystemError) as taken:
        drill(databases={f"{PREFIX}octopusdb": "ONLINE"})
    assert taken.value.specific_code == "name_taken"


def test_archived_files_are_not_brought_back_for_a_drill() -> None:
    plan = drill()
    step = RehydrateStep(id="000", title="", files=(blob("old"),))
    execution = plan.execution.model_copy(update={"steps": (step, *plan.execution.steps)})
    with pytest.raises(RefusedError) as archived:
        as_drill(plan.model_copy(update={"execution": execution}))
    assert archived.value.specific_code == "drill_archived"


# The names.


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.text("aAbBü😀 _/", min_size=1, max_size=140), max_size=4, unique=True))
def test_scratch_names_are_distinct_short_enough_and_all_of_one_drill(collections: list[str]) -> None:
    facts = snapshot_set().facts
    assert isinstance(facts, QdrantFacts)
    template = world.plan()
    some = next(step for step in template.execution.steps if isinstance(step, CollectionStep))
    full = next(step for step in template.execution.steps if isinstance(step, SqlRestoreStep))
    steps = [some.model_copy(update={"collection": name}) for name in collections]
    databases = {name[:120] for name in collections}
    steps_of_sql = [full.model_copy(update={"database": f"D{name}"}) for name in databases]
    execution = template.execution.model_copy(update={"steps": (*steps, *steps_of_sql)})
    names = scratch_names(template.model_copy(update={"execution": execution}), PREFIX)
    points = [names[name] for name in collections if f"D{name}" != name]
    rows = [names[f"D{name}"] for name in databases]
    assert len(set(points)) == len(points)
    assert len({name.casefold() for name in rows}) == len(rows)
    for name in (*points, *rows):
        assert name.startswith(PREFIX)
        assert len(name) > len(PREFIX)
    assert all(len(name.encode()) <= LONGEST_COLLECTION for name in points)
    assert all(len(name.encode("utf-16-le")) // 2 <= LONGEST_DATABASE for name in rows)
    assert not any(name.endswith(" ") for name in rows if name.rstrip() != PREFIX.rstrip())


# The proof.

COMMON = {"id": "001", "title": ""}
ELSEWHERE: list[Step] = [
    FenceStep(**COMMON, hook=True),
    GapStep(**COMMON, collections=("agent_1",), since=AT),
    SafetyStep(**COMMON, collections=("agent_1",)),
    SqlTailStep(**COMMON, database="OctopusDB", backup_id="B"),
    MigrationsStep(**COMMON, database="OctopusDB", target=f"{PREFIX}OctopusDB", how="script"),
    MigrationsStep(**COMMON, database="OctopusDB", target=f"{PREFIX}OctopusDB", how="command"),
    ErasuresStep(**COMMON, database="OctopusDB", target=f"{PREFIX}OctopusDB", users=1, list_sha256=""),
    SwapStep(**COMMON, restored=f"{PREFIX}OctopusDB", live="OctopusDB", aside=None),
    AliasesStep(**COMMON, aliases={"alias": f"{PREFIX}agent_1"}),
    HealthStep(**COMMON, hook=True),
    AftermathStep(**COMMON, database="OctopusDB"),
    SqlRecoverStep(**COMMON, database="OctopusDB", target="OctopusDB"),
    SqlRecoverStep(**COMMON, database="OctopusDB", target="drill_OctopusDB"),
    SqlRecoverStep(**COMMON, database="OctopusDB", target="drill_20260301t043001_OctopusDB"),
    CollectionStep(**COMMON, collection="agent_1", target="agent_1", parts=()),
    CollectionStep(**COMMON, collection="agent_1", target=f"{PREFIX}agent_1", parts=(), overwrites=True),
    CleanUpStep(**COMMON, databases=("OctopusDB",), collections=()),
    CleanUpStep(**COMMON, databases=(), collections=("agent_1",)),
    CleanUpStep(**COMMON, databases=(f"{PREFIX}another",), collections=()),
    CleanUpStep(**COMMON, databases=(), collections=(f"{PREFIX}another",)),
]


def refuse(execution: Execution) -> str:
    with pytest.raises(RefusedError) as refused:
        demand_scratch(execution)
    assert refused.value.specific_code == "drill_not_scratch"
    return refused.value.message


@pytest.mark.parametrize("step", ELSEWHERE, ids=lambda step: f"{step.kind}-{getattr(step, 'target', '')}")
def test_one_step_that_could_write_elsewhere_is_refused_wherever_it_stands(step: Step) -> None:
    execution = drill().execution
    demand_scratch(execution)
    for place in (0, 3, len(execution.steps)):
        steps = (*execution.steps[:place], step, *execution.steps[place:])
        refuse(execution.model_copy(update={"steps": steps}))


def test_every_kind_of_step_is_either_one_of_a_drill_or_refused() -> None:
    kinds = {kind.model_fields["kind"].default for kind in get_args(get_args(Step)[0])}
    of_drills = {step.kind for step in drill().execution.steps}
    assert of_drills | {step.kind for step in ELSEWHERE} | {"rehydrate", "conversation"} == kinds


@pytest.mark.parametrize(
    "state",
    [
        {"databases": {f"{PREFIX}OctopusDB": "ONLINE"}, "collections": {}},
        {"databases": {f"{PREFIX}OctopusDB": "RESTORING"}, "collections": {}},
        {"databases": {}, "collections": {f"{PREFIX}agent_1": True}},
        {"databases": {}, "collections": {}, "aliases": {"alias": ""}},
    ],
)
def test_a_copy_that_existed_before_is_refused(state: dict[str, Any]) -> None:
    execution = drill().execution
    there = type(execution.target_state).model_validate(state)
    refuse(execution.model_copy(update={"target_state": there}))


def test_a_restore_in_place_is_refused() -> None:
    refuse(drill().execution.model_copy(update={"in_place": True}))


AGENTS = (ALICE, BOB, GONE)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    in_place=st.booleans(),
    agents=st.sets(st.sampled_from(AGENTS)),
    online=st.booleans(),
    there=st.sets(st.sampled_from(AGENTS)),
    api=st.booleans(),
    renamed=st.sampled_from(["", PREFIX, "drill_", "OctopusDB", f"{PREFIX}x"]),
)
def test_no_plan_becomes_a_drill_that_writes_to_a_live_name(
    in_place: bool, agents: set[str], online: bool, there: set[str], api: bool, renamed: str
) -> None:
    """Any plan at all, with scratch names or without: it becomes a drill of copies, or none."""
    names = {"OctopusDB": renamed} if renamed else {}
    try:
        plan = world.plan(
            world.request(in_place=in_place, names=names),
            snapshot_set=snapshot_set(*sorted(agents)),
            databases={"OctopusDB": "ONLINE"} if online else {},
            collections={agent_collection(agent): True for agent in there},
            octopus_api=api,
        )
        made = as_drill(plan).execution
    except BackupSystemError:
        return
    targets = written(made)
    assert all(name.startswith(PREFIX) for name in targets)
    assert not targets & {"OctopusDB", *(agent_collection(agent) for agent in AGENTS)}
    assert not made.in_place
    assert not {step.kind for step in made.steps} & {"fence", "health", "conversation", "swap", "aliases"}


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    agents=st.sets(st.sampled_from(AGENTS), min_size=1),
    online=st.booleans(),
    there=st.sets(st.sampled_from(AGENTS)),
)
def test_every_recovery_point_has_a_drill(agents: set[str], online: bool, there: set[str]) -> None:
    made = drill(
        snapshot_set=snapshot_set(*sorted(agents)),
        databases={"OctopusDB": "ONLINE"} if online else {},
        collections={agent_collection(agent): True for agent in there},
    )
    wanted = {agent_collection(agent) for agent in agents & {ALICE, BOB}}
    assert written(made.execution) == {f"{PREFIX}{name}" for name in {"OctopusDB", *wanted}}


# What a point holds and its plan leaves out.


def test_a_collection_without_agent_is_left_out_on_purpose_and_any_other_is_missed() -> None:
    point = world.point()
    facts = snapshot_set(ALICE, BOB, GONE).facts
    assert isinstance(facts, QdrantFacts)
    plan = world.plan(snapshot_set=snapshot_set(ALICE))
    assert not_restored(plan, point, facts) == (agent_collection(BOB),)
    assert not_restored(plan, point, None) == ()
    shared_one = facts.collections[0].model_copy(update={"name": "shared"})
    with_shared = facts.model_copy(update={"collections": (*facts.collections, shared_one)})
    assert "shared" in not_restored(plan, point, with_shared)
