"""Octopus at work: a new episode every moment, now and then a new document, from a thread of its own."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass

import httpx
import pyodbc

from local.octopus import knowledge, loading
from local.octopus.knowledge import Source
from local.octopus.memory import Memory
from local.octopus.rows import Agent

SECONDS_BETWEEN = 0.3
EPISODES_BETWEEN_DOCUMENTS = 6


@dataclass
class Done:
    """What was written so far."""

    episodes: int = 0
    documents: int = 0


class OngoingWork:
    """Writes episodes and documents until it is stopped; can be paused.

    ``pause`` and ``stop`` return when nothing is in flight, and raise what the work failed with:
    ``pyodbc.Error`` or ``httpx.HTTPError``. Work that failed has ended.

    Args:
        memory: both stores, loaded.
        rng: chooses who is asked what.
        seconds: the time between two episodes.
    """

    def __init__(self, memory: Memory, rng: random.Random, seconds: float = SECONDS_BETWEEN) -> None:
        self._memory = memory
        self._rng = rng
        self._seconds = seconds
        self._in_flight = threading.Lock()
        self._paused = threading.Event()
        self._stopped = threading.Event()
        self._failure: pyodbc.Error | httpx.HTTPError | None = None
        self._thread = threading.Thread(target=self._run, name="octopus-work", daemon=True)
        self.done = Done()

    def start(self) -> OngoingWork:
        """Begin."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End, after what is in flight."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        self._tell_failure()

    def pause(self) -> None:
        """Write nothing more until ``resume``."""
        self._paused.set()
        with self._in_flight:
            self._tell_failure()

    def resume(self) -> None:
        """Go on."""
        self._paused.clear()

    def _tell_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            agents = self._memory.agents()
            waiting = _waiting(agents)
            while not self._stopped.wait(self._seconds):
                with self._in_flight:
                    if not (self._paused.is_set() or self._stopped.is_set()):
                        self._step(agents, waiting)
        except (pyodbc.Error, httpx.HTTPError) as failure:
            self._failure = failure

    def _step(self, agents: list[Agent], waiting: list[tuple[Agent, Source]]) -> None:
        agent = self._rng.choice(agents)
        theme = next((one for one in _THEMES if one.category == agent.category), knowledge.LATER)
        number = self.done.episodes
        said = loading.exchange(theme, self._rng)
        self._memory.remember(agent, f"work-{number // 3}", "user-2", said)
        self.done.episodes += 1
        if waiting and self.done.episodes % EPISODES_BETWEEN_DOCUMENTS == 0:
            reader, source = waiting.pop(0)
            self._memory.index(reader, [source])
            self.done.documents += 1


_THEMES = (*knowledge.THEMES, knowledge.LATER)


def _waiting(agents: list[Agent]) -> list[tuple[Agent, Source]]:
    """The documents that were kept back, the agents taking turns."""
    each = [[(agent, source) for source in knowledge.later_sources(agent.category)] for agent in agents]
    longest = max(map(len, each), default=0)
    return [one[turn] for turn in range(longest) for one in each if turn < len(one)]
