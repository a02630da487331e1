"""Runs a workflow in this process, with its progress on the terminal."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from cli.output import err
from shared.composition import System
from shared.errors import BackupSystemError
from shared.model.findings import ErrorInfo
from shared.model.runs import Run, RunKind, State
from shared.workflows.registry import WORKFLOWS, activities
from shared.workflows.runner import DirectRunner
from shared.workflows.runs import Start, Ticket, end_run

POLL_SECONDS = 0.5


def run_to_end(system: System, start: Start, *, quiet: bool) -> Run:
    """Run a workflow to its end and show its steps as they go.

    Args:
        system: the system.
        start: what to run.
        quiet: show no progress (for ``--json`` and for pipes).

    Returns:
        The run as it ended.

    Raises:
        KeyboardInterrupt: Ctrl-C; the run is written down as failed first, so that the next can begin.
    """
    ticket = Ticket.of(start.payload)
    ended = threading.Event()
    runner = DirectRunner(activities(lambda: system), system.clock)
    watcher = threading.Thread(target=_watch, args=(system, ticket.kind, ticket.run_id, ended), daemon=True)
    if not quiet and err.is_terminal:
        watcher.start()
    try:
        runner.run(WORKFLOWS[start.workflow], start.payload)
    except KeyboardInterrupt:
        interrupted = ErrorInfo(
            code="interrupted",
            message="The command was interrupted (Ctrl-C) before the run had ended.",
            hint="Start it again; what was finished is not repeated.",
        )
        end_run(system, ticket, error=interrupted)
        raise
    finally:
        ended.set()
        if watcher.is_alive():
            watcher.join()
    return system.catalogue.runs.get(ticket.kind, ticket.run_id)


def _watch(system: System, kind: RunKind, run_id: str, ended: threading.Event) -> None:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    shown: dict[str, TaskID] = {}
    with Progress(*columns, console=err, transient=False) as progress:
        while True:
            last = ended.wait(POLL_SECONDS)
            with contextlib.suppress(BackupSystemError):  # not written yet, or storage is briefly gone
                _show(progress, shown, system.catalogue.runs.get(kind, run_id))
            if last:
                return


def _show(progress: Progress, shown: dict[str, TaskID], run: Run) -> None:
    for step in run.steps:
        if step.state is State.PENDING:
            continue
        if step.id not in shown:
            shown[step.id] = progress.add_task(step.title, total=100)
        update: dict[str, Any] = {"completed": 100 if step.state is State.SUCCEEDED else step.percent or 0}
        if step.state is State.FAILED:
            update["description"] = f"[red]{step.title}: failed[/]"
        progress.update(shown[step.id], **update)
