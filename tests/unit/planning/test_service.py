"""Putting a restore in service that was made beside the live data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared.errors import BackupSystemError
from shared.model.findings import Severity
from shared.model.plans import (
    AftermathStep,
    AliasesStep,
    CollectionStep,
    ConversationStep,
    ErasuresStep,
    GapStep,
    HealthStep,
    OrphansStep,
    Plan,
    Policy,
    SafetyStep,
    SwapStep,
)
from shared.model.runs import Run, RunKind, State
from shared.planning.changes import changes
from shared.planning.names import LONGEST_DATABASE, aside_name
from shared.planning.service import ServiceInputs, put_in_service
from shared.planning.steps import files_of
from tests.unit.planning.world import (
    ALICE,
    BOB,
    PLAN_ID,
    agent_collection,
    at,
    plan,
    point,
    request,
    resolution,
    snapshot_set,
)

A, B = agent_collection(ALICE), agent_collection(BOB)
COPY = "rp_20260301t043600_OctopusDB"
ASIDE = "OctopusDB__before_20260301t090000"
LIVE: dict[str, Any] = {"databases": {"OctopusDB": "ONLINE"}, "collections": {A: True, B: True}}
EARLIER = plan(**LIVE)


def run(**changed: Any) -> Run:
    values: dict[str, Any] = {
        "id": "RUN1",
        "kind": RunKind.RESTORE,
        "title": "a restore",
        "state": State.SUCCEEDED,
        "started_at": at(7.5),
        "heartbeat_at": at(8),
        "finished_at": at(8),
    }
    return Run(**values | changed)


def inputs(**changed: Any) -> ServiceInputs:
    values: dict[str, Any] = {
        "plan_id": PLAN_ID,
        "now": at(9),
        "request": request(target={"restore": "RUN1"}),
        "run": run(),
        "earlier": EARLIER,
        "served_by": None,
        "snapshot_set": snapshot_set(ALICE, BOB),
        "databases": {"OctopusDB": "ONLINE", COPY: "ONLINE"},
        "collections": {A: True, B: True},
        "aliases": {f"alias_{A}": "other"},
        "qdrant_versions": {"1": "1.19.0", "2": "1.19.0"},
        "settings": "settings-1",
        "octopus_api": True,
        "free_bytes": None,
    }
    return ServiceInputs(**values | changed)


def served(**changed: Any) -> Plan:
    return put_in_service(inputs(**changed))


def asked(**values: Any) -> dict[str, Any]:
    return {"request": request(target={"restore": "RUN1"}, **values)}


def kinds(made: Plan) -> list[str]:
    return [step.kind for step in made.execution.steps]


def only[T](made: Plan, kind: type[T]) -> T:
    (found,) = [step for step in made.execution.steps if isinstance(step, kind)]
    return found


def told(made: Plan, code: str) -> str:
    return next(one.message for one in made.findings if one.code == code)


def refusal(**changed: Any) -> str:
    with pytest.raises(BackupSystemError) as caught:
        served(**changed)
    return caught.value.specific_code


def test_names_are_exchanged_and_collections_recovered_behind_a_fence() -> None:
    made = served(stop_hook=True, start_hook=True)
    assert kinds(made) == [
        *["fence", "swap", "gap", "safety", "collection", "collection", "aliases"],
        *["orphans", "health", "conversation", "aftermath"],
    ]
    swap = only(made, SwapStep)
    assert (swap.restored, swap.live, swap.aside) == (COPY, "OctopusDB", ASIDE)
    assert only(made, SafetyStep).collections == (A, B)
    assert only(made, GapStep).since == at(4.5)
    assert only(made, AliasesStep).aliases == {f"alias_{A}": A, f"alias_{B}": B}
    assert only(made, AftermathStep).database == "OctopusDB"
    assert only(made, HealthStep).hook
    trial = only(made, ConversationStep)
    assert (trial.target, trial.collections) == ("OctopusDB", {A: A, B: B})
    orphans = only(made, OrphansStep)
    assert (orphans.database, orphans.target, orphans.collections) == ("OctopusDB", "OctopusDB", (A, B))


def test_the_same_snapshots_are_recovered_under_the_live_names() -> None:
    made = served()
    before = [step for step in EARLIER.execution.steps if isinstance(step, CollectionStep)]
    after = [step for step in made.execution.steps if isinstance(step, CollectionStep)]
    assert [step.parts for step in after] == [step.parts for step in before]
    assert [(step.target, step.overwrites) for step in after] == [(A, True), (B, True)]
    assert made.size == sum(size for _, size, _ in files_of(after))
    assert made.execution.target == EARLIER.execution.target
    assert made.execution.serves == "RUN1"


def test_what_is_not_there_is_not_kept() -> None:
    made = served(databases={COPY: "ONLINE", "OctopusDB": "absent"}, collections={})
    assert only(made, SwapStep).aside is None
    assert not {"gap", "safety"} & set(kinds(made))
    assert made.execution.target_state.databases == {COPY: "ONLINE", "OctopusDB": "absent"}
    assert len(made.losses) == 1


def test_the_targets_of_the_exchange_are_looked_at_when_it_starts() -> None:
    made = served()
    state = made.execution.target_state
    assert state.databases == {COPY: "ONLINE", "OctopusDB": "ONLINE", ASIDE: "absent"}
    assert state.collections == {A: True, B: True}
    assert state.aliases == {f"alias_{A}": "other", f"alias_{B}": ""}
    taken = state.model_copy(update={"databases": {**state.databases, ASIDE: "ONLINE"}})
    blobs: dict[str, tuple[int, str] | None] = {
        name: (size, etag) for name, size, etag in files_of(made.execution.steps)
    }
    (changed,) = changes(made, taken, "settings-1", blobs, at(10))
    assert ASIDE in changed


def test_names_are_compared_as_sql_server_does() -> None:
    made = served(databases={"octopusdb": "ONLINE", COPY.upper(): "ONLINE"})
    swap = only(made, SwapStep)
    assert (swap.restored, swap.live) == (COPY.upper(), "octopusdb")


def test_the_way_back_is_told_as_statements() -> None:
    undo = told(served(), "undo")
    assert undo.index(f"ALTER DATABASE [OctopusDB] MODIFY NAME = [{COPY}];") < undo.index(
        f"ALTER DATABASE [{ASIDE}] MODIFY NAME = [OctopusDB];"
    )
    assert "safety snapshot" in undo
    assert "Delete the collections" not in undo
    fresh = told(served(collections={A: True}, databases={COPY: "ONLINE"}), "undo")
    assert "__before_" not in fresh
    assert f"Delete the collections that were not there before: {B}." in fresh


def test_hostile_names_are_quoted_in_the_way_back() -> None:
    earlier = plan(request(names={"OctopusDB": "a]b"}), **LIVE)
    made = served(earlier=earlier, databases={"OctopusDB": "ONLINE", "a]b": "ONLINE"})
    assert "MODIFY NAME = [a]]b];" in told(made, "undo")


def test_that_the_copies_may_have_been_written_to_is_a_warning() -> None:
    (warning,) = [one for one in served().findings if one.code == "written_since"]
    assert warning.severity is Severity.WARNING
    assert "2026-03-01 08:00:00Z" in warning.message
    assert "07:30:00Z" in told(served(run=run(finished_at=None)), "written_since")


def test_what_goes_out_of_service_is_told_as_a_loss() -> None:
    lost = served().losses
    assert "RUN1" in lost[0]
    assert ASIDE in lost[1]
    assert A in lost[2]


def test_users_are_erased_again_from_what_goes_into_service() -> None:
    made = served(**asked(erase_users=["u1", "u2"]))
    step = only(made, ErasuresStep)
    assert (step.target, step.users) == ("OctopusDB", 2)
    assert kinds(made).index("orphans") < kinds(made).index("erasures") < kinds(made).index("health")
    assert "u1" not in str(made.as_json())


def vectors_only(**changed: Any) -> Plan:
    found = resolution(request(stores=["qdrant"]), Policy.LATEST_SQL)
    return plan(request(stores=["qdrant"]), resolution=found, collections={A: True, B: True}, **changed)


def test_collections_alone_are_put_in_service_beside_the_live_database() -> None:
    made = served(earlier=vectors_only(), databases={}, live_database="OctopusDB")
    assert kinds(made) == [
        *["fence", "gap", "safety", "collection", "collection", "aliases"],
        *["orphans", "health", "conversation"],
    ]
    silent = served(earlier=vectors_only(), databases={})
    assert kinds(silent)[-1] == "health"
    assert refusal(earlier=vectors_only(), **asked(erase_users=["u1"])) == "needs_sqlserver"


def test_a_database_alone_is_put_in_service() -> None:
    found = resolution(request(policy="latest_sql"), Policy.LATEST_SQL, points=[], sets=[])
    earlier = plan(resolution=found, snapshot_set=None, databases={"OctopusDB": "ONLINE"})
    there = {"OctopusDB": "ONLINE", "rp_20260301t060000_OctopusDB": "ONLINE"}
    made = served(earlier=earlier, snapshot_set=None, databases=there)
    assert kinds(made) == ["fence", "swap", "orphans", "health", "conversation", "aftermath"]
    assert made.space == {}


def test_without_the_api_nothing_is_fenced_or_tried() -> None:
    made = served(octopus_api=False)
    assert not {"fence", "health", "conversation"} & set(kinds(made))


def test_what_has_its_live_name_already_is_left_alone() -> None:
    earlier = plan(databases={"OctopusDB": "ONLINE"})  # the collections were lost
    made = served(earlier=earlier)
    assert "collection" not in kinds(made)
    assert only(made, ConversationStep).collections == {}
    assert refusal(earlier=plan()) == "in_service_already"
    other_case = plan(request(names={"OctopusDB": "octopusdb"}))  # the same to SQL Server
    assert refusal(earlier=other_case) == "in_service_already"


def test_archived_snapshots_are_brought_back_first() -> None:
    made = served(tiers={f"data/qdrant/{A}-1": "Archive"})
    assert kinds(made)[:2] == ["rehydrate", "fence"]
    assert "files_archived" in {one.code for one in made.findings}


def test_unknown_space_and_an_older_server_stop_it() -> None:
    unconfirmed = served(**asked(confirm_space=False))
    stops = {one.code for one in unconfirmed.findings if one.severity is Severity.ERROR}
    assert stops == {"space_unknown"}
    assert served().space["qdrant/1"] == 4500
    older = served(qdrant_versions={"1": "1.16.3"})
    assert "version_too_old" in {one.code for one in older.findings}
    hidden = served(aliases={A: "other"})
    assert "target_is_alias" in {one.code for one in hidden.findings}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"run": run(kind=RunKind.DRILL)}, "not_a_restore"),
        ({"run": run(state=State.FAILED)}, "restore_not_succeeded"),
        ({"run": run(state=State.RUNNING)}, "restore_not_succeeded"),
        ({"earlier": plan(request(in_place=True), **LIVE)}, "restored_in_place"),
        ({"served_by": "RUN2"}, "in_service_already"),
        ({"databases": {"OctopusDB": "ONLINE"}}, "restored_database_gone"),
        ({"databases": {"OctopusDB": "ONLINE", COPY: "absent"}}, "restored_database_gone"),
        ({"databases": {"OctopusDB": "ONLINE", COPY: "RESTORING"}}, "restored_database_not_online"),
        ({"snapshot_set": None}, "snapshot_set_gone"),
        (asked(names={"OctopusDB": "x"}), "not_applicable"),
        (asked(policy="paired"), "not_applicable"),
        (asked(stores=["qdrant"]), "not_applicable"),
        (asked(agents=[ALICE]), "not_applicable"),
        (asked(in_place=True), "not_applicable"),
        (asked(checkdb=True), "not_applicable"),
        (asked(migrations="script"), "not_applicable"),
        (asked(migration_script="GO"), "not_applicable"),
    ],
)
def test_what_cannot_be_put_in_service_is_refused(changed: dict[str, Any], code: str) -> None:
    assert refusal(**changed) == code


def test_what_puts_in_service_is_not_put_in_service() -> None:
    assert refusal(earlier=served()) == "not_a_restore"


def test_the_digest_covers_what_is_put_in_service_and_nothing_else() -> None:
    made = served()
    assert put_in_service(replace(inputs(), free_bytes=5)).digest == made.digest
    assert Plan.model_validate(made.as_json()) == made
    for changed in (
        {"run": run(id="RUN9")},
        {"databases": {COPY: "ONLINE"}},
        {"collections": {A: True}},
        {"settings": "others"},
        asked(erase_users=["u"]),
        {"earlier": plan(**LIVE, resolution=resolution(request(), points=[point("POINT9")]))},
    ):
        assert served(**changed).digest != made.digest


def test_the_name_of_what_is_kept_aside_is_free_and_fits() -> None:
    assert aside_name("OctopusDB", at(9), ["OctopusDB", ASIDE.upper()]) == f"{ASIDE}_2"
    assert len(aside_name("x" * 128, at(9), [])) == LONGEST_DATABASE
