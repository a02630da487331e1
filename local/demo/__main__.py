"""``python -m local.demo [--keep] [--acts all]``: tells the story; exits 0 only if everything came back."""

from __future__ import annotations

import argparse
import sys
import time

from local.interrupts import interruptible


def main() -> int:
    """Tell the story; returns the exit code."""
    began = time.monotonic()
    parser = argparse.ArgumentParser(
        prog="make demo",
        description="Backs Octopus' memory up on schedule, loses all of it, restores it to one consistent "
        "point, and proves it. Exits 0 only if everything came back.",
    )
    parser.add_argument("--keep", action="store_true", help="leave the stack up afterwards, until Ctrl-C")
    parser.add_argument("--acts", choices=("first", "all"), default="first", help="how much of the story")
    asked = parser.parse_args()

    def play() -> int:
        from local.demo.play import play  # imports for seconds, in which Ctrl-C must find us ready

        return play(asked.keep, began, every_act=asked.acts == "all")

    return interruptible(play, "Interrupted. Nothing is left running; the next demo starts from scratch.")


if __name__ == "__main__":
    sys.exit(main())
