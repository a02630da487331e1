"""``octopus-backup``: the entry point, ready for Ctrl-C before anything slow is imported."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from cli import INTERRUPTED


def main() -> None:
    """Run the command line; ends the process with the command's exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        from cli.commands import app  # imports for a second

        app()
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        sys.stderr.write("\nInterrupted.\n")
        sys.exit(INTERRUPTED)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
