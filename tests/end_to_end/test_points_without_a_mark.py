"""A DBA's no to the marker table or to the mark: the point is the end of a log backup, and tells the loss."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from local.octopus import truth
from shared.model.backups import Kind, Quality
from shared.model.findings import Severity
from shared.model.points import RecoveryPoint
from shared.model.requests import PointRequest
from shared.workflows import starts
from tests.world import World

PASSWORD = "Limited-canary-19c4"


def drop_marker(world: World, database: str | None = None) -> None:
    with world.admin() as master:
        master.execute(f"USE [{database or world.database}]; DROP TABLE octopus_backup.RecoveryPoint;")


def finding(point: RecoveryPoint) -> Any:
    (found,) = [one for one in point.findings if one.code == "point_without_mark"]
    assert found.severity is Severity.WARNING
    assert "sqlserver-setup.sql" in found.hint
    return found


def demand_log_end(world: World, point: RecoveryPoint) -> None:
    """The point is the end of a log backup that began when the snapshots had ended, and nothing is exact."""
    (side,) = [one for one in point.sql if one.database == world.database]
    assert point.complete
    assert (side.mark_name, side.mark_lsn) == (None, None)
    log = world.system.catalogue.backups.get(side.log_backup_id)
    assert log.kind is Kind.LOG
    assert log.run_id == point.run_id
    assert point.vectors.finished_at.replace(microsecond=0) <= log.started_at  # msdb: whole seconds
    assert log.finished_at < side.at
    assert {count.quality for count in side.tables.values()} == {Quality.APPROXIMATE}
    assert all((count.low or 0) <= count.value <= (count.high or 0) for count in side.tables.values())
    assert side.agents == tuple(sorted(str(agent.id) for agent in world.memory.agents()))
    assert side.migration
    assert side.clock_offset_seconds is not None


def test_without_the_marker_table_the_point_is_the_end_of_a_log_backup_and_is_restored(world: World) -> None:
    world.back_up(Kind.FULL)
    drop_marker(world)
    point = world.make_point("before v7")
    demand_log_end(world, point)
    assert "no marker row" in finding(point).message
    assert "approximate" in finding(point).message
    expected = world.truth()
    world.work("after the point")
    world.back_up(Kind.LOG)
    world.lose_everything()

    plan = world.plan({"recovery_point": "before v7"})
    assert "no_mark" in [one.code for one in plan.findings]
    world.restore(plan)

    assert truth.differences(expected, world.truth()) == []


def test_two_such_points_of_an_idle_hour_are_both_restored(world: World) -> None:
    """The second log backup holds nothing; its end is a place in the log all the same."""
    drop_marker(world)
    world.back_up(Kind.FULL)
    first, second = world.make_point(), world.make_point()
    expected = world.truth()
    for point in (first, second):
        world.lose_everything()
        world.restore(world.plan({"recovery_point": point.id}))
        assert truth.differences(expected, world.truth()) == []


def test_such_a_point_proves_the_order_for_the_latest_sql(world: World) -> None:
    drop_marker(world)
    world.back_up(Kind.FULL)
    point = world.make_point()
    world.moment()
    world.work()
    world.back_up(Kind.LOG)
    plan = world.plan("latest", policy="latest_sql")
    assert plan.execution.target.snapshot_set_id == point.vectors.snapshot_set_id


def test_what_is_written_around_the_log_backup_widens_the_interval_of_its_counts(world: World) -> None:
    world.back_up(Kind.FULL)
    drop_marker(world)
    back_up = world.activity("back_up_database")

    def busy(payload: dict[str, Any]) -> Any:
        world.work("before the log backup")
        made = back_up(payload)
        world.work("after the log backup")
        return made

    run = world.run(starts.start_point(world.system, PointRequest()), back_up_database=busy)
    point = world.system.catalogue.points.get(run.step("point").evidence["point_id"])
    count = point.sql[0].tables["dbo.Octopus_Episodes"]
    assert count.low is not None
    assert count.high is not None
    assert count.high - count.low == 2
    world.lose_everything()
    world.restore(world.plan({"recovery_point": point.id}))
    assert len(world.truth().tables["Octopus_Episodes"]) == count.low + 1


@pytest.fixture
def limited(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The world with a login that may do what a backup needs, but not write the marker row."""
    login = f"limited_{world.database}"
    with world.admin() as master:
        for statement in (
            f"CREATE LOGIN [{login}] WITH PASSWORD = N'{PASSWORD}'",
            f"GRANT VIEW SERVER STATE TO [{login}]",
            f"GRANT VIEW ANY DEFINITION TO [{login}]",
        ):
            master.execute(statement)
        for database, grants in (
            ("msdb", ["GRANT SELECT ON OBJECT::dbo.{} TO [{}]"]),
            (world.database, ["ALTER ROLE [db_backupoperator] ADD MEMBER [{1}]"]),
        ):
            master.execute(f"USE [{database}]; CREATE USER [{login}] FOR LOGIN [{login}];")
            tables = ("backupset", "backupmediafamily", "restorehistory", "logmarkhistory")
            for table in tables if database == "msdb" else ("",):
                for grant in grants:
                    master.execute(f"USE [{database}]; {grant.format(table, login)};")
        master.execute(f"USE [{world.database}]; ALTER ROLE [db_datareader] ADD MEMBER [{login}];")
    connection = re.sub(r"UID=[^;]*;PWD=\{[^}]*\};?", "", world.environ["SQLSERVER_CONNECTION"])
    monkeypatch.setenv("SQLSERVER_CONNECTION", f"{connection};UID={login};PWD={{{PASSWORD}}}")
    with world.aside() as other:
        yield other
    with world.admin() as master:
        master.execute(f"DROP LOGIN [{login}]")


