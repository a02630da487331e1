"""``octopus-backup check``, ``report`` and ``verdict``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.app.cli.conftest import Cli


@pytest.fixture(scope="module")
def point(cli: Cli) -> str:
    assert cli("backup", "full").code == 0
    assert cli("recovery-point", "--name", "before v7").code == 0
    return str(cli("list", "--json").json["recovery_points"][0]["id"])


@pytest.fixture(scope="module")
def checked(cli: Cli, point: str) -> dict[str, Any]:
    ended = cli("check", "--point", "before v7", "--json")
    assert ended.code == 0, ended.out
    return dict(ended.json)


def test_a_healthy_environment_is_told_as_such(cli: Cli, checked: dict[str, Any], point: str) -> None:
    report = checked["result"]["report"]
    assert report["recovery_point"]["id"] == point
    assert [item["verdict"] for item in report["checklist"]] == ["passed"] * 5
    text = cli("check", "--from-step", "4").out
    assert text.startswith("ENVIRONMENT CHECK ")
    assert ": PASSED" in text.splitlines()[0]
    assert "1. SQL Server holds Octopus' tables: SKIPPED" in text


def test_an_api_that_is_down_fails_the_check_with_exit_code_1(cli: Cli, point: str) -> None:
    ended = cli("check", "--from-step", "4", settings={"OCTOPUS_API_URL": "http://127.0.0.1:9"})
    assert ended.code != 0
    assert "4. Octopus API healthy: FAILED" in ended.out


def test_a_manual_verdict_is_given_with_name_and_reason(cli: Cli, checked: dict[str, Any]) -> None:
    run = checked["id"]
    words = ("verdict", run, "5", "failed", "--by", "Grace", "--reason", "It spoke Latin.")
    kept = cli(*words, "--json")
    assert (kept.code, kept.json["via"]) == (0, "command line")
    text = cli("report", run).out
    assert "5. A conversation from end to end: PASSED" in text
    assert "Grace says FAILED" in text
    assert "It spoke Latin." in text


@pytest.mark.parametrize(
    "words",
    [
        ("6", "failed", "--by", "Grace", "--reason", "x"),
        ("5", "maybe", "--by", "Grace", "--reason", "x"),
        ("5", "failed", "--reason", "x"),
        ("5", "failed", "--by", " ", "--reason", "x"),
    ],
)
def test_a_verdict_without_its_parts_is_wrong_usage(
    cli: Cli, checked: dict[str, Any], words: tuple[str, ...]
) -> None:
    assert cli("verdict", checked["id"], *words).code == 2


def test_the_report_is_written_as_a_page_that_overwrites_nothing(
    cli: Cli, checked: dict[str, Any], tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    assert cli("report", checked["id"], "--html", str(page)).code == 0
    assert page.read_text("utf-8").startswith("<!doctype html>")
    again = cli("report", checked["id"], "--html", str(page))
    assert again.code == 2
    assert "cannot be written" in again.err


def test_a_run_without_a_checklist_has_no_report(cli: Cli, point: str) -> None:
    backup = cli("backup", "log", "--json").json["id"]
    ended = cli("report", backup)
    assert ended.code == 2
    assert "has no checklist" in ended.err
