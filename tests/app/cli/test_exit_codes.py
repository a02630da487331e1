"""What each exit code stands for, and what is said with it."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator

import pytest

from tests.app.cli.conftest import Cli, Ended

NOWHERE = "127.0.0.1:9"
"""The discard port: nobody listens there."""


@pytest.fixture(scope="module")
def point_id(cli: Cli) -> str:
    """A recovery point of the module."""
    assert cli("backup", "full").code == 0
    assert cli("recovery-point").code == 0
    return str(cli("list", "--json").json["recovery_points"][0]["id"])


@pytest.fixture(scope="module")
def unreachable(cli: Cli) -> Iterator[dict[str, Ended]]:
    """Commands that ask somebody who does not answer; all at once, because each waits for half a minute."""
    storage = {"BACKUP_STORAGE_URL": f"https://{NOWHERE}/devstoreaccount1"}
    driver = cli.stack.app_settings()["SQLSERVER_CONNECTION"].split(";", 1)[0]
    sql = {"SQLSERVER_CONNECTION": f"{driver};SERVER=127.0.0.1,9;UID=sa;PWD=Very-secret-1;Encrypt=yes"}
    begun: dict[str, subprocess.Popen[str]] = {
        "storage": cli.begin("status", settings=storage),
        "storage as JSON": cli.begin("list", "--json", settings=storage),
        "SQL Server": cli.begin("backup", "log", settings=sql),
        "Qdrant": cli.begin("recovery-point", settings={"QDRANT_URLS": f"http://{NOWHERE}"}),
    }
    ended: dict[str, Ended] = {}

    def collect(name: str) -> None:
        ended[name] = cli.end(begun[name])

    threads = [threading.Thread(target=collect, args=(name,)) for name in begun]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    yield ended
    for process in begun.values():
        process.kill()


@pytest.mark.parametrize(
    ("who", "told"),
    [("storage", "BACKUP_STORAGE_URL"), ("SQL Server", "127.0.0.1,9"), ("Qdrant", "QDRANT_URLS")],
)
def test_4_when_a_server_or_the_storage_cannot_be_reached(
    unreachable: dict[str, Ended], who: str, told: str
) -> None:
    ended = unreachable[who]
    assert ended.code == 4, ended
    assert told in ended.out + ended.err, "it says which server or setting to look at"
    assert "Very-secret-1" not in ended.out + ended.err


def test_4_is_told_in_json_on_standard_output_when_json_was_asked_for(unreachable: dict[str, Ended]) -> None:
    ended = unreachable["storage as JSON"]
    assert (ended.code, ended.err) == (4, "")
    assert ended.json["error"]["code"] == "unreachable"
    assert ended.json["error"]["retryable"] is True


def test_1_when_a_run_failed(cli: Cli) -> None:
    ended = cli("backup", "full", settings={"SQLSERVER_DATABASES": "Nope"})
    assert ended.code == 1
    assert "Full backup of Nope" in ended.out
    assert "[database_missing]" in ended.out
    as_json = cli("backup", "full", "--json", settings={"SQLSERVER_DATABASES": "Nope"})
    assert (as_json.code, as_json.json["state"]) == (1, "failed")


def test_2_when_settings_are_wrong_and_all_problems_are_named_at_once(cli: Cli) -> None:
    wrong = {
        "BACKUP_STORAGE_URL": "nonsense",
        "SQL_LOG_SCHEDULE": "now and then",
        "SQLSERVER_BACKUP_MEDIUM": "tape",
        "BACKUP_STORAGE_CREDENTIAL": "Very-secret-2",
    }
    ended = cli("status", settings=wrong)
    assert (ended.code, ended.out) == (2, "")
    lines = ended.err.splitlines()
    for name in ("BACKUP_STORAGE_URL", "SQL_LOG_SCHEDULE", "SQLSERVER_BACKUP_MEDIUM"):
        assert any(line.startswith(f"  {name}: ") for line in lines), f"{name} has no line of its own"
    assert "Very-secret-2" not in ended.err
    as_json = cli("status", "--json", settings=wrong)
    assert (as_json.code, as_json.json["error"]["code"]) == (2, "invalid_settings")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("plan", "01M84PHQYYB2VVTDD3KQG24ZXW"), "no recovery point"),
        (("plan", ""), "no recovery point"),
        (("plan", "2026-13-01T00:00:00Z"), "month value is outside expected range"),
        (("plan", "2026-11-01T00:00:00"), "a time needs a zone"),
        (("plan", "2010-01-01T00:00:00Z"), "2010-01-01"),
        (("plan", "9999-01-01T00:00:00Z"), "in the future"),
        (("plan", "latest", "--name", "OctopusDB"), "not of the form OLD=NEW"),
        (("plan", "latest", "--name", "OctopusDB="), "not of the form OLD=NEW"),
        (("plan", "latest", "--name", "OctopusDB=a", "--name", "OctopusDB=b"), "two new names"),
        (("plan", "latest", "--policy", "newest"), "--policy"),
        (("plan", "latest", "--name", "x=.."), "x"),
        (("backup", "log", "--database", "Nope'; DROP"), "Nope'; DROP"),
        (("backup", "snapshot_set"), "full"),
        (("recovery-point", "--name", ""), "1 to 100 characters"),
        (("recovery-point", "--name", "two\nlines"), "1 to 100 characters"),
        (("restore", "[red]", "--digest", "x"), "[red]"),
        (("restore", "../x", "--digest", ""), "no plan"),
        (("restore", "x"), "--digest"),
        (("nonsense",), "nonsense"),
        (("--env-file", "/does/not/exist", "list"), "/does/not/exist"),
    ],
    ids=" ".join,
)
def test_2_when_what_was_asked_for_cannot_be(
    cli: Cli, point_id: str, words: tuple[str, ...], told: str
) -> None:
    ended = cli(*words)
    assert ended.code == 2, ended
    assert ended.out == ""
    assert told in ended.err


def test_3_when_the_digest_is_not_the_plans(cli: Cli, point_id: str) -> None:
    (plan,) = cli("plan", point_id, "--json").json["plans"]
    ended = cli("restore", plan["id"], "--digest", "0" * 64)
    assert (ended.code, ended.out) == (3, "")
    assert "code: digest_mismatch" in ended.err
    as_json = cli("restore", plan["id"], "--digest", "0" * 64, "--json")
    assert (as_json.code, as_json.json["error"]["code"]) == (3, "digest_mismatch")


def test_help_of_every_command_says_what_it_does(cli: Cli) -> None:
    whole = cli("--help")
    assert whole.code == 0
    for code in ("0 done", "1 failed", "2 wrong", "3\n  refused", "4 a server", "130 interrupted"):
        assert code in whole.out
    commands = whole.out.split("Commands:")[1].split()
    for command in ("backup", "recovery-point", "list", "status", "plan", "restore"):
        assert command in commands
        text = cli(command, "--help")
        assert text.code == 0
        assert "--json" in text.out
    assert "..." not in whole.out.split("Commands:")[1], "a summary is cut off"
