"""Stand-in servers for these tests, and the recordings of real ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local.qdrant.stand_in import ROOT, Launch, StandIn, launcher

FIXTURES = ROOT.parent / "shared" / "fixtures" / "qdrant"


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    with launcher(tmp_path) as launch:
        yield launch


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with launcher(tmp_path_factory.mktemp("shared")) as launch:
        yield launch()


@pytest.fixture
def server(shared_server: StandIn) -> Iterator[StandIn]:
    """A stand-in with nothing in it, also for the next test."""
    yield shared_server
    shared_server.empty()


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder with recordings and snapshot files of real servers."""
    if not FIXTURES.is_dir():
        problem = f"There are no recordings of real servers at {FIXTURES}."
        if os.environ.get("CI") == "true":
            pytest.fail(problem)
        pytest.skip(problem)
    return FIXTURES
