"""The set-up script and the Makefile, as far as they can be tried without a network."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from local.stack import ROOT

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"(?m)^([a-z-]+):", MAKEFILE))


def test_a_bare_make_lists_every_target_with_what_it_does() -> None:
    told = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = dict(re.findall(r"(?m)^  make ([a-z-]+) +(\S.*)$", told))
    assert set(listed) == TARGETS
    assert set(re.findall(r"(?m)^\.PHONY: (.*)$", MAKEFILE)[0].split()) == TARGETS
    assert max(map(len, told.splitlines())) <= 120


def test_every_target_that_the_documents_name_exists() -> None:
    pages = [ROOT / "README.md", ROOT / ".ci" / "run", *(ROOT / "docs").rglob("*.md")]
    named = {
        target
        for page in pages
        for target in re.findall(r"(?m)(?:^|`)make ([a-z-]+)", page.read_text("utf-8"))
    }
    assert {"demo", "test", "stack"} <= named
    assert named <= TARGETS


def test_the_script_is_sound_shell() -> None:
    subprocess.run(["sh", "-n", "local/set_up.sh"], cwd=ROOT, check=True)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A clone with nothing installed, and an empty folder for the programs that it may find."""
    (tmp_path / "clone" / "local").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / "local" / "set_up.sh", tmp_path / "clone" / "local")
    for name in ("sh", "dirname", "cut", "rm", "cmp", "cp", "id", "cat"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or name)
    return tmp_path


def program(bare: Path, path: str, text: str) -> None:
    file = bare / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
    file.chmod(0o755)


def set_up(bare: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(bare / "bin" / "sh"), "local/set_up.sh"],
        cwd=bare / "clone",
        env={"PATH": str(bare / "bin"), "HOME": str(bare), **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def stopped(ended: subprocess.CompletedProcess[str]) -> str:
    """The one sentence with which the set-up stopped."""
    assert ended.returncode == 1, ended
    (sentence,) = [line for line in ended.stderr.splitlines() if line.startswith("set-up stopped: ")]
    return sentence


def test_without_python_it_names_the_packages(bare: Path) -> None:
    assert "apt-get install python3 python3-venv" in stopped(set_up(bare))


def test_without_the_venv_module_it_names_the_package_and_leaves_nothing_half_done(bare: Path) -> None:
    program(bare, "bin/python3", "mkdir -p .tools/bin; exit 1")
    assert "apt-get install python3-venv" in stopped(set_up(bare))
    assert not (bare / "clone" / ".tools").exists()


def with_uv(bare: Path, sync: str) -> None:
    version = re.findall(r"(?m)^UV_VERSION=(\S+)", (ROOT / "local" / "set_up.sh").read_text("utf-8"))[0]
    program(
        bare, "clone/.tools/bin/uv", f'if [ "$1" = --version ]; then echo "uv {version}"; else {sync}; fi'
    )
    (bare / "clone" / "uv.lock").write_text("locked", "utf-8")


def test_where_no_python_3_13_can_be_had_it_says_what_uv_needed(bare: Path) -> None:
    with_uv(bare, "exit 2")
    sentence = stopped(set_up(bare))
    assert "Python 3.13" in sentence
    assert "github.com" in sentence


def with_everything_but_odbc(bare: Path) -> None:
    with_uv(bare, "exit 0")
    program(bare, "clone/.venv/bin/python", "exit 1")
    for folder, lock in ((".venv", "uv.lock"), ("node_modules", "package-lock.json")):
        (bare / "clone" / folder).mkdir(exist_ok=True)
        (bare / "clone" / lock).write_text("locked", "utf-8")
        (bare / "clone" / folder / ".locked").write_text("locked", "utf-8")


def test_without_unixodbc_on_another_system_it_names_what_is_missing(bare: Path) -> None:
    with_everything_but_odbc(bare)
    sentence = stopped(set_up(bare))
    assert "libodbc.so.2" in sentence
    assert "libgssapi_krb5.so.2" in sentence


def test_without_unixodbc_and_without_root_it_gives_the_command_for_root(bare: Path) -> None:
    with_everything_but_odbc(bare)
    program(bare, "bin/apt-get", "exit 1")
    (bare / "bin" / "id").unlink()
    program(bare, "bin/id", "echo 1000")
    assert "as root: apt-get update && apt-get install -y libodbc2" in stopped(set_up(bare))


def test_a_failing_apt_get_is_told_with_its_own_words(bare: Path) -> None:
    with_everything_but_odbc(bare)
    program(bare, "bin/apt-get", "echo 'E: no network' >&2; exit 100")
    (bare / "bin" / "id").unlink()
    program(bare, "bin/id", "echo 0")
    ended = set_up(bare)
    assert "apt-get could not install libodbc2" in stopped(ended)
    assert "E: no network" in ended.stderr


def test_a_second_run_does_nothing(bare: Path) -> None:
    with_everything_but_odbc(bare)
    program(bare, "clone/.venv/bin/python", "exit 0")
    ended = set_up(bare)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_clean_removes_all_that_git_ignores_at_the_top(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    made = [
        ".venv",
        ".tools",
        "node_modules",
        ".stack",
        ".mypy_cache",
        ".ruff_cache",
        ".pytest_cache",
        ".hypothesis",
    ]
    for name in made:
        (tmp_path / name).mkdir()
    (tmp_path / "shared" / "__pycache__").mkdir(parents=True)
    (tmp_path / ".stack.lock").touch()
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} == {"Makefile", "shared"}
