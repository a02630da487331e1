"""``octopus-backup``: the entry point, ready for Ctrl-C before anything slow is imported."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

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
        _leave()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            _leave()
        raise


def _leave() -> NoReturn:
    """End the process at once.

    Activities may still be under way in daemon threads, in the midst of the ODBC driver. To take the
    interpreter and the driver down beneath them ends in a segmentation fault now and then.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
