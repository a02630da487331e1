"""Runs the real function app on a laptop, through Microsoft's own Python worker library.

Real: the indexing of the app, its bindings and their converters, the invocation of its functions, and the
wire format of Durable Functions. Stand-in: the host around it (HTTP routes and keys, timers, refusals) and
the Durable extension (durabletask's in-memory backend; what is under way is lost when the host ends).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local import processes

_INDEX_SECONDS = 60.0


def command(app_dir: Path) -> list[str]:
    """The command that serves an app; further options can be added to it."""
    return [sys.executable, "-m", "local.functions_host", "--app-dir", str(app_dir)]


def start(
    app_dir: Path, *, log: Path, env: Mapping[str, str] | None = None, port: int = 0
) -> processes.Child:
    """Serve an app in a child process.

    Args:
        app_dir: the folder with ``function_app.py`` and ``host.json``.
        log: file that receives the host's and the app's log.
        env: the app settings; also ``LOCAL_FUNCTION_KEY`` and ``LOCAL_MASTER_KEY``, which the app is not
            shown. A key that is not given opens nothing.
        port: where to listen on 127.0.0.1; a free port if 0.

    Returns:
        The child; ``ready`` has ``url`` (without a final slash) and ``functions`` (their names).

    Raises:
        processes.ChildFailedError: the app was refused; the text ends with the reasons.
    """
    return processes.start("functions", [*command(app_dir), "--port", str(port)], log=log, env=env)


def index_app(app_dir: Path, env: Mapping[str, str] | None = None) -> tuple[list[dict[str, Any]], list[str]]:
    """Index an app in a process of its own.

    Args:
        app_dir: the folder with ``function_app.py`` and ``host.json``.
        env: the app settings.

    Returns:
        The functions, each with ``name`` and ``bindings``, and one sentence for each thing that the host
        would refuse.
    """
    done = subprocess.run(
        [*command(app_dir), "--list"],
        capture_output=True,
        text=True,
        timeout=_INDEX_SECONDS,
        env={**os.environ, **(env or {})},
        check=False,
    )
    if not done.stdout:
        raise RuntimeError(
            f"The functions host ended with {done.returncode} and without a word:\n{done.stderr}"
        )
    listed = json.loads(done.stdout)
    return listed["functions"], listed["problems"]
