"""``python -m local.octopus [--port N]``: runs the small Octopus as a process of its own.

From the environment: ``OCTOPUS_SQL`` (ODBC connection string with DRIVER and DATABASE), ``OCTOPUS_QDRANT``
(address) and, where callers must show one, ``OCTOPUS_TOKEN``. The process announces itself with its port and
address, and ends on SIGTERM.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import sys

import uvicorn

from local.octopus.api import application
from local.octopus.memory import Memory
from local.processes import announce
from shared.clock import SystemClock

GRACE_SECONDS = 1


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m local.octopus", description="A small Octopus.")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; a free one by default")
    port = parser.parse_args().port
    missing = [name for name in ("OCTOPUS_SQL", "OCTOPUS_QDRANT") if not os.environ.get(name)]
    if missing:
        sys.exit(f"Set {' and '.join(missing)} in the environment; see `python -m local.octopus --help`.")
    memory = Memory(os.environ["OCTOPUS_SQL"], os.environ["OCTOPUS_QDRANT"], SystemClock())
    app = application(memory, os.environ.get("OCTOPUS_TOKEN") or None)
    with contextlib.closing(memory), socket.create_server(("127.0.0.1", port)) as listening:
        bound = listening.getsockname()[1]
        announce(port=bound, url=f"http://127.0.0.1:{bound}")  # it listens already: who calls now waits
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_SECONDS
        )
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
