"""``python -m local.serve``: starts the local stack and leaves it up until Ctrl-C."""

from __future__ import annotations

import sys
import threading

from local.interrupts import interruptible


def main() -> int:
    """Start the stack and wait; returns the exit code."""
    return interruptible(_serve, "Stopped; nothing is left running.")


def _serve() -> int:
    from local import stack  # imports for seconds, in which Ctrl-C must find us ready

    print("The local stack, on free ports of 127.0.0.1:", flush=True)
    with stack.started(lambda part: print(f"  starting {part}", flush=True), stack.EVERY_FEW_MINUTES) as one:
        one.launch_host()
        one.await_host()
        print(stack.what_next(one), flush=True)
        threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
