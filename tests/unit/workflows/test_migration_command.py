"""The migration command is run without a shell, watched, and tells no secret."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path

import pytest

from shared.composition import System, compose
from shared.errors import ConflictError, InvalidSettingsError, ProofFailedError, RefusedError
from shared.settings import load
from shared.workflows import migration_command
from shared.workflows.migration_command import run_command, without_secrets

CANARY = "canary-secret-3f9a"
ECHO = f"{sys.executable} -c 'import sys; print(sys.argv[1:])' "


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("SQLSERVER_BACKUP_MEDIUM", "QDRANT_URLS", "OCTOPUS_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BACKUP_STORAGE_URL", "http://127.0.0.1:1/account")
    monkeypatch.setenv("BACKUP_STORAGE_CREDENTIAL", "bm90aGluZw==")
    monkeypatch.setenv("SQLSERVER_CONNECTION", f"SERVER=tcp:nowhere,1;UID=x;PWD={CANARY}")
    return monkeypatch


def system(settings: pytest.MonkeyPatch, command: str | None, *, allowed: bool = True) -> System:
    settings.setenv("OCTOPUS_MIGRATION_COMMAND", command or "")
    return dataclasses.replace(compose(load()), commands_allowed=allowed)


def quiet(percent: int) -> None:
    del percent


def test_the_database_is_one_argument_whatever_its_name(settings: pytest.MonkeyPatch) -> None:
    one = system(settings, ECHO + "--to {database}")
    name = "My DB; $(rm -rf x) 'quoted'"
    told = run_command(one, name, quiet)
    assert told["output"].strip() == repr(["--to", name])
    assert told["exit_code"] == 0


def test_the_database_may_stand_within_an_argument(settings: pytest.MonkeyPatch) -> None:
    one = system(settings, ECHO + "'Server=s;Database={database}'")
    assert run_command(one, "OctopusDB", quiet)["output"].strip() == repr(["Server=s;Database=OctopusDB"])
    with pytest.raises(InvalidSettingsError, match="could change the command's meaning"):
        run_command(one, "x;Server=evil", quiet)


def test_a_name_that_looks_like_an_option_is_refused(settings: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidSettingsError, match="could change"):
        run_command(system(settings, ECHO + "{database}"), "--evil", quiet)


def test_the_app_runs_no_command(settings: pytest.MonkeyPatch) -> None:
    with pytest.raises(RefusedError) as caught:
        run_command(system(settings, ECHO + "{database}", allowed=False), "x", quiet)
    assert caught.value.specific_code == "command_line_only"


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (None, "is not set"),
        ("dotnet ef database update", "does not say {database}"),
        ("echo '{database}", "cannot be read"),
        ("/nowhere/at/all {database}", "cannot be started"),
    ],
)
def test_a_command_that_cannot_be_run_names_its_setting(
    settings: pytest.MonkeyPatch, command: str | None, why: str
) -> None:
    with pytest.raises(InvalidSettingsError, match=f"OCTOPUS_MIGRATION_COMMAND.*{why}"):
        run_command(system(settings, command), "x", quiet)


def test_a_command_that_fails_is_told_with_the_end_of_what_it_said(settings: pytest.MonkeyPatch) -> None:
    script = 'import sys; print("A" * 50000); print("no such column", file=sys.stderr); sys.exit(3)'
    one = system(settings, f"{sys.executable} -c '{script}' {{database}}")
    with pytest.raises(ProofFailedError, match=r"ended with 3\. It said last: A+\n?no such column") as caught:
        run_command(one, "x", quiet)
    assert caught.value.specific_code == "migration_failed"
    assert len(str(caught.value)) < 1200


def test_its_output_is_bounded_and_free_of_secrets(settings: pytest.MonkeyPatch) -> None:
    script = f'print("x" * 100000); print("login with {CANARY} failed, Password=other-secret;")'
    told = run_command(system(settings, f"{sys.executable} -c '{script}' {{database}}"), "x", quiet)
    assert len(told["output"]) <= migration_command.KEPT_CHARACTERS
    assert told["output"].endswith("login with *** failed, Password=***;\n")


def test_a_secret_at_the_cut_leaves_no_half(settings: pytest.MonkeyPatch) -> None:
    kept = migration_command.KEPT_CHARACTERS
    script = f'print("{CANARY}" + "y" * {kept - 10})'
    told = run_command(system(settings, f"{sys.executable} -c '{script}' {{database}}"), "x", quiet)
    assert not any(CANARY[at:] in told["output"] for at in range(len(CANARY) - 5))


def test_a_command_that_does_not_end_is_ended_with_what_it_started(
    settings: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.setattr(migration_command, "COMMAND_SECONDS", 1)
    child, parent, alive = tmp_path / "child.py", tmp_path / "parent.py", tmp_path / "alive"
    child.write_text(f"import time, pathlib\ntime.sleep(2.5)\npathlib.Path({str(alive)!r}).touch()\n")
    parent.write_text(f"import subprocess, sys\nsubprocess.run([sys.executable, {str(child)!r}])\n")
    begun = time.monotonic()
    with pytest.raises(ProofFailedError, match="did not end within 1 s"):
        run_command(system(settings, f"{sys.executable} {parent} {{database}}"), "x", quiet)
    assert time.monotonic() - begun < 2.4
    time.sleep(2)
    assert not alive.exists()


def test_a_run_that_was_taken_over_ends_its_command(settings: pytest.MonkeyPatch) -> None:
    def lost(percent: int) -> None:
        raise ConflictError("taken over")

    one = system(settings, f"{sys.executable} -c 'import time; time.sleep(30)' {{database}}")
    begun = time.monotonic()
    with pytest.raises(ConflictError):
        run_command(one, "x", lost)
    assert time.monotonic() - begun < 5


def test_values_of_secret_settings_are_cut_out_of_a_text(settings: pytest.MonkeyPatch) -> None:
    settings.setenv("OCTOPUS_API_TOKEN", "canary-token-1")
    text = f"a {CANARY} b canary-token-1 c bm90aGluZw== d"
    assert without_secrets(text, load()) == "a *** b *** c *** d"
