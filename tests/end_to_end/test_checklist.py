"""The recovery checklist as steps of a restore: proven, migrated, erased."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from local.octopus import truth
from local.octopus.rows import Message
from shared.catalogue import paths
from shared.errors import InvalidRequestError
from shared.model.backups import Kind
from shared.model.plans import ErasuresStep, MigrationsStep, Plan, SqlProofStep
from shared.model.runs import Run
from shared.workflows import reports, retrying
from tests.world import World

CANARY = "canary-user-b81f"
NEXT = "20260101000000_Next"


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST_DELAY_SECONDS", 0.05)


@pytest.fixture
def point(world: World) -> str:
    """A full backup and a recovery point; returns the point's id."""
    world.back_up(Kind.FULL)
    return world.make_point().id


def beside(world: World, point: str, **more: Any) -> tuple[Plan, str]:
    """A plan that restores SQL Server beside what is live, and the copy's name."""
    copy = f"{world.database}_copy"
    plan = world.plan({"recovery_point": point}, stores=["sqlserver"], names={world.database: copy}, **more)
    return plan, copy


def step(run: Run, plan: Plan, kind: type) -> Any:
    return run.step(next(one.id for one in plan.execution.steps if isinstance(one, kind)))


def code(run: Run) -> str:
    assert run.error is not None
    return run.error.code


def script(*batches: str) -> str:
    """A script with one migration of these batches, as EF Core writes it."""
    guard = f"IF NOT EXISTS (SELECT * FROM [__EFMigrationsHistory] WHERE [MigrationId] = N'{NEXT}')"
    insert = (
        f"INSERT INTO [__EFMigrationsHistory] ([MigrationId], [ProductVersion]) VALUES (N'{NEXT}', N'9.0.2');"
    )
    guarded_batches = "".join(f"{guard}\nBEGIN\n    {one}\nEND;\nGO\n\n" for one in (*batches, insert))
    return f"BEGIN TRANSACTION;\nGO\n{guarded_batches}COMMIT;\nGO\n"


ADDS = "CREATE TABLE [Octopus_Notes] ([Id] int NOT NULL CONSTRAINT [PK_Octopus_Notes] PRIMARY KEY);"


class TestProof:
    def test_a_restore_is_proven_checked_and_its_report_lies_beside_the_backups(
        self, world: World, point: str
    ) -> None:
        plan, copy = beside(world, point, checkdb=True)
        run = world.restore(plan)
        proof = step(run, plan, SqlProofStep)
        assert "DBCC CHECKDB found no error" in proof.note
        kept = world.blobs("catalogue", f"reports/{run.id}/")
        assert kept == [f"reports/{run.id}/1.html", f"reports/{run.id}/1.json"]
        blob = world.storage.get_blob_client("catalogue", f"reports/{run.id}/1.json")
        report = json.loads(blob.download_blob().readall())
        assert report["digest"] == plan.digest
        assert all(row["equal"] for row in report["evidence"]["counts"])
        assert {row["table"] for row in report["evidence"]["counts"]} >= {"dbo.Octopus_Episodes"}
        assert report["evidence"]["consistency_checks"][0]["clean"] is True
        assert report["evidence"]["consistency_checks"][0]["database"] == copy
        page = (
            world.storage.get_blob_client("catalogue", f"reports/{run.id}/1.html").download_blob().readall()
        )
        assert plan.digest in page.decode()

    def test_counts_that_do_not_match_fail_the_restore_and_its_report_says_which(
        self, world: World, point: str
    ) -> None:
        plan, copy = beside(world, point)
        proof = next(n for n, one in enumerate(plan.execution.steps) if isinstance(one, SqlProofStep))

        def spoiled(payload: dict[str, Any]) -> Any:
            if payload["index"] == proof:
                with world.admin() as master:
                    master.execute(f"DELETE FROM [{copy}].[dbo].[Octopus_EpisodeMessages]")
            return world.activity("restore_step")(payload)

        run = world.run(world.begin(plan), restore_step=spoiled)
        assert (run.state, code(run)) == ("failed", "proof_failed")
        assert run.error is not None
        assert (
            "Table dbo.Octopus_EpisodeMessages has 0, and had 4 at the recovery point." in run.error.message
        )
        report = reports.shown(world.system, reports.find(world.system, run.id))
        assert report["verdict"] == "failed"
        assert [item["verdict"] for item in report["checklist"]][:2] == ["failed", "not_reached"]
        wrong = [row for row in report["evidence"]["counts"] if row["equal"] is False]
        assert [(row["table"], row["expected"], row["found"]) for row in wrong] == [
            ("dbo.Octopus_EpisodeMessages", 4, 0)
        ]
        assert "differs" in reports.as_html(world.system, reports.find(world.system, run.id))

    def test_a_damaged_database_fails_its_check_and_the_restore_goes_on_when_it_is_sound(
        self, world: World, point: str
    ) -> None:
        plan, copy = beside(world, point, checkdb=True)
        pattern = copy.replace("_", "[_]")
        with world.admin() as master:
            master.execute(f"EXEC standin_fault N'checkdb', N'{pattern}', 2")
            try:
                run = world.run(world.begin(plan))
            finally:
                master.execute(f"EXEC standin_fault N'checkdb', N'{pattern}', 0")
        assert (run.state, code(run)) == ("failed", "proof_failed")
        assert run.error is not None
        assert "DBCC CHECKDB found 0 allocation errors and 2 consistency errors" in run.error.message
        assert step(run, plan, SqlProofStep).evidence["checkdb"]["consistency_errors"] == 2
        assert world.restore(plan).attempt == 2


