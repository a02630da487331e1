"""What the tests of the small Octopus share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import httpx

from local.octopus.loading import Loaded

PASSWORD = "Octopus-Test-1"
TOKEN = "octopus-test-token"


@dataclass(frozen=True)
class Stores:
    """Where both stand-ins are, and a folder for logs."""

    sql_port: int
    qdrant: str
    base: Path


@dataclass(frozen=True)
class Octopus:
    """The running API: its address, a client that shows the token, and what was loaded."""

    url: str
    http: httpx.Client
    loaded: Loaded

    def agent(self, name: str) -> str:
        """The id of a loaded agent."""
        return next(str(one.id) for one in self.loaded.agents if one.name == name)
