"""What happens between two steps, or beside them: deaths before a manifest, runs in one another's way."""

from typing import Any

import pytest
from azure.storage.blob import StandardBlobTier

from shared.errors import LockedError, StoreError, UnreachableError
from shared.model.backups import Kind, Verification
from shared.model.requests import BackupRequest, PointRequest
from shared.model.runs import Run
from shared.stores.sqlserver import SqlServerStore
from shared.workflows import backups, restore_sql, starts
from tests.world import LATER, World, kinds


def away(*_: Any, **__: Any) -> None:
    raise UnreachableError("Blob Storage is away.")


def gone(*_: Any, **__: Any) -> None:
    raise StoreError("The host is gone.")


def take_log(world: World) -> Run:
    return world.run(starts.start_backup(world.system, BackupRequest(kind=Kind.LOG)))


def findings(world: World) -> list[str]:
    manifests = [
        world.system.catalogue.backups.chosen(h) for h in world.system.catalogue.backups.all_sql_hints()
    ]
    return [finding.code for manifest in manifests for finding in manifest.findings]


def test_a_tail_whose_manifest_was_not_written_is_adopted_when_the_restore_is_resumed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.back_up(Kind.FULL)
    world.make_point()
    world.work("only the tail holds this")
    plan = world.plan("latest", policy="paired", in_place=True)
    with monkeypatch.context() as broken:
        broken.setattr(restore_sql, "commit_backup", gone)
        first = world.run(world.begin(plan))
    assert first.state == "failed"
    assert world.databases()[world.database] == "RESTORING"
    resumed = world.run(world.begin(plan))
    assert (resumed.id, resumed.attempt, resumed.state) == (first.id, 2, "succeeded")
    assert "adopted" in findings(world)


def test_a_log_backup_is_not_taken_past_one_that_may_still_be_adopted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.back_up(Kind.FULL)
    with monkeypatch.context() as broken:
        broken.setattr(backups, "commit_backup", away)
        assert take_log(world).state == "failed"
    world.work()
    with monkeypatch.context() as broken:
        broken.setattr(SqlServerStore, "back_up", away)
        assert take_log(world).state == "failed"
    world.work()
    assert take_log(world).state == "succeeded"
    assert "adopted" in findings(world)
    assert "log_chain_gap" not in findings(world)


def test_a_stranger_under_a_name_like_ours_is_no_hindrance(world: World) -> None:
    world.back_up(Kind.FULL)
    with world.admin() as master:
        cursor = master.execute(
            f"BACKUP LOG [{world.database}] TO DISK = N'{world.servers.folder}/stranger.trn' "
            "WITH COPY_ONLY, NAME = N'octopus-backup/x/y'"
        )
        while cursor.nextset():
            pass
    assert take_log(world).state == "succeeded"


def test_no_recovery_point_is_made_of_what_is_being_restored(world: World) -> None:
    world.back_up(Kind.FULL)
    world.make_point("whole")
    plan = world.plan({"recovery_point": "whole"}, in_place=True)
    point = starts.start_point(world.system, PointRequest())
    world.activity("begin_run")(point.payload)
    with pytest.raises(LockedError):
        world.begin(plan)
    world.die(point)
    restore = world.begin(plan)
    with pytest.raises(LockedError, match=restore.run_id):
        world.activity("list_snapshots")({**point.payload, "step": "snapshots"})


def test_a_set_that_was_committed_by_a_dead_attempt_is_taken_over(world: World) -> None:
    world.back_up(Kind.FULL)
    start = starts.start_point(world.system, PointRequest(name="twice"))
    commit = world.activity("commit_snapshot_set")

    def died(payload: dict[str, Any]) -> Any:
        commit(payload)
        world.system.catalogue.runs.update(
            world.look(start).kind,
            start.run_id,
            1,
            lambda run: run.model_copy(
                update={
                    "steps": tuple(
                        step.model_copy(update={"state": "running"}) if step.id == "snapshot-set" else step
                        for step in run.steps
                    )
                }
            ),
        )
        raise StoreError("the host is gone")

    assert world.run(start, commit_snapshot_set=died).state == "failed"
    assert world.run(world.again(start)).state == "succeeded"
    assert world.system.catalogue.points.get("twice").complete


def test_a_backup_that_a_verification_found_damaged_is_planned_around(world: World) -> None:
    world.back_up(Kind.FULL)
    world.work()
    damaged = world.back_up(Kind.FULL).steps[0].evidence["backup_id"]
    world.work()
    world.back_up(Kind.LOG)
    assert damaged in {c.backup_id for c in world.plan("latest", policy="latest_sql").chosen}
    world.system.catalogue.backups.add_verification(
        Verification(backup_id=damaged, run_id="7Z", verified_at=world.clock.now(), passed=False, evidence={})
    )
    plan = world.plan("latest", policy="latest_sql")
    assert damaged not in {choice.backup_id for choice in plan.chosen}
    assert plan.chosen[0].kind is Kind.FULL
    world.lose_everything()
    assert world.restore(world.plan("latest", policy="latest_sql")).state == "succeeded"


def test_after_a_restore_in_place_the_vectors_of_later_agents_are_reported(world: World) -> None:
    world.back_up(Kind.FULL)
    world.make_point("before")
    newcomer = world.add_agent(LATER)
    run = world.restore(world.plan({"recovery_point": "before"}, in_place=True))
    orphans = next(step for step in run.steps if step.id.endswith("-orphans"))
    assert orphans.evidence["collections_without_agent"] == [f"agent_{newcomer.id.hex}"]
    assert "full" in kinds(world)


def test_what_is_archived_is_brought_online_first(world: World) -> None:
    full = world.back_up(Kind.FULL).steps[0].evidence["backup_id"]
    world.make_point("whole")
    (blob,) = world.system.catalogue.backups.get(full).blobs
    world.storage.get_blob_client(blob.container, blob.name).set_standard_blob_tier(StandardBlobTier.ARCHIVE)
    plan = world.plan({"recovery_point": "whole"})
    assert plan.execution.steps[0].kind == "rehydrate"
    run = world.restore(plan)
    assert run.steps[0].evidence == {"blobs": 1, "online": 1}
