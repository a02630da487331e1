from __future__ import annotations

from tests.world import servers

__all__ = ["servers"]
