"""`octopus-backup quarantine`: shown first, done only when confirmed, refused for a known agent."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from local.octopus.memory import Memory
from shared.clock import SystemClock
from tests.app.cli.conftest import THEME, Cli


@pytest.fixture(scope="module")
def qdrant(cli: Cli) -> Iterator[httpx.Client]:
    settings = cli.stack.app_settings()
    headers = {"api-key": settings["QDRANT_API_KEY"]} if settings.get("QDRANT_API_KEY") else {}
    url = str(cli.stack.qdrant.ready["url"])
    with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


def names(qdrant: httpx.Client) -> list[str]:
    listed = qdrant.get("/collections").raise_for_status().json()["result"]["collections"]
    return [one["name"] for one in listed]


def test_it_is_shown_refused_without_confirmation_and_done_with_it(cli: Cli, qdrant: httpx.Client) -> None:
    url = str(cli.stack.qdrant.ready["url"])
    with contextlib.closing(Memory(cli.stack.sql, url, SystemClock())) as memory:
        (known,) = memory.agents()
        stranger = replace(known, id=uuid.uuid4())
        memory.index(stranger, THEME.sources())
    mine, other = f"agent_{known.id.hex}", f"agent_{stranger.id.hex}"

    shown = cli("quarantine", other)
    assert shown.code == 3
    assert f"belongs to the agent {stranger.id}, which no database knows" in shown.err.replace("\n", " ")
    assert "Add --yes to do it." in shown.err
    assert other in names(qdrant)

    as_json = cli("quarantine", other, "--json")
    assert (as_json.code, as_json.json["error"]["code"]) == (3, "not_confirmed")

    refused = cli("quarantine", mine, "--yes", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (3, "agent_known")
    assert mine in names(qdrant)

    unknown = cli("quarantine", "no-such-collection", "--yes", "--force", "tidying up")
    assert unknown.code == 2

    done = cli("quarantine", other, "--yes")
    assert done.code == 0, done
    assert "SUCCEEDED" in done.out
    left = names(qdrant)
    assert other not in left
    assert [name for name in left if name.endswith(other) and name.startswith("quarantine_")]