def test_without_the_right_to_write_the_marker_row_likewise(world: World, limited: World) -> None:
    limited.back_up(Kind.FULL)
    point = limited.make_point()
    demand_log_end(limited, point)
    assert "permission" in finding(point).message.lower()
    expected = world.truth()
    world.lose_everything()
    world.restore(world.plan({"recovery_point": point.id}))
    assert truth.differences(expected, world.truth()) == []


def test_without_the_right_to_read_the_history_of_marks_likewise(world: World, limited: World) -> None:
    login = f"limited_{world.database}"
    with world.admin() as master:
        master.execute(f"USE [msdb]; DENY SELECT ON OBJECT::dbo.logmarkhistory TO [{login}];")
        master.execute(
            f"USE [{world.database}]; GRANT INSERT ON OBJECT::octopus_backup.RecoveryPoint TO [{login}];"
        )
    limited.back_up(Kind.FULL)
    point = limited.make_point()
    demand_log_end(limited, point)
    with world.admin() as master:
        assert (
            master.execute(f"SELECT COUNT(*) FROM [{world.database}].octopus_backup.RecoveryPoint").fetchval()
            == 0
        )


def test_of_two_databases_the_one_that_can_be_marked_is_marked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = f"{world.database}_second"
    with world.admin() as master:
        master.execute(f"CREATE DATABASE [{second}]")
        master.execute(f"CREATE TABLE [{second}].dbo.Octopus_Odd (Id int NOT NULL PRIMARY KEY)")
        master.execute(f"INSERT INTO [{second}].dbo.Octopus_Odd (Id) VALUES (7)")
    monkeypatch.setenv("SQLSERVER_DATABASES", f"{world.database},{second}")
    with world.aside() as both:
        both.back_up(Kind.FULL)
        both.work()
        point = both.make_point()
        assert point.complete
        marked, unmarked = point.sql
        assert marked.database == world.database
        assert marked.mark_name
        assert {count.quality for count in marked.tables.values()} == {Quality.EXACT}
        assert (unmarked.database, unmarked.mark_name) == (second, None)
        assert "not at one instant with the other databases" in finding(point).message
        expected = world.truth()
        both.lose_everything()
        both.lose_database(second)
        both.restore(both.plan({"recovery_point": point.id}))
        assert truth.differences(expected, world.truth()) == []
        with world.admin() as master:
            assert master.execute(f"SELECT Id FROM [{second}].dbo.Octopus_Odd").fetchval() == 7
