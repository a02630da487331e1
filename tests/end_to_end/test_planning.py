"""What a plan is made of, asked of the real parts: files, tiers, agents, scripts, lists, earlier restores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from local.octopus import truth
from shared.errors import (
    BackupSystemError,
    InvalidRequestError,
    InvalidSettingsError,
    NotFoundError,
    NothingToRestoreError,
    RefusedError,
    UnreachableError,
)
from shared.model.backups import Kind, QdrantFacts
from shared.model.plans import (
    CollectionStep,
    ErasuresStep,
    Migrations,
    MigrationsStep,
    Plan,
    PlanRequest,
    RehydrateStep,
    SwapStep,
)
from shared.model.runs import RunKind
from shared.planning.erasing import list_sha256
from shared.stores.sqlserver import SqlServerStore
from shared.workflows.plans import changes_since, make_plans
from tests.world import LATER, World

SCRIPT = "IF 1 = 0 SELECT 1;\nGO\n"


def kinds(plan: Plan) -> list[str]:
    return [step.kind for step in plan.execution.steps]


def codes(plan: Plan) -> set[str]:
    return {finding.code for finding in plan.findings}


def refused(world: World, kind: type[BackupSystemError], target: object = "latest", **more: object) -> str:
    with pytest.raises(kind) as caught:
        world.plans(target, **more)
    assert caught.value.hint
    return caught.value.specific_code


def only[T](plan: Plan, kind: type[T]) -> T:
    (found,) = [step for step in plan.execution.steps if isinstance(step, kind)]
    return found


def test_one_agents_documents_go_back_and_sql_server_stays_at_now(world: World) -> None:
    world.back_up(Kind.FULL)
    world.make_point()
    mine, other = world.memory.agents()
    expected = world.truth()
    world.memory.index(mine, LATER.sources())
    world.memory.index(other, LATER.sources())
    world.work("an episode that stays")
    before = world.truth()

    plan = world.plan("latest", agents=[str(mine.id)], in_place=True)
    assert [step.target for step in plan.execution.steps if isinstance(step, CollectionStep)] == [
        f"agent_{mine.id.hex}"
    ]
    assert not {"sql_restore", "sql_tail", "migrations"} & set(kinds(plan))
    assert {"gap", "safety", "orphans"} <= set(kinds(plan))
    assert "SQL Server stays at now" in plan.consistency
    assert any("document part(s) after the snapshots" in loss for loss in plan.losses)

    world.restore(plan)
    now = world.truth()
    restored = f"agent_{mine.id.hex}"
    wanted = {**before.collections, restored: expected.collections[restored]}
    assert truth.differences(truth.Truth(before.tables, wanted), now) == []


def test_an_agent_that_nobody_knows_is_refused(world: World) -> None:
    world.back_up(Kind.FULL)
    world.make_point()
    stranger = "00000000-0000-4000-8000-00000000dead"
    assert refused(world, NothingToRestoreError, agents=[stranger]) == "agent_without_collection"


def test_vectors_alone_are_planned_where_sql_server_does_not_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.back_up(Kind.FULL)
    world.make_point()

    def away(*_: Any) -> None:
        raise UnreachableError("SQL Server does not answer.")

    monkeypatch.setattr(SqlServerStore, "databases", away)
    plan = world.plan("latest", stores=["qdrant"])
    assert "could not be asked" in plan.consistency
    assert "collection" in kinds(plan)


def test_sql_server_alone_leaves_the_vectors_and_tells_what_that_means(world: World) -> None:
    world.back_up(Kind.FULL)
    world.make_point()
    world.work("after the point")
    plan = world.plan({"recovery_point": world.system.catalogue.points.all()[0].id}, stores=["sqlserver"])
    assert "collection" not in kinds(plan)
    assert "vectors_left_newer" in codes(plan)
    assert any("1 episode(s) after the recovery point" in loss for loss in plan.losses)


def test_a_backup_of_which_a_file_is_gone_is_planned_around_and_said_so(world: World) -> None:
    world.back_up(Kind.FULL)
    world.work()
    lost = world.back_up(Kind.FULL).steps[0].evidence["backup_id"]
    world.work()
    world.back_up(Kind.LOG)
    assert lost in {choice.backup_id for choice in world.plan("latest", policy="latest_sql").chosen}
    for name in world.blobs("data", "sqlserver/"):
        if lost in name:
            world.delete_blob("data", name)
    plan = world.plan("latest", policy="latest_sql")
    assert lost not in {choice.backup_id for choice in plan.chosen}
    (why,) = [choice.reason for choice in plan.rejected if choice.backup_id == lost]
    assert "gone" in why
    for name in world.blobs("data", "sqlserver/"):
        if "/full/" in name:
            world.delete_blob("data", name)
    assert refused(world, NothingToRestoreError, policy="latest_sql") == "no_full_backup"


def test_a_set_of_which_a_snapshot_is_gone_is_used_only_when_it_is_asked_for(world: World) -> None:
    world.back_up(Kind.FULL)
    old = world.make_point("old")
    new = world.make_point("new")
    manifest = world.system.catalogue.backups.get(new.vectors.snapshot_set_id)
    assert isinstance(manifest.facts, QdrantFacts)
    part = manifest.facts.parts[0]
    world.delete_blob("data", part.blob.name)
    assert world.plan("latest", policy="paired").execution.target.recovery_point_id == old.id
    asked = world.plan({"recovery_point": "new"})
    assert asked.execution.target.recovery_point_id == new.id
    assert {"recovery_point_incomplete", "files_gone"} <= codes(asked)
    assert any(f"Collection {part.collection} is not restored" in loss for loss in asked.losses)


def test_archived_files_are_brought_back_first(world: World) -> None:
    world.back_up(Kind.FULL)
    point = world.make_point()
    (full,) = [name for name in world.blobs("data", "sqlserver/") if "/full/" in name]
    world.storage.get_blob_client("data", full).set_standard_blob_tier("Archive")
    plan = world.plan({"recovery_point": point.id})
    assert kinds(plan)[0] == "rehydrate"
    assert [file.name for file in only(plan, RehydrateStep).files] == [full]
    assert "files_archived" in codes(plan)
    assert changes_since(world.system, plan) == []


def test_the_list_of_erased_users_is_kept_beside_the_plan_and_named_nowhere(world: World) -> None:
    world.back_up(Kind.FULL)
    world.make_point()
    for plan in world.plans("latest", erase_users=["user-2", "user-1", "user-2"]):
        step = only(plan, ErasuresStep)
        kept = world.system.catalogue.plans.erasures(plan.id)
        assert kept == ("user-1", "user-2")
        assert (step.users, step.list_sha256) == (2, list_sha256(kept))
        stored = world.system.catalogue.plans.get(plan.id)
        assert stored == plan
        assert "user-1" not in str(stored.as_json())
    (bare,) = world.plans("latest", policy="paired")
    with pytest.raises(NotFoundError):
        world.system.catalogue.plans.erasures(bare.id)


def test_a_migration_script_is_a_file_of_the_plan_whose_change_is_noticed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.back_up(Kind.FULL)
    world.make_point()
    plan = world.plan("latest", policy="paired", migrations="script", migration_script=SCRIPT)
    step = only(plan, MigrationsStep)
    assert step.script is not None
    assert (step.how, step.script_sha256) == (Migrations.SCRIPT, step.script.sha256)
    assert changes_since(world.system, plan) == []
    given = world.storage.get_blob_client(step.script.container, step.script.name)
    assert given.download_blob().readall() == SCRIPT.encode()
    given.upload_blob(b"DROP TABLE x;\nGO\n", overwrite=True)
    (changed,) = changes_since(world.system, plan)
    assert step.script.name in changed

    assert refused(world, InvalidSettingsError, migrations="script") == "invalid_settings"
    monkeypatch.setenv("OCTOPUS_MIGRATION_SCRIPT", "migrations/7.sql")
    with world.aside() as named:
        assert refused(named, NotFoundError, migrations="script") == "migration_script_unknown"
        blob = named.storage.get_blob_client("catalogue", "migrations/7.sql")
        blob.upload_blob(SCRIPT.encode())
        plan = named.plan("latest", policy="paired", migrations="script")
        script = only(plan, MigrationsStep).script
        assert script is not None
        assert (script.container, script.name) == ("catalogue", "migrations/7.sql")
        blob.upload_blob(b"'not closed", overwrite=True)
        with pytest.raises(InvalidRequestError):
            named.plans("latest", migrations="script")


def test_a_command_is_planned_on_a_persons_machine_only(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.back_up(Kind.FULL)
    world.make_point()
    asked = PlanRequest.model_validate({"target": "latest", "policy": "paired", "migrations": "command"})
    assert refused(world, InvalidRequestError, migrations="command") == "migration_command_cli_only"
    with pytest.raises(InvalidSettingsError, match="OCTOPUS_MIGRATION_COMMAND"):
        make_plans(replace(world.system, commands_allowed=True), asked)
    monkeypatch.setenv("OCTOPUS_MIGRATION_COMMAND", "migrate {database}")
    with world.aside() as here:
        (plan,) = make_plans(replace(here.system, commands_allowed=True), asked)
        assert only(plan, MigrationsStep).how is Migrations.COMMAND
        assert changes_since(here.system, plan) == []
        monkeypatch.setenv("OCTOPUS_MIGRATION_COMMAND", "another {database}")
        with here.aside() as changed:
            assert any("Settings" in one for one in changes_since(changed.system, plan))


def test_a_name_like_those_that_are_made_cannot_be_asked_for(world: World) -> None:
    world.back_up(Kind.FULL)
    world.make_point()
    names = {world.database: "rp_20260101t000000_mine"}
    assert refused(world, InvalidRequestError, names=names) == "reserved_name"


def test_a_restore_beside_the_live_data_is_planned_into_service_once(world: World) -> None:
    world.back_up(Kind.FULL)
    point = world.make_point()
    expected = world.truth()
    world.work("after the point")
    beside = world.plan({"recovery_point": point.id})
    run = world.restore(beside)
    target = {"restore": run.id}

    plan = world.plan(target, confirm_space=True)
    swap = only(plan, SwapStep)
    assert swap.live == world.database
    assert swap.restored in world.databases()
    assert (swap.aside or "").startswith(f"{world.database}__before_")
    assert plan.execution.serves == run.id
    assert {"undo", "written_since"} <= codes(plan)
    assert len(plan.details) == len(plan.execution.steps)
    assert changes_since(world.system, plan) == []

    world.restore(plan)
    now = world.truth()
    in_service = {name: now.collections[name] for name in expected.collections}
    assert truth.differences(expected, truth.Truth(now.tables, in_service)) == []
    assert refused(world, RefusedError, target) == "in_service_already"


def test_what_was_no_restore_or_went_away_is_not_planned_into_service(world: World) -> None:
    world.back_up(Kind.FULL)
    point = world.make_point()
    (backup,) = world.system.catalogue.runs.recent(RunKind.BACKUP, 1)
    assert refused(world, InvalidRequestError, {"restore": backup.id}) == "not_a_restore"
    with pytest.raises(NotFoundError):
        world.plans({"restore": "01KJJ0000000000000000000XX"})
    run = world.restore(world.plan({"recovery_point": point.id}))
    (copy,) = [name for name in world.databases() if name.startswith("rp_") and world.database in name]
    world.lose_database(copy)
    assert refused(world, RefusedError, {"restore": run.id}) == "restored_database_gone"
