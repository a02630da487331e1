"""The command line over real servers: one local stack for each module of tests."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.octopus import knowledge, loading
from local.octopus.memory import Memory
from local.stack import Stack, started
from shared.clock import SystemClock

PROGRAM = Path(sys.executable).with_name("octopus-backup")
THEME = knowledge.Theme("Statements", "statements", ("assert", "break", "nonlocal"))
SECONDS = 90.0


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON document and nothing else."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Cli:
    """``octopus-backup`` as a person starts it, with the settings of a stack."""

    stack: Stack
    folder: Path

    def begin(self, *words: str, settings: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a command; ``settings`` differ from the stack's."""
        return subprocess.Popen(
            [str(PROGRAM), *words],
            env=self.environ() | dict(settings or {}),
            cwd=self.folder,  # not the project: nothing may depend on where it is started
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, process: subprocess.Popen[str]) -> Ended:
        """Wait for a command's end, and look that it told no secret."""
        out, err = process.communicate(timeout=SECONDS)
        settings = self.stack.app_settings()
        for secret in (
            self.stack.sa_password,
            self.stack.octopus_token,
            self.stack.function_key,
            settings["BACKUP_STORAGE_CREDENTIAL"],
        ):
            assert secret not in out + err
        assert "Traceback" not in err
        return Ended(process.returncode, out, err)

    def __call__(self, *words: str, settings: Mapping[str, str] | None = None) -> Ended:
        """Run a command to its end."""
        return self.end(self.begin(*words, settings=settings))

    def environ(self) -> dict[str, str]:
        """The environment with the stack's settings in it."""
        return {**os.environ, **self.stack.app_settings()}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with started(lambda _: None, {}, tmp_path_factory.mktemp("cli") / ".stack") as running:
        memory = Memory(running.sql, str(running.qdrant.ready["url"]), SystemClock())
        with contextlib.closing(memory):
            agent = loading.add_agent(memory, THEME)
            memory.index(agent, THEME.sources())
            for turn in range(3):
                said = loading.exchange(THEME, random.Random(turn))
                memory.remember(agent, f"session-{turn}", "user-1", said)
        yield running


@pytest.fixture(scope="module")
def cli(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    return Cli(stack, tmp_path_factory.mktemp("elsewhere"))
