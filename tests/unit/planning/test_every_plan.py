"""What holds for every plan, whatever is asked for, whatever there is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from shared.errors import InvalidRequestError, NothingToRestoreError
from shared.model.backups import QdrantFacts, SqlFacts
from shared.model.plans import (
    CollectionStep,
    ErasuresStep,
    GapStep,
    Plan,
    PlanRequest,
    SafetyStep,
    SqlRecoverStep,
    SqlRestoreStep,
    SqlTailStep,
    Step,
)
from shared.model.points import RecoveryPoint
from shared.octopus.collections import agent_of, is_scratch
from shared.planning.asked import sides_of
from shared.planning.consistency import CLOCK_MARGIN
from shared.planning.resolving import Resolution, resolve
from shared.planning.restore import PlanInputs, plan_restore
from shared.planning.steps import files_of
from tests.unit.planning.world import (
    ALICE,
    BACKUPS,
    BOB,
    GONE,
    agent_collection,
    at,
    inputs,
    known,
    point,
    set_hint,
    snapshot_set,
    unmarked,
)

AGENTS = (ALICE, BOB, GONE)
COLLECTIONS = tuple(agent_collection(agent) for agent in AGENTS)
SECRET = "user-that-nobody-may-see"

WRITES = (SqlTailStep, SqlRestoreStep, SqlRecoverStep, CollectionStep, SafetyStep, GapStep, ErasuresStep)


@dataclass(frozen=True)
class World:
    """What is asked for, and what is there."""

    asked: PlanRequest
    points: tuple[RecoveryPoint, ...]
    sets: bool
    there: dict[str, Any]


TARGETS = st.one_of(
    st.just("latest"),
    st.sampled_from(["POINT1", "POINT2"]).map(lambda name: {"recovery_point": name}),
    st.integers(18, 29).map(lambda quarter: {"time": at(quarter / 4).isoformat()}),
)
STRANGE_TARGETS = st.sampled_from([{"recovery_point": "nobody"}, {"time": at(0).isoformat()}])
SELDOM = st.sampled_from([False] * 7 + [True])


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Mostly what makes sense, and now and then what does not."""
    subset = st.lists(st.sampled_from(COLLECTIONS), unique=True)
    stores = draw(st.sampled_from([(), (), ("sqlserver",), ("qdrant",), ("sqlserver", "qdrant")]))
    agents = draw(st.lists(st.sampled_from(AGENTS), max_size=2)) if draw(st.booleans()) else []
    if agents and stores == ("sqlserver",) and not draw(SELDOM):
        stores = ()
    sql = "sqlserver" in stores if agents else stores != ("qdrant",)
    target = draw(STRANGE_TARGETS if draw(SELDOM) else TARGETS)
    both = sql and stores != ("sqlserver",) and not (isinstance(target, dict) and "recovery_point" in target)
    in_place = draw(st.booleans())
    asked = {
        "target": target,
        "policy": draw(st.sampled_from([None, "paired", "latest_sql"])) if both or draw(SELDOM) else None,
        "stores": stores,
        "agents": agents,
        "in_place": in_place,
        "names": {name: name for name in draw(subset)} if in_place and draw(st.booleans()) else {},
        "erase_users": (SECRET,) if sql and draw(st.booleans()) else (),
        "checkdb": (sql and draw(st.booleans())) or draw(SELDOM),
        "confirm_space": draw(st.booleans()),
    }
    marks = (point(), point("POINT2", mark=5.6, ended=5.5))
    changes = {"complete": draw(st.booleans())}
    points = [one.model_copy(update=changes) if draw(st.booleans()) else one for one in marks]
    points = [unmarked(one) if draw(st.booleans()) else one for one in points if draw(st.integers(0, 5))]
    held = snapshot_set(*draw(st.sampled_from([AGENTS, AGENTS, AGENTS[:2], AGENTS[2:]])))
    files = sorted(f"{blob.container}/{blob.name}" for one in [*BACKUPS, held] for blob in one.blobs)
    there = {
        "snapshot_set": held,
        "databases": draw(st.sampled_from([{}, {"OctopusDB": "ONLINE"}, {"octopusdb": "RESTORING"}])),
        "collections": dict.fromkeys(draw(subset), True),
        "octopus_api": draw(st.booleans()),
        "stop_hook": draw(st.booleans()),
        "has_qdrant": draw(st.booleans()),
        "live_database": draw(st.sampled_from([None, "OctopusDB"])),
        "live_agents": draw(st.sampled_from([None, frozenset(AGENTS), frozenset(AGENTS[:1])])),
        "tiers": dict.fromkeys(draw(st.lists(st.sampled_from(files), max_size=3)), "Archive"),
        "gone": frozenset(f"data/qdrant/{name}-1" for name in draw(subset) if draw(st.booleans())),
    }
    return World(PlanRequest.model_validate(asked), tuple(points), draw(st.booleans()), there)


def plans(world: World) -> list[tuple[Resolution, PlanInputs, Plan]]:
    """Every plan of a world; none where it is refused, which has a code and a reason."""
    what = known(points=list(world.points), sets=[set_hint()] if world.sets else [])
    refused: InvalidRequestError | None = None
    made: list[tuple[Resolution, PlanInputs, Plan]] = []
    try:
        for one in resolve(world.asked, what, at(7.5)).resolutions:
            given_ = _inputs(world, one)
            made.append((one, given_, plan_restore(given_)))
    except InvalidRequestError as error:
        refused = error
    if refused is not None:
        event(refused.specific_code)
        assert refused.message
        assert refused.specific_code not in (InvalidRequestError.code, NothingToRestoreError.code)
    return made


