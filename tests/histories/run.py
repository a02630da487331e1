"""One history, from its beginning to its last check."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from tests.histories.checking import Checker, Counts
from tests.histories.clock import MovableClock
from tests.histories.playing import History, master_of
from tests.servers import Servers
from tests.world import world_on


@dataclass(frozen=True)
class Length:
    """How long a history is.

    Attributes:
        moves: before each restore that is checked, and a recovery point among them.
        checks: restores side by side.
        fork_chance: that a restore in place comes before one of them.
        refusals: instants outside the windows that are asked for, at most.
    """

    moves: int
    checks: int
    fork_chance: float
    refusals: int


SHORT = Length(moves=4, checks=1, fork_chance=0.15, refusals=1)
LONG = Length(moves=12, checks=4, fork_chance=0.4, refusals=6)


def one_history(servers: Servers, folder: Path, seed: int, length: Length = SHORT) -> Counts:
    """Play a history and check it.

    Args:
        servers: where.
        folder: for files of its own.
        seed: decides everything; the same seed and length are the same history.
        length: how long it is.

    Returns:
        What was checked.

    Raises:
        AssertionError: something is not as it must be; the whole history is noted with it.
    """
    clock = MovableClock()
    with world_on(servers, "url", folder, themes=(), clock=clock) as world, master_of(world) as master:
        history = History(world, master, clock, seed, folder)
        checker = Checker(history)
        try:
            history.begin()
            for _ in range(length.checks):
                history.go_on(length.moves)
                if history.rng.random() < length.fork_chance:
                    history.play(checker.fork)
                    history.go_on(length.moves // 3, point=False)
                checker.check()
            checker.refuse(length.refusals)
        except BaseException as failure:
            failure.add_note("\n".join([f"History {seed}, {length}:", *history.story]))
            raise
    return checker.counts


def said(histories: int, counts: Counts) -> str:
    """What was checked, in one line."""
    parts = ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in asdict(counts).items())
    return f"{histories} histories: {parts}"
