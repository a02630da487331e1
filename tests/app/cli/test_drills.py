"""Drills from the command line."""

from __future__ import annotations

import pytest

from tests.app.cli.conftest import Cli, Ended

ON_LIVE = {"DRILL_ON_LIVE_SERVERS": "true"}


@pytest.fixture(scope="module")
def drilled(cli: Cli) -> Ended:
    """A drill of a recovery point with a name."""
    assert cli("backup", "full").code == 0
    assert cli("recovery-point", "--name", "before v7").code == 0
    return cli("drill", "--point", "before v7", settings=ON_LIVE)


def test_without_servers_for_it_a_drill_is_a_mistake_in_the_settings(cli: Cli) -> None:
    ended = cli("drill")
    assert (ended.code, ended.out) == (2, "")
    assert "DRILL_SQLSERVER_CONNECTION, DRILL_QDRANT_URLS not set" in ended.err
    assert "code: drill_servers_missing" in ended.err


def test_a_drill_ends_with_its_report(drilled: Ended) -> None:
    assert drilled.code == 0, drilled
    assert drilled.out.startswith("DRILL REPORT ")
    assert "PASSED" in drilled.out.splitlines()[0]
    assert "“before v7”" in drilled.out
    assert "Time to restore (RTO):" in drilled.out


def test_drills_are_listed_with_their_figures(cli: Cli, drilled: Ended) -> None:
    text = cli("drills", settings=ON_LIVE)
    assert text.code == 0
    assert text.out.startswith("Drills:\n")
    assert "  passed  " in text.out
    (line,) = cli("drills", "--json", settings=ON_LIVE).json["drills"]
    assert line["verdict"] == "passed"
    assert line["rto_seconds"] > 0


def test_a_drill_of_nothing_is_refused_and_cleaning_up_after_nothing_is_no_error(
    cli: Cli, drilled: Ended
) -> None:
    unknown = cli("drill", "--point", "none", settings=ON_LIVE)
    assert unknown.code == 2
    assert "no recovery point" in unknown.err
    cleaned = cli("drill", "--clean-up", settings=ON_LIVE)
    assert (cleaned.code, cleaned.out) == (0, "No drill has left anything behind.\n")
    assert cli("drill", "--clean-up", "--json", settings=ON_LIVE).json == {"cleaned_up": []}
