"""What the acts know of one another, and how they speak to the person who watches."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.console import Console

from local.demo.app import App
from local.octopus import truth
from local.octopus.memory import Memory
from local.octopus.work import OngoingWork
from local.stack import Stack
from shared.reporting.text import wrapped


@dataclass
class Story:
    """The state of the play."""

    stack: Stack
    console: Console
    began: float
    memory: Memory = field(init=False)
    work: OngoingWork = field(init=False)
    app: App = field(init=False)
    point_slot: datetime = field(init=False)
    point: dict[str, Any] = field(init=False)
    expected: truth.Truth = field(init=False)
    found: truth.Truth | None = None
    run: dict[str, Any] = field(init=False)
    told: set[str] = field(default_factory=set)
    second: dict[str, Any] = field(init=False)
    at_second: truth.Truth = field(init=False)

    def act(self, title: str) -> None:
        """Announce an act, with the seconds that have gone by."""
        self.console.print(f"\n[bold]{title}[/]  [dim]{time.monotonic() - self.began:.0f} s[/]")

    def say(self, text: str, first: str = "  ") -> None:
        """A paragraph for the person who watches."""
        self.console.print("\n".join(wrapped(text, first)), markup=False)

    @contextlib.contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Show on a terminal what is waited for while the block lasts; elsewhere nothing."""
        with self.console.status(f"[dim]{text}[/]"):
            yield

    def read_truth(self) -> truth.Truth:
        """Every row and every point of both stores, as they are now."""
        return truth.read(self.stack.sql, str(self.stack.qdrant.ready["url"]))


def counted(number: int, noun: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
