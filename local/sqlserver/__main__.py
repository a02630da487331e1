"""``python -m local.sqlserver``: run the stand-in SQL Server until SIGTERM."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from local import processes
from local.sqlserver.engine.instance import VERSIONS, Instance, Options
from local.sqlserver.protocol.server import Server

PASSWORD_VARIABLE = "STANDIN_SA_PASSWORD"  # noqa: S105 -- the variable's name


def main() -> int:
    """Start, announce the port, serve, stop."""
    parser = argparse.ArgumentParser(prog="python -m local.sqlserver", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="everything the server keeps")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--version", choices=sorted(VERSIONS), default="2022", dest="release")
    parser.add_argument(
        "--slow", type=float, default=0.0, help="seconds per 10 percent of a backup or restore"
    )
    parser.add_argument("--utc-offset", type=int, default=0, help="minutes that local time is ahead of UTC")
    arguments = parser.parse_args()
    password = os.environ.get(PASSWORD_VARIABLE)
    if not password:
        print(f"Set {PASSWORD_VARIABLE} to the password of sa.", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    data_dir = arguments.data_dir.resolve()
    (data_dir / "backup").mkdir(parents=True, exist_ok=True)
    for leftover in data_dir.glob("snapshot-*.tmp*"):
        leftover.unlink()
    options = Options(data_dir, arguments.release, arguments.slow, arguments.utc_offset)
    server = Server(Instance(options, password), arguments.port)
    # It ends at once, as a crash would: what was committed is on disk, the rest is redone at the start.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    threading.Thread(target=server.serve_forever, name="listener").start()
    processes.announce(port=server.port, version=arguments.release)
    return 0


if __name__ == "__main__":
    sys.exit(main())
