"""Drills: a recovery point is restored, proven, measured and removed, and nothing live is ever touched."""

from __future__ import annotations

from typing import Any

import pytest

from local.octopus import truth
from shared.errors import InvalidSettingsError, LockedError, NotFoundError, NothingToRestoreError
from shared.model.backups import Kind, QdrantFacts, Quality
from shared.model.drills import DrillRequest
from shared.model.points import RecoveryPoint
from shared.model.runs import Run, RunKind
from shared.workflows.drills import drill_findings, drills, last_drill, start_drill
from shared.workflows.outcomes import Activity
from shared.workflows.registry import activities
from tests.end_to_end.drilling import begin, drilled, on_live, point, scratch, step_of, whole
from tests.world import World

__all__ = ["on_live", "point"]


def test_a_drill_restores_proves_samples_and_removes_without_touching_what_lives(
    on_live: World, point: RecoveryPoint
) -> None:
    before, databases = on_live.truth(), on_live.databases()
    run = drilled(on_live)

    assert truth.differences(before, on_live.truth()) == []
    assert on_live.databases() == databases
    assert [step.id.split("-")[-1] for step in run.steps] == [
        *("plan", "sql_restore", "sql_restore", "sql_recover", "sql_proof", "migrations"),
        *("collection", "collection", "orphans", "sample", "clean_up"),
    ]
    proof = step_of(run, "sql_proof").evidence
    assert proof["marker"]["point_id"] == point.id
    assert proof["mismatches"] == []
    assert "checkdb" in str(proof)
    sample = step_of(run, "sample").evidence
    (read,) = sample["rows_read"].values()
    assert {"dbo.Octopus_Agents", "dbo.Octopus_Episodes"} <= set(read)
    assert [one["found"] for one in sample["searched"].values()] == [3, 3]
    assert list(step_of(run, "clean_up").evidence["removed"].values()) == ["dropped"] * 3


def test_a_drill_tells_its_figures_beside_their_targets_and_keeps_its_report(
    on_live: World, point: RecoveryPoint
) -> None:
    run = drilled(on_live, "before v7")
    told = last_drill(on_live.system)
    assert told is not None
    assert (told["id"], told["verdict"], told["recovery_point"]) == (run.id, "passed", point.id)
    assert run.finished_at is not None
    assert 0 < told["rto_seconds"] < (run.finished_at - run.started_at).total_seconds()
    assert (told["target_rto_seconds"], told["target_rpo_seconds"]) == (240 * 60, 30 * 60)
    assert told["findings"] == []

    report = run.result["report"]
    ages = report["figures"]["ages"]
    assert told["rpo_seconds"] == ages["lost"] == ages["sqlserver"] <= ages["point"] + 1
    assert report["targets_met"] is True
    assert set(report["figures"]["steps"]) == {step.id for step in run.steps}
    assert report["restore"]["checklist"][0]["verdict"] == "passed"
    text = run.result["report_text"]
    assert text.startswith(f"DRILL REPORT {run.id}: PASSED")
    assert "Time to restore (RTO)" in text
    assert on_live.blobs("catalogue", f"reports/{run.id}/") == [f"reports/{run.id}/1.json"]

    listed = drills(on_live.system)
    assert listed["drills"] == [told]
    assert listed["findings"] == []


