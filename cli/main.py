"""``octopus-backup``: the entry point, ready for Ctrl-C before anything slow is imported."""

from __future__ import annotations

import signal
import sys
from types import FrameType

INTERRUPTED = 130


def main() -> None:
    """Run the command line, and end with its exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        from cli.commands import run  # imports for a second

        code = run()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.stderr.write("\nInterrupted. What was finished is not repeated when you start it again.\n")
        code = INTERRUPTED
    sys.exit(code)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
