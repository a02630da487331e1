from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from shared.clock import SystemClock
from shared.octopus.api import OctopusApi
from shared.settings import OctopusSettings
from tests.stores.octopus.scripted_server import TOKEN, OctopusAt, ScriptedServer


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.close()


@pytest.fixture
def octopus_at() -> OctopusAt:
    def make(
        url: str | None, token: str | None = TOKEN, health_path: str = "/health", **more: Any
    ) -> OctopusApi:
        values: dict[str, Any] = {
            "api_url": url,
            "api_token": SecretStr(token) if token else None,
            "health_path": health_path,
            "wait_seconds": 1,
            **more,
        }
        settings = OctopusSettings.model_construct(**values)
        return OctopusApi(settings, SystemClock(), lambda: "01J0000000000000000000000")

    return make


@pytest.fixture
def octopus(server: ScriptedServer, octopus_at: OctopusAt) -> OctopusApi:
    return octopus_at(server.url)
