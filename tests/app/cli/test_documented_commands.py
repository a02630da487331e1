"""Every command that the documents show is one that the command line understands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from cli.commands import app

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])

SHOWN = [
    pytest.param(line, id=f"{document.name}: {line}")
    for document in DOCUMENTS
    for line in dict.fromkeys(
        found.split("#")[0].strip().replace("…", "")
        for found in re.findall(r"(?m)^(?:`{3}\w*\n)?octopus-backup (.+)$", document.read_text("utf-8"))
    )
]


def test_the_documents_show_commands() -> None:
    assert len(SHOWN) > 10


@pytest.mark.parametrize("line", SHOWN)
def test_it_is_understood(line: str, tmp_path: Path) -> None:
    file = tmp_path / "FILE"
    file.touch()
    words = [str(file) if word == "FILE" else word for word in shlex.split(line)]
    group: Any = typer.main.get_command(app)
    context = group.make_context("octopus-backup", words)
    name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
    assert command is not None, line
    command.make_context(name, rest, parent=context)  # parses, and does nothing
