"""``python -m local.qdrant --data-dir DIR``: runs the stand-in as a process of its own.

API keys come from the environment, under the names that a real server reads:
``QDRANT__SERVICE__API_KEY`` and ``QDRANT__SERVICE__READ_ONLY_API_KEY``. The process announces itself with its
port and URL, keeps everything below DIR, and ends on SIGTERM.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
from pathlib import Path

import uvicorn

from local.processes import announce
from local.qdrant.api import routes
from local.qdrant.node import Keys, Node
from local.qdrant.registry import Registry
from local.qdrant.server import application

GRACE_SECONDS = 1


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m local.qdrant", description="A stand-in for a Qdrant server."
    )
    parser.add_argument("--data-dir", type=Path, required=True, help="everything is kept below this folder")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--no-url-recovery", action="store_true", help="refuse snapshots from remote URLs")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    node = Node(
        Registry(options.data_dir.resolve()),
        Keys(
            os.environ.get("QDRANT__SERVICE__API_KEY") or None,
            os.environ.get("QDRANT__SERVICE__READ_ONLY_API_KEY") or None,
        ),
        url_recovery=not options.no_url_recovery,
    )
    listener = socket.create_server(("127.0.0.1", options.port))
    # asyncio does this only where the protocol number is set; without it each answer waits 40 ms for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    port = listener.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(
            application(node, routes(node)),
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
    announce(port=port, url=f"http://127.0.0.1:{port}")
    try:
        server.run(sockets=[listener])
    finally:
        node.registry.pool.close()
    os._exit(0)  # a snapshot or recovery that still runs must not keep the process


if __name__ == "__main__":
    main()
