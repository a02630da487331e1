"""What fails in the middle: nothing is lost, nothing half done counts, and somebody is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import stamina

from local.octopus import truth
from shared.catalogue import paths
from shared.errors import IntegrityError, NothingToRestoreError, NotPermittedError
from shared.model.backups import Kind, QdrantFacts
from shared.model.findings import Severity
from shared.model.requests import BackupRequest, PointRequest
from shared.workflows import points, retrying, starts
from tests.world import World, kinds, quote_name


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(points, "SECOND_PASS_SECONDS", 0.05)
    monkeypatch.setattr(retrying, "FIRST_DELAY_SECONDS", 0.05)
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


def test_a_collection_deleted_meanwhile_makes_the_point_incomplete_and_unchosen(world: World) -> None:
    world.back_up(Kind.FULL)
    whole = world.make_point()
    gone, kept = world.collections()
    start = starts.start_point(world.system, PointRequest())

    def deleting(payload: dict[str, object]) -> object:
        listed = world.activity("list_snapshots")(dict(payload))
        world.qdrant.delete(f"/collections/{gone}").raise_for_status()
        return listed

    run = world.run(start, list_snapshots=deleting)
    point = world.system.catalogue.points.get(run.step("point").evidence["point_id"])

    assert not point.complete
    assert gone in " ".join(point.reasons)
    facts = world.system.catalogue.backups.get(point.vectors.snapshot_set_id).facts
    assert isinstance(facts, QdrantFacts)
    assert [part.collection for part in facts.parts] == [kept]
    assert [(failure.collection, bool(failure.error.code)) for failure in facts.failures] == [(gone, True)]
    for plan in world.plans("latest"):
        assert plan.execution.target.recovery_point_id == whole.id


def test_a_passing_failure_of_a_snapshot_gets_a_second_chance(world: World) -> None:
    world.back_up(Kind.FULL)
    name = world.collections()[0]
    world.fault(status=503, match=f"POST /collections/{name}/snapshots", times=1)
    assert world.make_point().complete


def test_a_snapshot_that_fails_for_good_leaves_the_others_and_the_mark(world: World) -> None:
    world.back_up(Kind.FULL)
    bad, good = world.collections()
    world.fault(status=500, match=f"POST /collections/{bad}/snapshots", times=50)
    point = world.make_point(complete=False)
    assert not point.complete
    assert point.vectors.collections[good].value > 0
    with pytest.raises(NothingToRestoreError) as refused:
        world.plans("latest", policy="paired")
    assert point.id in refused.value.message


def test_qdrant_out_of_reach_ends_the_run_with_the_reason(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.back_up(Kind.FULL)
    monkeypatch.setenv("QDRANT_URLS", "http://127.0.0.1:9")
    with world.aside() as blind:
        run = blind.run(starts.start_point(blind.system, PointRequest()))
    assert run.state == "failed"
    assert run.error is not None
    assert run.error.code == "unreachable"
    assert world.system.catalogue.points.all() == []


def test_a_wrong_password_ends_the_run_with_the_reason_and_without_the_password(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = re.sub(r"PWD=\{[^}]*\}", "PWD={Wrong-canary}", world.environ["SQLSERVER_CONNECTION"])
    monkeypatch.setenv("SQLSERVER_CONNECTION", wrong)
    with world.aside() as other:
        run = other.run(starts.start_backup(other.system, BackupRequest(kind=Kind.FULL)))
    assert run.state == "failed"
    assert run.error is not None
    assert run.error.code == "login_failed"
    assert run.error.hint
    assert "canary" not in run.model_dump_json()
    assert kinds(world) == []


def test_a_wrong_account_key_is_refused_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKUP_STORAGE_CREDENTIAL", "d3Jvbmc=")
    with world.aside() as other, pytest.raises(NotPermittedError) as refused:
        starts.start_backup(other.system, BackupRequest(kind=Kind.FULL))
    assert "BACKUP_STORAGE_CREDENTIAL" in f"{refused.value}" or refused.value.hint
    assert world.blobs("state") == []


def test_what_is_being_restored_is_not_backed_up(world: World) -> None:
    world.back_up(Kind.FULL)
    point = world.make_point()
    world.begin(world.plan({"recovery_point": point.id}, in_place=True))
    run = world.run(starts.start_backup(world.system, BackupRequest(kind=Kind.LOG)))
    assert run.state == "skipped"
    assert run.error is not None
    assert run.error.code == "locked"


def test_a_failure_that_nobody_foresaw_is_in_the_run_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a fault of ours")

    monkeypatch.setattr(world.system.sqlserver, "back_up", broken)
    run = world.run(starts.start_backup(world.system, BackupRequest(kind=Kind.FULL)))
    assert run.state == "failed"
    assert run.error is not None
    assert run.error.code == "unexpected"
    assert run.step(f"back-up:{world.database}").state == "failed"


@pytest.mark.parametrize("medium", ["disk", "url"])
def test_a_log_backup_whose_manifest_was_never_written_is_adopted(world: World) -> None:
    world.back_up(Kind.FULL)
    world.back_up(Kind.LOG)
    for what in ("in the orphan", "in the second orphan"):
        world.work(what)
        world.back_up(Kind.LOG)
    manifests = [name for name in world.blobs("catalogue", "backups/sqlserver/") if "/log/" in name]
    for orphan in manifests[1:]:
        world.delete_blob("catalogue", orphan)
    world.work("after the orphans")
    expected = world.truth()
    world.back_up(Kind.LOG)

    hints = world.system.catalogue.backups.all_sql_hints()
    findings = [world.system.catalogue.backups.get(hint.id).findings for hint in hints]
    assert [[finding.code for finding in found] for found in findings] == [
        [],
        [],
        ["adopted"],
        ["adopted"],
        [],
    ]
    world.lose_database()
    world.restore(world.plan("latest", policy="latest_sql"))
    assert truth.differences(truth.Truth(expected.tables, {}), truth.Truth(world.truth().tables, {})) == []


def test_a_log_backup_by_somebody_else_is_a_gap_until_a_differential_bridges_it(world: World) -> None:
    world.back_up(Kind.FULL)
    world.back_up(Kind.LOG)
    world.work("in a log that is not ours")
    with world.admin() as master:
        cursor = master.execute(
            f"BACKUP LOG [{world.database}] TO DISK = N'{world.servers.folder}/{world.database}-foreign.trn'"
        )
        while cursor.nextset():
            pass
    world.work()

    run = world.back_up(Kind.LOG)
    manifest = world.system.catalogue.backups.get(run.step(f"back-up:{world.database}").evidence["backup_id"])
    assert [(f.code, f.severity) for f in manifest.findings] == [("log_chain_gap", Severity.ERROR)]
    assert "differential" in manifest.findings[0].hint

    world.back_up(Kind.DIFFERENTIAL)
    point = world.make_point()
    expected = world.truth()
    world.lose_everything()
    world.restore(world.plan({"recovery_point": point.id}))
    assert truth.differences(expected, world.truth()) == []


def test_an_altered_backup_stops_the_restore_before_anything_is_in_service(world: World) -> None:
    world.back_up(Kind.FULL)
    point = world.make_point()
    live = world.truth()
    plan = world.plan({"recovery_point": point.id})
    start = world.begin(plan)
    part = next(name for name in world.blobs("data", "qdrant/"))
    blob = world.storage.get_blob_client("data", part)
    content = blob.download_blob().readall()
    blob.upload_blob(content[:-100] + bytes(100), overwrite=True)

    run = world.run(start)

    assert run.state == "failed"
    assert run.error is not None
    assert run.error.meaning == IntegrityError.meaning
    assert run.result["report"]["verdict"] != "passed"
    found = world.truth()
    untouched = {name: found.collections[name] for name in live.collections}
    assert truth.differences(live, truth.Truth(found.tables, untouched)) == []


def test_one_database_that_is_gone_does_not_stop_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQLSERVER_DATABASES", f"Nowhere,{world.database}")
    with world.aside() as both:
        run = both.run(starts.start_backup(both.system, BackupRequest(kind=Kind.FULL)))
    assert run.state == "failed"
    assert run.error is not None
    assert "Nowhere" in run.error.message
    assert run.step(f"verify:{world.database}").state == "succeeded"


def test_a_database_with_a_hostile_name_is_backed_up_and_restored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = f"{world.database} ]'\"--/..;ü"
    with world.admin() as master:
        master.execute(f"CREATE DATABASE {quote_name(database)}")
        master.execute(f"CREATE TABLE {quote_name(database)}.dbo.Octopus_Odd (Id int NOT NULL PRIMARY KEY)")
        master.execute(f"INSERT INTO {quote_name(database)}.dbo.Octopus_Odd (Id) VALUES (7)")
    monkeypatch.setenv("SQLSERVER_DATABASES", database)
    with world.aside() as odd:
        odd.back_up(Kind.FULL)
        odd.back_up(Kind.LOG)
        plan = odd.plan("latest", policy="latest_sql")
        odd.restore(plan)
    (copy,) = plan.execution.target_state.databases
    assert copy.endswith(database)
    assert copy != database
    with world.admin() as master:
        assert master.execute(f"SELECT Id FROM {quote_name(copy)}.dbo.Octopus_Odd").fetchval() == 7


def test_a_collection_with_a_hostile_name_is_backed_up_and_restored(world: World) -> None:
    collection = "..ü ];'--%2e"
    path = f"/collections/{quote(collection, safe='')}"
    world.qdrant.put(path, json={"vectors": {"size": 2, "distance": "Dot"}}).raise_for_status()
    points = {"points": [{"id": 1, "vector": [1.0, 0.5], "payload": {"content": "odd"}}]}
    world.qdrant.put(f"{path}/points", params={"wait": "true"}, json=points).raise_for_status()
    world.back_up(Kind.FULL)
    point = world.make_point()
    assert point.complete
    expected = world.truth()
    world.lose_everything()
    world.restore(world.plan({"recovery_point": point.id}))
    assert truth.differences(expected, world.truth()) == []


def test_a_log_backup_does_not_queue_behind_another_but_the_next_one_runs(world: World) -> None:
    world.back_up(Kind.FULL)
    where = paths.sql_scope(world.system.sqlserver.server().name, world.database)
    with world.system.catalogue.locks.hold(f"{where}/log", "01J0000000000000000000SOME"):
        run = world.run(starts.start_backup(world.system, BackupRequest(kind=Kind.LOG)))
    assert run.state == "skipped"
    assert run.error is not None
    assert run.error.code == "locked"
    world.back_up(Kind.LOG)