def _inputs(world: World, resolution: Resolution) -> PlanInputs:
    there = {**world.there}
    if resolution.set_id is None:
        there |= {"snapshot_set": None, "collections": {}, "gone": frozenset()}
    return inputs(world.asked, resolution=resolution, now=at(7.5), **there)


def place(steps: tuple[Step, ...], *kinds: str) -> list[int]:
    return [number for number, step in enumerate(steps) if step.kind in kinds]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(worlds())
def test_what_is_planned_is_what_was_asked_for_and_nothing_else(world: World) -> None:
    for resolution, given_, made in plans(world):
        event(f"planned {made.execution.policy}")
        steps, asked = made.execution.steps, world.asked
        restored = [step for step in steps if isinstance(step, CollectionStep)]
        sides = sides_of(asked)
        assert bool(resolution.chains) <= sides.sql
        assert bool(restored) <= sides.vectors
        assert restored or resolution.chains
        wanted = set(asked.agents)
        assert {agent_of(step.collection) for step in restored} <= (wanted or set(AGENTS))
        _never_dangling(resolution, given_, restored)
        facts = given_.snapshot_set.facts if given_.snapshot_set else None
        if isinstance(facts, QdrantFacts) and wanted == set():
            told = {one.name for one in facts.collections} - {step.collection for step in restored}
            assert all(any(name in loss for loss in made.losses) for name in told)


def _never_dangling(resolution: Resolution, given_: PlanInputs, restored: list[CollectionStep]) -> None:
    """No vector refers to an agent created after the SQL point, nor, unnamed, to one that is gone."""
    named = given_.request.names
    unnamed = {agent_of(step.collection) for step in restored if step.collection not in named}
    if not resolution.chains:
        assert given_.live_agents is None or unnamed <= given_.live_agents
        return
    if resolution.point:
        sides = resolution.point.sql
        assert unnamed <= {agent for side in sides for agent in side.agents}
        assert all(resolution.point.vectors.finished_at <= side.at + CLOCK_MARGIN for side in sides)
    elif restored:
        assert given_.snapshot_set is not None
        assert given_.snapshot_set.finished_at <= resolution.sql_point - CLOCK_MARGIN


@settings(max_examples=200, deadline=None, derandomize=True)
@given(worlds())
def test_side_by_side_nothing_that_exists_is_touched_and_in_place_it_is_kept_first(world: World) -> None:
    for _, given_, made in plans(world):
        steps, state = made.execution.steps, made.execution.target_state
        there = {name.casefold() for name in given_.databases}
        databases = {step.target for step in steps if isinstance(step, SqlRestoreStep)}
        collections = {step.target for step in steps if isinstance(step, CollectionStep)}
        assert set(state.databases) == databases
        assert set(state.collections) == collections
        overwritten = [s for s in steps if isinstance(s, CollectionStep) and s.overwrites]
        if not world.asked.in_place:
            assert not {name.casefold() for name in databases} & there
            assert not collections & given_.collections.keys()
            assert not place(steps, "sql_tail", "gap", "safety")
            assert all(is_scratch(name) or name in (*COLLECTIONS, "OctopusDB") for name in state.databases)
        kept = {name for step in steps if isinstance(step, SafetyStep) for name in step.collections}
        assert kept == {step.target for step in overwritten} == collections & given_.collections.keys()
        tails = {step.database for step in steps if isinstance(step, SqlTailStep)}
        assert tails == {n for n in databases if given_.databases.get(n) == "ONLINE"}


@settings(max_examples=200, deadline=None, derandomize=True)
@given(worlds())
def test_the_order_is_always_the_same(world: World) -> None:
    order = [
        *(["rehydrate"], ["fence"], ["sql_tail", "sql_restore", "sql_recover", "sql_proof"], ["migrations"]),
        *(["gap"], ["safety"], ["collection"], ["aliases"], ["orphans"], ["erasures"]),
        *(["health"], ["conversation"], ["aftermath"]),
    ]
    rank = {kind: number for number, kinds in enumerate(order) for kind in kinds}
    for _, given_, made in plans(world):
        steps = made.execution.steps
        ranks = [rank[step.kind] for step in steps]
        assert ranks == sorted(ranks)
        assert [step.id for step in steps] == [f"{n:03}-{s.kind}" for n, s in enumerate(steps, 1)]
        live = {"OctopusDB", *COLLECTIONS}
        touched = any(
            isinstance(step, SqlRestoreStep | CollectionStep) and step.target in live for step in steps
        )
        fenced = touched and (given_.octopus_api or given_.stop_hook)
        assert bool(place(steps, "fence")) == fenced
        assert bool(place(steps, "health")) == (touched and given_.octopus_api)
        for step in steps:
            if isinstance(step, SqlRestoreStep):
                facts = given_.manifests[step.backup_id].facts
                assert isinstance(facts, SqlFacts)
                assert step.files == facts.files


@settings(max_examples=100, deadline=None, derandomize=True)
@given(worlds())
def test_a_plan_is_made_of_its_inputs_alone_and_holds_no_secret(world: World) -> None:
    for _, given_, made in plans(world):
        assert plan_restore(given_) == made
        text = json.dumps(made.as_json())
        assert SECRET not in text
        assert Plan.model_validate_json(text) == made
        assert made.digest == made.execution.digest()
        archived = set(given_.tiers) & {name for name, _, _ in files_of(made.execution.steps)}
        assert bool(place(made.execution.steps, "rehydrate")) == bool(archived)
        read = {name for name, _, _ in files_of(made.execution.steps)}
        assert not read & given_.gone
        assert made.losses or not made.execution.steps
        assert made.consistency
