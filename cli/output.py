"""What the terminal shows, and with which exit code a command ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from shared.errors import (
    BackupSystemError,
    InvalidRequestError,
    InvalidSettingsError,
    LockedError,
    OutcomeUnknownError,
    RefusedError,
    UnreachableError,
)
from shared.model.runs import Run, State

DONE, FAILED, USAGE, REFUSED, UNREACHABLE = 0, 1, 2, 3, 4
"""Exit codes. Usage means wrong words or settings; refused means a digest, a lock or a policy. 130, after
Ctrl-C, is in ``cli``."""

_OF_RUN = {
    UnreachableError.code: UNREACHABLE,
    OutcomeUnknownError.code: UNREACHABLE,
    LockedError.code: REFUSED,
    InvalidSettingsError.code: USAGE,
}
"""Exit codes by the error that a run ended with; any other is FAILED."""

_RIGHT = ("size", "points")

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


def exit_code_of_run(run: Run) -> int:
    """The exit code that belongs to a run that has ended."""
    if run.state is State.SUCCEEDED:
        return DONE
    return _OF_RUN.get(run.error.code, FAILED) if run.error else FAILED


def show_error(error: BackupSystemError, as_json: bool) -> None:
    """Write an error: for a person to standard error, or as JSON to standard output."""
    if as_json:
        show_json({"error": error.as_dict()})
        return
    message = error.message
    if isinstance(error, InvalidSettingsError):  # one problem a line
        message = message.replace(": ", ":\n  ", 1).replace(" | ", "\n  ")
    err.print(Text(_clean(message), style="bold red"))
    for line in (error.specific_meaning, error.hint):
        if line:
            err.print(Text(_clean(line)))
    err.print(Text(f"code: {error.specific_code}", style="dim"))


def show_json(value: Any) -> None:
    """Write JSON to standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def show_text(text: str) -> None:
    """Write prepared text to standard output as it is."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def write_file(path: Path, text: str) -> None:
    """Write a page into a new file; one that is there is somebody's, and is left alone.

    Raises:
        InvalidRequestError: it cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InvalidRequestError(f"{path} cannot be written: {error.strerror}.") from None


def show_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Write a table that looks the same on a terminal and in a pipe; a word instead when it is empty."""
    if not rows:
        show_text(f"{title}: none")
        return
    cells = [columns, *([_clean(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    show_text(f"{title}:")
    for row in cells:
        aligned = (
            cell.rjust(width) if name in _RIGHT else cell.ljust(width)
            for name, cell, width in zip(columns, row, widths, strict=True)
        )
        show_text("  " + "  ".join(aligned).rstrip())


def _clean(text: str) -> str:
    """Control characters as question marks: names are hostile input, and a terminal obeys them."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)
