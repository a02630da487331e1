"""Runs a workflow in this process, with its progress on the terminal."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from cli.output import err
from shared.composition import System
from shared.errors import BackupSystemError
from shared.model.findings import ErrorInfo
from shared.model.runs import Run, RunKind, State
from shared.workflows import restores
from shared.workflows.registry import WORKFLOWS, activities
from shared.workflows.runner import DirectRunner
from shared.workflows.runs import Start, Ticket, end_run

POLL_SECONDS = 0.5
TITLE_WIDTH = 60


def run_to_end(system: System, start: Start, *, quiet: bool) -> Run:
    """Run a workflow to its end and show its steps as they go.

    Args:
        system: the system.
        start: what to run.
        quiet: show no progress (for ``--json``); where standard error is no terminal, none is shown either.

    Returns:
        The run as it ended.

    Raises:
        KeyboardInterrupt: Ctrl-C; what became of the run is its text.
    """
    ticket = Ticket.of(start.payload)
    runner = DirectRunner(activities(lambda: system), system.clock)
    try:
        with _shown(system, ticket) if err.is_terminal and not quiet else contextlib.nullcontext():
            runner.run(WORKFLOWS[start.workflow], start.payload)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_interrupted(system, ticket)) from None
    return system.catalogue.runs.whole(system.catalogue.runs.get(ticket.kind, ticket.run_id))


def _interrupted(system: System, ticket: Ticket) -> str:
    """Write down that a run was interrupted; returns what to tell."""
    interrupted = ErrorInfo(
        code="interrupted",
        message="The command was interrupted (Ctrl-C) before the run had ended.",
        hint="Start it again.",
    )
    try:
        if ticket.kind is RunKind.RESTORE:
            ended = restores.end(system, ticket, interrupted)
        else:
            ended = end_run(system, ticket, error=interrupted)
    except BackupSystemError as error:
        return f"Run {ticket.run_id} could not be written down as failed ({error.message})."
    told = [f"Run {ticket.run_id} is written down as failed; start the command again when you like."]
    told += [f"{finding.message} {finding.hint}".strip() for finding in ended.findings]
    return "\n".join(told)


@contextlib.contextmanager
def _shown(system: System, ticket: Ticket) -> Iterator[None]:
    """Show the steps of a run on the terminal while the block lasts."""
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(system, ticket.kind, ticket.run_id, ended), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _watch(system: System, kind: RunKind, run_id: str, ended: threading.Event) -> None:
    title = TextColumn("{task.fields[title]}", markup=False)  # a name in it may look like markup
    shown: dict[str, TaskID] = {}
    with Progress(SpinnerColumn(), title, BarColumn(bar_width=20), TimeElapsedColumn(), console=err) as bars:
        while True:
            last = ended.wait(POLL_SECONDS)
            with contextlib.suppress(BackupSystemError):  # not written yet, or storage is briefly gone
                _show(bars, shown, system.catalogue.runs.get(kind, run_id))
            if last:
                return


def _show(bars: Progress, shown: dict[str, TaskID], run: Run) -> None:
    for step in run.steps:
        if step.state is State.PENDING:
            continue
        title = step.title if len(step.title) <= TITLE_WIDTH else f"{step.title[: TITLE_WIDTH - 1]}…"
        if step.state is State.FAILED:
            title = f"FAILED {title}"
        if step.id not in shown:
            shown[step.id] = bars.add_task("", total=100, title=title)
        update: dict[str, Any] = {"title": title, "completed": step.percent or 0}
        if step.state in (State.SUCCEEDED, State.SKIPPED):
            update["completed"] = 100
        bars.update(shown[step.id], **update)
        if run.ended or step.state in (State.SUCCEEDED, State.FAILED, State.SKIPPED):
            bars.stop_task(shown[step.id])