def test_missed_targets_are_findings_of_a_drill_that_passed(
    world: World, point: RecoveryPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TARGET_RTO_MINUTES", "TARGET_RPO_MINUTES"):
        monkeypatch.setenv(name, "0")
    with world.aside() as strict:
        run = drilled(strict)
    assert [finding.code for finding in run.findings] == ["rto_missed", "rpo_missed"]
    assert run.result["report"]["verdict"] == "passed"
    assert run.result["report"]["targets_met"] is False


def test_without_a_drill_the_status_has_something_to_say(on_live: World) -> None:
    assert last_drill(on_live.system) is None
    assert [finding.code for finding in drill_findings(on_live.system)] == ["no_recent_drill"]


def test_counts_that_were_approximate_become_references(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("SQLSERVER_EXACT_COUNTS", "false"), ("DRILL_ON_LIVE_SERVERS", "true")):
        monkeypatch.setenv(name, value)
    with world.aside() as quick:
        quick.back_up(Kind.FULL)
        made = quick.make_point()
        assert qualities(made) == {Quality.APPROXIMATE}
        tables = quick.truth().tables
        rows = {name: len(table) for name, table in tables.items() if name.startswith("Octopus_")}
        quick.work("after the point")

        run = drilled(quick)

        known = quick.system.catalogue.points.get(made.id)
        assert qualities(known) == {Quality.REFERENCE}
        assert {name.removeprefix("dbo."): count.value for name, count in known.sql[0].tables.items()} == rows
        assert quick.system.catalogue.points.all() == [known]
        references = quick.blobs("catalogue", "references/")
        assert references == [f"references/{made.id}/{run.id}.json"]
        plan = quick.plan({"recovery_point": made.id})
        assert "approximate_counts" not in {finding.code for finding in plan.findings}

        again = drilled(quick)
        compared = step_of(again, "sql_proof").evidence["tables"].values()
        assert {one["quality"] for one in compared} == {"reference"}
        assert quick.blobs("catalogue", "references/") == references


def qualities(point: RecoveryPoint) -> set[Quality]:
    return {count.quality for side in point.sql for count in side.tables.values()}


def test_a_recovery_point_made_while_copies_exist_does_not_hold_them(
    on_live: World, point: RecoveryPoint
) -> None:
    made: list[RecoveryPoint] = []
    left: list[list[str]] = []
    clean_up = activities(lambda: on_live.system)["clean_up_drill"]

    def with_a_point(payload: dict[str, Any]) -> Any:
        left.append(scratch(on_live))
        made.append(on_live.make_point("meanwhile"))
        return clean_up(payload)

    run = on_live.run(begin(on_live), clean_up_drill=with_a_point)

    assert run.state == "succeeded", run.error
    assert len(left[0]) == 3
    facts = on_live.system.catalogue.backups.get(made[0].vectors.snapshot_set_id).facts
    assert isinstance(facts, QdrantFacts)
    assert {collection.name for collection in facts.collections} == set(on_live.collections())
    assert facts.unprotected == ()
    assert [side.database for side in made[0].sql] == [on_live.database]
    assert scratch(on_live) == []


def lose_a_snapshot(world: World) -> None:
    lost = next(name for name in world.blobs("data", "qdrant/") if name.endswith(".snapshot"))
    world.delete_blob("data", lost)


def test_a_collection_that_cannot_be_restored_fails_the_drill_after_all_else_was_tried(
    on_live: World, point: RecoveryPoint
) -> None:
    lose_a_snapshot(on_live)

    run = failed(on_live)

    assert run.error is not None
    assert run.error.code == "not_all_restored"
    assert [step.state for step in run.steps if step.id.endswith("-collection")] == ["succeeded"]
    assert step_of(run, "sample").evidence["searched"]


def test_a_step_that_fails_ends_the_drill_and_its_copies_are_removed(
    on_live: World, point: RecoveryPoint
) -> None:
    plan_drill = activities(lambda: on_live.system)["plan_drill"]

    def losing(payload: dict[str, Any]) -> Any:
        planned = plan_drill(payload)
        lose_a_snapshot(on_live)
        return planned

    run = failed(on_live, plan_drill=losing)

    states = sorted(step.state.value for step in run.steps if step.id.endswith("-collection"))
    assert states == ["failed", "succeeded"]  # one that fails does not stop the other
    assert step_of(run, "sample").state == "pending"
    assert run.result["report"]["figures"]["rto_seconds"] is None


def failed(world: World, **instead: Activity) -> Run:
    """One drill, which must fail, say so everywhere, and leave nothing behind."""
    before = world.truth()
    run = whole(world, world.run(begin(world), **instead))
    assert run.state == "failed"
    assert run.error is not None
    assert step_of(run, "clean_up").state == "succeeded"
    assert scratch(world) == []
    assert truth.differences(before, world.truth()) == []
    assert run.result["report"]["verdict"] == "failed"
    assert run.error.code in run.result["report_text"]
    told = last_drill(world.system)
    assert told is not None
    assert told["verdict"] == "failed"
    assert "no_recent_drill" in {finding.code for finding in drill_findings(world.system)}
    return run


def test_activities_that_are_delivered_twice_do_no_harm(on_live: World, point: RecoveryPoint) -> None:
    before = on_live.truth()

    def twice(activity: Any) -> Any:
        def perform(payload: dict[str, Any]) -> Any:
            activity(dict(payload))
            return activity(dict(payload))

        return perform

    doubled = {
        name: twice(activity)
        for name, activity in activities(lambda: on_live.system).items()
        if "drill" in name
    }
    run = on_live.run(begin(on_live), **doubled)
    assert run.state == "succeeded", run.error
    assert scratch(on_live) == []
    assert truth.differences(before, on_live.truth()) == []


# What keeps a drill from being started.


def test_without_servers_for_it_there_is_no_drill(world: World) -> None:
    with pytest.raises(InvalidSettingsError) as missing:
        begin(world)
    assert missing.value.specific_code == "drill_servers_missing"
    assert "DRILL_SQLSERVER_CONNECTION, DRILL_QDRANT_URLS" in missing.value.message


def test_a_point_that_is_not_there_is_refused(on_live: World) -> None:
    with pytest.raises(NothingToRestoreError) as nothing:
        begin(on_live)
    assert nothing.value.specific_code == "no_recovery_point"
    with pytest.raises(NotFoundError):
        begin(on_live, "no such point")


def test_a_drill_waits_for_another_one_and_for_a_restore(on_live: World, point: RecoveryPoint) -> None:
    first = begin(on_live)
    with pytest.raises(LockedError) as busy:
        begin(on_live)
    assert busy.value.run_id == first.run_id
    on_live.run(first)
    restore = on_live.begin(on_live.plan({"recovery_point": point.id}))
    with pytest.raises(LockedError, match=restore.run_id):
        begin(on_live)


def test_a_restore_that_begins_during_a_drill_goes_first(on_live: World, point: RecoveryPoint) -> None:
    plan = on_live.plan({"recovery_point": point.id})
    step = activities(lambda: on_live.system)["drill_step"]
    begun: list[str] = []

    def interrupted(payload: dict[str, Any]) -> Any:
        if not begun:
            begun.append(on_live.begin(plan).run_id)
        return step(payload)

    run = on_live.run(begin(on_live), drill_step=interrupted)

    assert run.state == "failed"
    assert run.error is not None
    assert begun[0] in run.error.message
    assert scratch(on_live) == []


def test_the_same_key_gives_the_same_drill(on_live: World, point: RecoveryPoint) -> None:
    first = start_drill(on_live.system, DrillRequest(), "key-1")
    again = start_drill(on_live.system, DrillRequest(), "key-1")
    assert again == first
    assert [run.id for run in on_live.system.catalogue.runs.recent(RunKind.DRILL, 5)] == [first.run_id]
