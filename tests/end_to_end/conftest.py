from __future__ import annotations

from tests.world import medium, servers, world

__all__ = ["medium", "servers", "world"]
