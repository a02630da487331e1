"""A demo of their own for the tests, with its files in a temporary folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from local.stack import ROOT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder that looks like the project, so that this demo's stack is its own."""
    for name in ("local", "shared", "functions", "infra", "node_modules", "function_app.py", "host.json"):
        if name == "local":  # the stack's folder is found beside it
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path
