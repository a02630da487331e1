"""What the terminal shows, and with which exit code a command ends."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from shared.errors import (
    BackupSystemError,
    InvalidRequestError,
    RefusedError,
    UnreachableError,
)

DONE, FAILED, USAGE, REFUSED, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 4, 130
"""Exit codes; refused means a digest, a lock or a policy, interrupted means Ctrl-C."""


EXIT_OF_CODE = {"unreachable": UNREACHABLE, "locked": REFUSED}
"""What the error of a run that ended means for the exit code; any other is FAILED."""

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)


def exit_code(error: BackupSystemError) -> int:
    """The exit code that belongs to an error."""
    if isinstance(error, InvalidRequestError):
        return USAGE
    if isinstance(error, RefusedError):
        return REFUSED
    if isinstance(error, UnreachableError):
        return UNREACHABLE
    return FAILED


def show_error(error: BackupSystemError, as_json: bool) -> None:
    """Write an error: for a person to standard error, or as JSON to standard output."""
    if as_json:
        show_json({"error": error.as_dict()})
        return
    err.print(f"[bold red]{_plain(error.message)}[/]")
    for line in (error.specific_meaning, error.hint):
        if line:
            err.print(_plain(line))
    err.print(f"[dim]code: {error.specific_code}[/]")


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def show_json(value: Any) -> None:
    """Write JSON to standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def show_text(text: str) -> None:
    """Write prepared text to standard output as it is."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def show_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Write a table; a word instead when it is empty."""
    if not rows:
        out.print(f"{title}: none")
        return
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in ("size", "points", "attempt") else "left")
    for row in rows:
        table.add_row(*(_plain(cell) for cell in row))
    out.print(table)


def human_size(size: int) -> str:
    """Bytes as people write them: 1.4 MiB."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
