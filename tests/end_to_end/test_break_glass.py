"""Break glass: everything is lost, our software too; the scripts beside the point bring it all back."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from local import break_glass
from local.break_glass import Place, ScriptFailedError
from local.octopus import truth
from shared.model.backups import Kind
from shared.model.points import RecoveryPoint
from tests.servers import SA_PASSWORD
from tests.world import World, quote_name


@pytest.fixture
def place(world: World, tmp_path: Path) -> Place:
    return Place(
        storage_url=world.servers.storage_url(world.account),
        account=world.account,
        account_key=world.account_key,
        certificate=world.servers.azurite.certificate,
        sqlserver_port=int(world.servers.sqlserver.ready["port"]),
        sa_password=SA_PASSWORD,
        qdrant_urls=world.servers.qdrant_url,
        folder=tmp_path,
    )


def chained_point(world: World) -> RecoveryPoint:
    """A point with a full, a differential and two logs behind it."""
    world.back_up(Kind.FULL)
    world.work("in the differential")
    world.back_up(Kind.DIFFERENTIAL)
    world.work("in a log")
    world.back_up(Kind.LOG)
    world.work("in the last log, before the mark")
    return world.make_point("before v7")


def forget_credentials(world: World) -> None:
    """A new SQL Server knows no SAS of ours."""
    with world.admin() as master:
        for container in ("data", "landing"):
            url = f"{world.servers.storage_url(world.account)}/{container}"
            master.execute(f"DROP CREDENTIAL [{url}]")


@pytest.mark.parametrize("medium", ["url", "disk"])
def test_after_a_total_loss_both_scripts_bring_the_point_back(world: World, place: Place) -> None:
    point = chained_point(world)
    expected = world.truth()
    world.work("after the point")
    world.back_up(Kind.LOG)
    world.lose_everything()
    forget_credentials(world)

    told = break_glass.restore_at(place, point.id)

    assert truth.differences(expected, world.truth()) == []
    way = "tsql" if shutil.which("tsql") else "pyodbc"
    assert f"restore.sql, with {way}: " in " ".join(told)
    assert "restore.sh vectors, with sh: Done: 2 collection(s)" in told[-1]


def test_a_second_run_stops_before_it_overwrites_anything(world: World, place: Place) -> None:
    point = chained_point(world)
    live = world.truth()
    scripts = break_glass.fetch(place, point.id)
    environ = break_glass.environment(place)
    with pytest.raises(ScriptFailedError, match="exists"):
        break_glass.run_shell(scripts["restore.sh"], "vectors", environ)
    with pytest.raises(ScriptFailedError, match="A database of that name exists"):
        break_glass.run_sql(place, scripts["restore.sql"].read_text("utf-8"), environ)
    assert truth.differences(live, world.truth()) == []


def test_beside_the_live_data_under_another_name(world: World, place: Place) -> None:
    point = chained_point(world)
    expected = world.truth()
    copy = f"{world.database} it's [a] copy"
    scripts = break_glass.fetch(place, point.id)
    text = break_glass.with_variables(
        scripts["restore.sql"].read_text("utf-8"), TARGET_1=copy.replace("'", "''")
    )
    break_glass.run_sql(place, text, break_glass.environment(place))
    assert truth.differences(truth.Truth(expected.tables, {}), world.copy(copy, {})) == []
    assert truth.differences(expected, world.truth()) == []


def test_a_database_that_is_not_at_the_point_is_told(world: World, place: Place) -> None:
    """Somebody runs the script with its last logs left out: the check at the end says so."""
    point = chained_point(world)
    world.lose_database()
    script = break_glass.fetch(place, point.id)["restore.sql"].read_text("utf-8")
    kept = [batch for batch in script.split("\nGO\n") if "RESTORE LOG" not in batch]
    with pytest.raises(ScriptFailedError, match=r"newest marker row|should have"):
        break_glass.run_sql(place, "\nGO\n".join(kept), break_glass.environment(place))
    assert world.databases()[world.database] == "ONLINE"


def test_a_point_without_a_mark_and_with_a_hostile_name_comes_back_as_well(
    world: World, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = f"{world.database} ]'\"--/*$(AZURE_SAS);ü"
    with world.admin() as master:
        master.execute(f"CREATE DATABASE {quote_name(database)}")
        master.execute(f"CREATE TABLE {quote_name(database)}.dbo.Octopus_Odd (Id int NOT NULL PRIMARY KEY)")
        master.execute(f"INSERT INTO {quote_name(database)}.dbo.Octopus_Odd (Id) VALUES (7)")
    monkeypatch.setenv("SQLSERVER_DATABASES", database)
    with world.aside() as odd:
        odd.back_up(Kind.FULL)
        point = odd.make_point("*/ $(x) `id`")
    world.lose_database(database)
    world.lose_collections()
    break_glass.restore_at(place, point.id)
    with world.admin() as master:
        assert master.execute(f"SELECT Id FROM {quote_name(database)}.dbo.Octopus_Odd").fetchval() == 7
    assert len(world.collections()) == 2


def test_an_incomplete_point_has_its_scripts_too_with_the_reasons_on_top(world: World, place: Place) -> None:
    world.back_up(Kind.FULL)
    bad, good = world.collections()
    world.fault(status=500, match=f"POST /collections/{bad}/snapshots", times=50)
    point = world.make_point(complete=False)
    expected = world.truth()
    for name, script in break_glass.fetch(place, point.id).items():
        beginning = script.read_text("utf-8")[:3000]
        assert "THIS POINT IS INCOMPLETE" in beginning, name
        assert bad in beginning, name
    world.lose_everything()
    break_glass.restore_at(place, point.id)
    found = world.truth()
    assert list(found.collections) == [good]
    one = truth.Truth(expected.tables, {good: expected.collections[good]})
    assert truth.differences(one, found) == []


@pytest.mark.parametrize("medium", ["url", "disk"])
def test_no_secret_stands_in_a_script(world: World, place: Place) -> None:
    world.back_up(Kind.FULL)
    point = world.make_point()
    for script in break_glass.fetch(place, point.id).values():
        text = script.read_text("utf-8")
        for secret in (SA_PASSWORD, world.account_key, "sig="):
            assert secret not in text
        assert not re.search(r"(?i)(pwd|password) *=", text)