class TestMigrations:
    def test_the_script_is_executed_on_the_copy_and_the_head_is_its_own(
        self, world: World, point: str
    ) -> None:
        live = world.truth()
        plan, copy = beside(world, point, migrations="script", migration_script=script(ADDS))
        run = world.restore(plan)
        evidence = step(run, plan, MigrationsStep).evidence
        assert (evidence["head"], evidence["expected_head"]) == (NEXT, NEXT)
        assert evidence["head_before"] < NEXT
        assert evidence["batches"] == 4
        assert "dbo.Octopus_Notes" in world.system.sqlserver.migrations(copy).tables
        assert truth.differences(live, world.truth()) == []

    def test_a_script_that_fails_in_batch_3_stops_there_and_is_begun_anew_when_the_cause_is_gone(
        self, world: World, point: str
    ) -> None:
        needs = "INSERT INTO [MadeByHand] VALUES (1);"
        plan, copy = beside(world, point, migrations="script", migration_script=script(ADDS, needs))
        run = world.run(world.begin(plan))
        assert (run.state, code(run)) == ("failed", "migration_failed")
        assert run.error is not None
        assert run.error.message.startswith("Batch 3, lines 9 to 12 of the migration script, failed")
        assert "MadeByHand" in run.error.message
        assert "dbo.Octopus_Notes" not in world.system.sqlserver.migrations(copy).tables, "taken back"
        with world.admin() as master:
            master.execute(f"CREATE TABLE [{copy}].[dbo].[MadeByHand] (Id int NOT NULL PRIMARY KEY)")
        again = world.restore(plan)
        assert again.attempt == 2
        assert step(again, plan, MigrationsStep).evidence["head"] == NEXT

    def test_another_script_than_the_plans_is_not_executed(self, world: World, point: str) -> None:
        plan, copy = beside(world, point, migrations="script", migration_script=script(ADDS))
        ref = next(one.script for one in plan.execution.steps if isinstance(one, MigrationsStep))
        assert ref is not None
        begun = world.begin(plan)
        blob = world.storage.get_blob_client(ref.container, ref.name)
        blob.upload_blob(b"DROP TABLE [Octopus_Areas];".ljust(ref.size), overwrite=True)
        run = world.run(begun)
        assert (run.state, code(run)) == ("failed", "migration_script_changed")
        assert "dbo.Octopus_Areas" in world.system.sqlserver.migrations(copy).tables

    def test_the_command_is_run_where_commands_are_allowed(
        self, world: World, point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program = tmp_path / "migrate.py"
        program.write_text(
            "import os, sys\nimport pyodbc\n"
            "where = os.environ['MIGRATE'] + ';DATABASE=' + sys.argv[1]\n"
            "connection = pyodbc.connect(where, autocommit=True)\n"
            f"connection.execute('INSERT INTO [__EFMigrationsHistory] VALUES (?, ?)', '{NEXT}', '9')\n"
            "print('applied', os.environ['MIGRATE'])\n"
        )
        without = [p for p in world.servers.connection().split(";") if not p.startswith("DATABASE=")]
        monkeypatch.setenv("MIGRATE", ";".join(without))
        monkeypatch.setenv("OCTOPUS_MIGRATION_COMMAND", f"{sys.executable} {program} {{database}}")
        with world.aside() as there:
            with pytest.raises(InvalidRequestError) as refused:
                beside(there, point, migrations="command")
            assert refused.value.specific_code == "migration_command_cli_only"
            there.__dict__["system"] = dataclasses.replace(there.system, commands_allowed=True)
            plan, _ = beside(there, point, migrations="command")
            run = there.restore(plan)
            evidence = step(run, plan, MigrationsStep).evidence
            assert evidence["head"] == NEXT
            assert evidence["exit_code"] == 0
            assert evidence["output"].startswith("applied")
            assert "PWD=***" in evidence["output"]
            assert there.system.sqlserver.migrations(there.database).head != NEXT


class TestErasures:
    def test_erased_users_are_erased_again_and_named_nowhere(
        self, world: World, point: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        agent = world.memory.agents()[0]
        world.memory.remember(agent, "session-9", CANARY, (Message("user", "Forget this"),))
        later = world.make_point()
        plan, copy = beside(world, later.id, erase_users=[CANARY, "nobody"])
        assert CANARY not in json.dumps(plan.as_json())
        run = world.restore(plan)
        evidence = step(run, plan, ErasuresStep).evidence
        assert evidence["rows_left"] == 0
        assert evidence["rows_deleted"]["dbo.Octopus_Episodes"] == 1
        assert evidence["rows_deleted"]["dbo.Octopus_EpisodeMessages"] == 1
        assert evidence["rows_deleted"]["dbo.Octopus_Conversations"] == 1
        tables = truth.rows(world.servers.connection(copy))
        assert CANARY not in repr(tables)
        assert "user-1" in repr(tables["Octopus_Episodes"])
        secret = paths.plan_erasures(plan.id)
        for container in ("state", "catalogue"):
            for name in world.blobs(container):
                if name != secret:
                    assert (
                        CANARY.encode()
                        not in world.storage.get_blob_client(container, name).download_blob().readall()
                    )
        assert CANARY not in caplog.text
        assert "rows of 2 users deleted" in step(run, plan, ErasuresStep).note

    def test_a_list_that_was_exchanged_is_not_worked_on(self, world: World, point: str) -> None:
        plan, copy = beside(world, point, erase_users=["user-1"])
        blob = world.storage.get_blob_client("state", paths.plan_erasures(plan.id))
        changed = json.loads(blob.download_blob().readall())
        changed["users"] = ["user-2"]
        blob.upload_blob(json.dumps(changed).encode(), overwrite=True)
        run = world.run(world.begin(plan))
        assert (run.state, code(run)) == ("failed", "erasure_list_changed")
        assert "user-1" in repr(truth.rows(world.servers.connection(copy))["Octopus_Episodes"])
