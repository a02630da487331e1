"""The whole play: the stack is started, the acts follow one another, the verdict is told."""

from __future__ import annotations

import threading
import time

import httpx
import pyodbc
from rich.console import Console

from local.demo import backing_up, further, restoring
from local.demo.app import DemoFailedError
from local.demo.story import Story
from local.stack import started, what_next


def play(keep: bool, began: float, *, every_act: bool = False) -> int:
    """Tell the story.

    Args:
        keep: leave the stack up afterwards, until Ctrl-C.
        every_act: also the acts after the ninth.
        began: when the demo was started, by the monotonic clock.

    Returns:
        0 if everything came back, else 1.

    Raises:
        ExplainedError: the story could not be told to its end; says why.
    """
    console = Console(highlight=False, soft_wrap=True)
    try:
        return _acts(console, keep, began, every_act)
    except (httpx.HTTPError, pyodbc.Error) as error:
        raise DemoFailedError(f"A part of the stack did not answer: {error}") from error


def _acts(console: Console, keep: bool, began: float, every_act: bool) -> int:
    console.print("[bold]octopus-backup: lose everything, and get it back to one consistent point[/]")
    console.print("\n[bold]1  A local stack[/], on free ports of 127.0.0.1; all its files are below .stack/")
    with started(lambda part: console.print(f"  starting {part}"), {}) as stack:
        story = Story(stack, console, began)
        with backing_up.remembering(story):
            backing_up.back_up_on_schedule(story)
            backing_up.make_recovery_point(story)
            backing_up.go_on_working(story)
            backing_up.lose_everything(story)
            restoring.plan_and_restore(story)
            wrong = restoring.prove(story)
            restoring.report(story)
            _verdict(
                story,
                wrong,
                f"{story.expected.row_count} rows and {story.expected.point_count} points, equal to the "
                "recovery point",
            )
            if every_act and not wrong:
                wrong = further.between_two_points(story) + further.without_us(story)
                _verdict(story, wrong, "from a moment between two points, and without this software")
        if keep:
            console.print(what_next(stack), markup=False)
            threading.Event().wait()
    return 1 if wrong else 0


def _verdict(story: Story, wrong: list[str], what: str) -> None:
    seconds = time.monotonic() - story.began
    if wrong:
        story.console.print(f"\n[bold red]{len(wrong)} mismatch(es)[/] after {seconds:.0f} s:")
        for sentence in wrong:
            story.say(sentence)
        return
    story.console.print(f"\n[bold green]Everything came back[/]: {what}. The demo took {seconds:.0f} s.")
