"""Exchanges and snapshot files recorded from real Qdrant servers; kept beside the repository, not in it."""

from __future__ import annotations

import json
import lzma
import os
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "fixtures" / "qdrant"
VERSIONS = ("1.16.3", "1.19.0")


def _present(path: Path) -> Path:
    if not path.exists():
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"The recording {path} is missing.")
        pytest.skip(f"the recording {path} is not here")
    return path


def exchange(version: str, name: str) -> dict[str, Any]:
    """One recorded exchange: request, response, note."""
    found: dict[str, Any] = json.loads(
        _present(FOLDER / "http" / version / f"{name}.json").read_text("utf-8")
    )
    return found


def snapshot(version: str, name: str) -> bytes:
    """The bytes of a recorded snapshot, as the server sent them."""
    return lzma.open(_present(FOLDER / "snapshots" / version / f"{name}.snapshot.xz")).read()
