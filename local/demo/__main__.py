"""``python -m local.demo [--keep]``: tells the story, and exits 0 only if everything came back."""

from __future__ import annotations

import argparse
import sys
import threading
import time

import httpx
import pyodbc
from rich.console import Console

from local.demo import story as acts
from local.demo.app import DemoFailedError
from local.demo.story import Story
from local.octopus.truth import Truth
from local.processes import ChildFailedError
from local.stack import EVERY_FEW_SECONDS, StackRunningError, interrupt_on_sigterm, started, what_next


def main() -> int:
    """Tell the story; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the stack up until Ctrl-C")
    keep = parser.parse_args().keep
    interrupt_on_sigterm()
    console = Console(highlight=False, soft_wrap=True)
    try:
        return _tell(console, keep)
    except KeyboardInterrupt:
        console.print("\nInterrupted. Nothing is left running; the next demo starts from scratch.")
        return 130
    except (StackRunningError, ChildFailedError, DemoFailedError) as error:
        console.print(f"\nThe demo stopped: {error}", markup=False)
        return 1
    except (httpx.HTTPError, pyodbc.Error) as error:
        console.print(f"\nThe demo stopped: a part of the stack did not answer: {error}", markup=False)
        return 1


def _tell(console: Console, keep: bool) -> int:
    begun = time.monotonic()
    console.print("[bold]octopus-backup: lose everything, and get it back to one consistent point[/]")
    console.print("\n[bold]1  The local stack[/], on free ports of 127.0.0.1")
    with started(lambda part: console.print(f"  starting {part}"), EVERY_FEW_SECONDS) as stack:
        story = Story(stack, console, begun)
        with acts.remembering(story):
            acts.back_up_on_schedule(story)
            acts.make_recovery_point(story)
            acts.go_on_working(story)
            acts.lose_everything(story)
            acts.plan_and_restore(story)
            wrong = acts.prove(story)
            folder = acts.report(story)
            _verdict(console, story.expected, wrong, begun)
            console.print(f"The report is in {folder}; everything else of this run beside it.")
            if keep:
                console.print(what_next(stack, stack.write_env_file()), markup=False)
                threading.Event().wait()
    return 1 if wrong else 0


def _verdict(console: Console, expected: Truth, wrong: list[str], begun: float) -> None:
    seconds = time.monotonic() - begun
    if wrong:
        console.print(f"\n[bold red]{len(wrong)} mismatch(es)[/] after {seconds:.0f} s:")
        for sentence in wrong:
            console.print(f"  {sentence}", markup=False)
        return
    console.print(
        f"\n[bold green]Everything came back[/]: {expected.row_count} rows and {expected.point_count} "
        f"points, equal to the recovery point, in {seconds:.0f} s."
    )


if __name__ == "__main__":
    sys.exit(main())
