"""What each command does when all is well, for people and as JSON."""

from __future__ import annotations

import contextlib
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyodbc
import pytest

from local.octopus import loading
from local.octopus.memory import Memory
from local.sqlserver.client import connection_string
from shared.clock import SystemClock
from tests.app.cli.conftest import THEME, Cli, Ended

HOSTILE = "[red]“before v7”[/] 'quoted' [link=http://x]\\[ \u202e"


@pytest.fixture(scope="module")
def full(cli: Cli) -> Ended:
    """The first backup of the module."""
    return cli("backup", "full")


@pytest.fixture(scope="module")
def point(cli: Cli, full: Ended) -> dict[str, Any]:
    """A recovery point with a hostile name, as the list shows it."""
    made = cli("recovery-point", "--name", HOSTILE, "--json")
    assert made.code == 0, made
    assert made.json["state"] == "succeeded"
    listed: dict[str, Any] = cli("list", "--json").json["recovery_points"][0]
    return listed


def test_a_full_backup_tells_its_steps(full: Ended) -> None:
    assert full.code == 0, full
    assert full.out.startswith("Full backup of OctopusDB (run ")
    assert "SUCCEEDED" in full.out
    assert "done  Back up OctopusDB (full)" in full.out
    assert "done  Verify that backup of OctopusDB" in full.out
    assert full.err == "", "no progress bars where nobody watches"


@pytest.mark.parametrize("kind", ["differential", "log"])
def test_the_other_kinds_answer_in_json_as_well(cli: Cli, full: Ended, kind: str) -> None:
    ended = cli("backup", kind, "--database", "OctopusDB", "--json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.json["state"] == "succeeded"
    assert ended.json["request"] == {"backup_kind": kind, "databases": ["OctopusDB"]}


def test_the_list_shows_points_and_backups_with_names_as_they_are(cli: Cli, point: dict[str, Any]) -> None:
    assert point["name"] == HOSTILE
    text = cli("list")
    assert text.code == 0
    line = next(line for line in text.out.splitlines() if point["id"] in line)
    assert HOSTILE.replace("\u202e", "?") in line, "shown literally, but for what a terminal would obey"
    assert "  yes  " in line
    kinds = {line["kind"] for line in cli("list", "--json").json["backups"]}
    assert {"full", "log", "snapshot_set"} <= kinds
    assert re.search(r"full +[\d.]+ KiB  OctopusDB", text.out)


def test_a_point_is_pinned_from_the_start_or_later_and_let_go(cli: Cli, point: dict[str, Any]) -> None:
    def pinned() -> dict[str, bool]:
        return {one["id"]: one["pinned"] for one in cli("list", "--json").json["recovery_points"]}

    assert pinned()[point["id"]] is False
    kept = cli("pin", point["name"])
    assert kept.code == 0, kept
    assert f"{point['id']}" in kept.out
    assert pinned()[point["id"]] is True
    assert re.search(rf"{point['id']} +yes +yes ", cli("list").out)
    assert cli("pin", point["id"], "--remove", "--json").json["pinned"] is False
    unknown = cli("pin", "nobody")
    assert unknown.code == 2
    assert "no recovery point" in unknown.err


def test_the_status_names_the_newest_point(cli: Cli, point: dict[str, Any]) -> None:
    text = cli("status")
    assert text.code == 0
    assert point["id"] in text.out
    assert "TIMERS" in text.out
    assert cli("status", "--json").json["newest_recovery_point"]["id"] == point["id"]


def test_a_point_is_planned_by_its_id_and_by_its_name(cli: Cli, point: dict[str, Any]) -> None:
    by_id, by_name = cli("plan", point["id"]), cli("plan", point["name"], "--json")
    assert by_id.code == by_name.code == 0
    assert by_id.out.startswith("RESTORE PLAN ")
    assert "octopus-backup restore " in by_id.out
    (plan,) = by_name.json["plans"]
    assert plan["execution"]["target"]["recovery_point_id"] == point["id"]


def test_a_plan_is_written_as_a_page_into_a_new_file_only(cli: Cli, point: dict[str, Any]) -> None:
    file = cli.folder / "plan.html"
    done = cli("plan", point["id"], "--html", str(file))
    assert done.code == 0, done.err
    page = file.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert point["id"] in page
    again = cli("plan", point["id"], "--html", str(file))
    assert again.code == 2
    assert "cannot be written" in again.err
    assert file.read_text(encoding="utf-8") == page


def test_latest_and_a_time_are_planned_once_for_each_policy_or_for_the_one_that_is_named(
    cli: Cli, point: dict[str, Any]
) -> None:
    time.sleep(1.1)  # SQL Server's backup times are whole seconds: the next commit is later than the mark's
    with contextlib.closing(
        Memory(cli.stack.sql, str(cli.stack.qdrant.ready["url"]), SystemClock())
    ) as memory:
        (agent,) = memory.agents()
        memory.remember(agent, "later", "user-1", loading.exchange(THEME, random.Random(7)))
    assert cli("backup", "log").code == 0  # now SQL Server can be restored to later than the point
    both = cli("plan", "latest", "--json").json["plans"]
    assert {plan["execution"]["policy"] for plan in both} == {"paired", "latest_sql"}
    assert cli("plan", "latest").out.count("RESTORE PLAN ") == 2
    (one,) = cli("plan", point["made_at"], "--policy", "paired", "--json").json["plans"]
    assert one["execution"]["policy"] == "paired"


def test_a_restore_beside_the_live_data_is_proven_and_reported(cli: Cli, point: dict[str, Any]) -> None:
    words = ("plan", point["id"], "--name", "OctopusDB=Octopus ]x'[ 2", "--json")
    (plan,) = cli(*words).json["plans"]
    ended = cli("restore", plan["id"], "--digest", plan["digest"])
    assert ended.code == 0, ended
    assert ended.out.startswith("RESTORE REPORT ")
    assert "1. SQL Server restored: PASSED" in ended.out
    stack = cli.stack
    master = pyodbc.connect(connection_string(stack.sqlserver.ready["port"], stack.sa_password))
    with contextlib.closing(master):
        names = [row[0] for row in master.execute("SELECT name FROM sys.databases")]
    assert "Octopus ]x'[ 2" in names
    assert "OctopusDB" in names


def test_a_restore_answers_in_json_as_well_and_two_dots_are_but_a_name(
    cli: Cli, point: dict[str, Any]
) -> None:
    (plan,) = cli("plan", point["id"], "--name", "OctopusDB=..", "--json").json["plans"]
    ended = cli("restore", plan["id"], "--digest", plan["digest"], "--json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.json["result"]["report"]["verdict"] == "passed"


def test_settings_come_from_the_env_file_that_the_stack_writes(cli: Cli) -> None:
    file = cli.stack.write_env_file()
    assert file.stat().st_mode & 0o077 == 0, "it holds secrets"
    bare = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    ended = subprocess.run(
        [str(Path(sys.executable).with_name("octopus-backup")), "--env-file", str(file), "list", "--json"],
        env=bare | {"BACKUP_STORAGE_URL": "https://somewhere.else.invalid"},  # the file wins
        cwd=cli.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended
    assert '"backups"' in ended.stdout


def test_it_works_where_the_local_stack_is_not_installed(cli: Cli) -> None:
    program = (
        "import sys\n"
        "sys.modules['local'] = None\n"  # importing it fails from here on
        "sys.argv = ['octopus-backup', 'list', '--json']\n"
        "from cli.main import main\n"
        "main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], env=cli.environ(), cwd=cli.folder, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
