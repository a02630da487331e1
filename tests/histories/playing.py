"""Plays a random history: Octopus works, we back up, others back up, databases are restored in place."""

from __future__ import annotations

import contextlib
import random
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyodbc

from local.octopus import truth
from local.octopus.knowledge import Source
from local.octopus.rows import Agent
from local.octopus.vectors import collection_of
from shared.model.backups import Kind
from shared.model.requests import BackupRequest, PointRequest
from shared.workflows import starts
from tests.histories.clock import MovableClock
from tests.histories.model import LONG_AGO, Fork, LogPart, Model, Moment, Pair, Rows, Saved, Vectors
from tests.world import World

MOST_AGENTS = 2
PAUSE = timedelta(seconds=3)
"""Before and after every instant that is aimed at: msdb keeps the times of backups in whole seconds."""

_CHILDREN = ("Octopus_Episodes", "Octopus_Conversations", "Octopus_AgentMemoryConfig", "Octopus_Procedures")
_WORDS = ("nonlocal", "lambda", "integers", "booleans", "slicing", "yield", "import", "global", "class")


class History:
    """A history under way.

    Args:
        world: a world without agents, whose clock is ``clock``.
        master: an administrator's connection.
        clock: the clock of the system and of SQL Server.
        seed: decides everything that happens.
        folder: where foreign backups go.
    """

    def __init__(
        self, world: World, master: pyodbc.Connection, clock: MovableClock, seed: int, folder: Path
    ) -> None:
        self.world = world
        self.rng = random.Random(seed)
        self.model = Model()
        self.story: list[str] = []
        self._clock = clock
        self._master = master
        self._rows: Rows | None = None
        self.folder = folder
        self._log_began: datetime | None = None
        self._forked = LONG_AGO
        self._base_is_ours = False
        self._numbers = iter(range(1, 1000))
        self._moves: dict[str, tuple[int, Callable[[], str]]] = {
            "talk": (10, self.talk),
            "index": (6, self.index),
            "forget": (2, self.forget),
            "add": (4, self.add_agent),
            "delete": (3, self.delete_agent),
            "log": (4, lambda: self.back_up(Kind.LOG)),
            "differential": (2, lambda: self.back_up(Kind.DIFFERENTIAL)),
            "full": (1, lambda: self.back_up(Kind.FULL)),
            "point": (2, self.make_point),
            "their full": (1, lambda: self.their_full("")),
            "their copy": (1, lambda: self.their_full("COPY_ONLY")),
            "their log": (2, self.their_log),
        }

    # --- the course of it

    def begin(self) -> None:
        """An agent or none, a full backup, a recovery point."""
        self.model.forks.append(Fork(self._clock.now()))
        self._pass()
        for _ in range(self.rng.choice((0, 1, 1, 1, 2))):
            self.play(self.add_agent)
        self.play(lambda: self.back_up(Kind.FULL))

    def go_on(self, moves: int, *, point: bool = True) -> None:
        """So many random moves, and a recovery point among them."""
        names = list(self._moves)
        weights = [self._moves[name][0] for name in names]
        chosen = self.rng.choices(names, weights, k=moves)
        if point:
            chosen.insert(self.rng.randint(0, moves), "point")
        for name in chosen:
            self.play(self._moves[name][1])

    def play(self, move: Callable[[], str]) -> None:
        """One move; afterwards an instant at which nothing happens."""
        self.tell(move())
        self._pass()

    def tell(self, what: str) -> None:
        """Note what happened, for whoever reads of a failure."""
        self.story.append(f"{self._clock.now():%H:%M:%S} {what}")

    def _pass(self) -> None:
        """Let a little time pass, for us and for SQL Server."""
        self.model.moments.append(Moment(self._clock.now() + PAUSE, self.rows()))
        self._clock.ahead += 2 * PAUSE
        set_clock(self._master, self._clock.ahead)

    def rows(self) -> Rows:
        """What the live database holds; asked again only after somebody wrote."""
        if self._rows is None:
            self._rows = truth.rows(self.world.sql)
        return self._rows

    def wrote(self) -> None:
        """The database holds something else now."""
        self._rows = None
        self.model.written = self._clock.now()

    def vectors(self) -> Vectors:
        """What the live collections hold."""
        return truth.points(self.world.servers.qdrant_url)

    # --- what Octopus does

    def _agent(self) -> Agent | None:
        agents = self.world.memory.agents()
        return self.rng.choice(agents) if agents else None

    def talk(self) -> str:
        """An episode, or an area where there is nobody to talk to."""
        agent = self._agent()
        if agent is None:
            return self.add_agent()
        self.wrote()
        word = self.rng.choice(_WORDS)
        self.world.talk(agent, f"What about {word}, for the {next(self._numbers)}th time?")
        return f"{agent.name} is asked about {word}"

    def index(self) -> str:
        """A document of an agent: new, or once more with other words."""
        agent = self._agent()
        if agent is None:
            return self.add_agent()
        name = f"document {self.rng.randrange(3)}"
        words = " ".join(self.rng.choices(_WORDS, k=8))
        self.world.memory.index(agent, [Source(name, agent.category, words)])
        return f"{name} of {agent.name} is indexed"

    def forget(self) -> str:
        """All documents of an agent go, its collection stays."""
        agent = self._agent()
        if agent is None or collection_of(agent.id) not in self.world.collections():
            return "nothing to forget"
        path = f"/collections/{collection_of(agent.id)}/points/delete?wait=true"
        agent_id = {"key": "agentId", "match": {"value": str(agent.id)}}
        self.world.qdrant.post(path, json={"filter": {"must": [agent_id]}}).raise_for_status()
        return f"{agent.name} forgets its documents"

    def add_agent(self) -> str:
        """An agent, mostly with a document."""
        if len(self.world.memory.agents()) >= MOST_AGENTS:
            return self.talk()
        self.wrote()
        agent = self.world.memory.add_agent(f"Agent {next(self._numbers)}", "Answer.", "things")
        if self.rng.random() < 0.2:
            return f"{agent.name} is added, without documents"
        text = " ".join(self.rng.choices(_WORDS, k=8))
        self.world.memory.index(agent, [Source("document 0", agent.category, text)])
        return f"{agent.name} is added"

    def delete_agent(self) -> str:
        """An agent goes, with everything that is its own."""
        agent = self._agent()
        if agent is None:
            return "nobody to delete"
        self.wrote()
        with self.world.memory.unit_of_work() as connection:
            for table in (*_CHILDREN, "Octopus_Agents"):
                connection.execute(f"DELETE FROM [{table}] WHERE [AgentId] = ?", str(agent.id))
        self.world.qdrant.delete(f"/collections/{collection_of(agent.id)}").raise_for_status()
        return f"{agent.name} is deleted"

    # --- what we do

    def back_up(self, kind: Kind) -> str:
        """A backup of ours."""
        rows = self.rows()
        run = self.world.run(
            starts.start_backup(self.world.system, BackupRequest.model_validate({"kind": kind}))
        )
        made = self.learn(dict.fromkeys(Kind, rows))
        if run.state != "succeeded":
            assert kind is Kind.DIFFERENTIAL, run.error
            assert not self._base_is_ours, run.error
            return "a differential is refused: somebody else's full is its base"
        return f"backed up: {', '.join(made)}"

    def make_point(self) -> str:
        """A recovery point; sometimes Octopus works on while it is made."""
        meanwhile, later = (self.rng.random() < chance for chance in (0.5, 0.3))
        vectors, at_the_mark = self.vectors(), self.rows()
        real = {name: self.world.activity(name) for name in ("set_mark", "back_up_database")}

        def set_mark(payload: dict[str, Any]) -> Any:
            nonlocal at_the_mark
            if meanwhile:
                move = self.rng.choice((self.add_agent, self.delete_agent, self.delete_agent, self.talk))
                self.tell(f"before the mark {move()}")
                at_the_mark = self.rows()
            return real["set_mark"](payload)

        def back_up_database(payload: dict[str, Any]) -> Any:
            if later:
                self.tell(f"after the mark {self.rng.choice((self.talk, self.delete_agent))()}")
            return real["back_up_database"](payload)

        before = self.model.written = self._clock.now()  # the marker row
        run = self.world.run(
            starts.start_point(self.world.system, PointRequest()),
            set_mark=set_mark,
            back_up_database=back_up_database,
        )
        self.learn(dict.fromkeys(Kind, self.rows()))
        point = self.world.system.catalogue.points.get(run.step("point").evidence["point_id"])
        assert point.complete == (run.state == "succeeded") == self.model.leads_to(self._clock.now()), (
            run.error
        )
        pair = Pair(point.id, before, at_the_mark, vectors, point.complete)
        assert set(point.vectors.without_agent) == pair.left_out
        self.model.pairs.append(pair)
        return f"recovery point {point.id}{'' if pair.complete else ', incomplete'}"

    def learn(self, rows: dict[Kind, Rows], log_end: datetime | None = None) -> list[str]:
        """Take note of the new backups in the catalogue.

        ``rows`` says what the database held, by the kind of the backup; ``log_end`` is when a log backup
        ended, now if None.
        """
        known = {one.id for one in self.model.saved}
        made = []
        for hint in self.world.system.catalogue.backups.all_sql_hints():
            if hint.id in known:
                continue
            made.append(hint.kind.value)
            now = log_end if log_end and hint.kind is Kind.LOG else self._clock.now()
            if hint.kind is Kind.FULL:
                self._base_is_ours = True
                self._log_began = self._log_began or now
            if hint.kind is not Kind.LOG:
                self.model.written = now  # its checkpoints
            if hint.kind is Kind.LOG and self._log_began:
                self._log(now, ours=True)
            usable = hint.kind is not Kind.DIFFERENTIAL or self._base_is_ours
            self.model.saved.append(Saved(hint.id, hint.kind, now, rows[hint.kind], usable))
        return made

    def _log(self, now: datetime, *, ours: bool) -> None:
        """A piece of the log is in a backup; the first one after a restore begins on the old timeline."""
        assert self._log_began
        first = len(self.model.forks) > 1 and self._log_began <= self._forked
        self.model.logs.append(LogPart(self._log_began, now, ours, self.model.written, first))
        self._log_began = now

    # --- what others do

    def their_full(self, how: str) -> str:
        """A full backup that is not ours; unless copy-only it takes the base of our differentials."""
        self._theirs("DATABASE", how)
        if how:
            return "somebody takes a copy-only full backup"
        self._base_is_ours = False
        return "somebody takes a full backup"

    def their_log(self) -> str:
        """A log backup that is not ours: a gap in our chain."""
        self._theirs("LOG", "")
        now = self._clock.now()
        if self._log_began:
            self._log(now, ours=False)
        return "somebody takes a log backup"

    def _theirs(self, what: str, how: str) -> None:
        if what == "DATABASE":
            self.model.written = self._clock.now()  # its checkpoints
        path = self.folder / f"theirs-{uuid.UUID(int=self.rng.getrandbits(128))}.bak"
        options = f" WITH {how}" if how else ""
        drain(self._master, f"BACKUP {what} [{self.world.database}] TO DISK = N'{path}'{options}")

    # --- forks

    def forked(self, origin: datetime, before: Rows) -> None:
        """A restore in place has ended: the tail was saved, a new timeline began, a full backup was taken."""
        self.wrote()
        now = self._clock.now()
        # Nothing else happened in the pause before: the tail ended in it, then the new timeline began.
        self.learn({Kind.LOG: before, Kind.FULL: self.rows()}, log_end=now - PAUSE * 2 / 3)
        self.model.forks.append(Fork(now - PAUSE / 3, origin))
        self._log_began = self._forked = now


def drain(connection: pyodbc.Connection, sql: str) -> None:
    """Run a statement to its end: whoever leaves a BACKUP or RESTORE early cancels it."""
    cursor = connection.execute(sql)
    while cursor.nextset():
        pass


def set_clock(master: pyodbc.Connection, ahead: timedelta) -> None:
    """Set SQL Server's clock forward."""
    master.execute("EXEC standin_fault N'clock', N'', ?", ahead.total_seconds())


@contextlib.contextmanager
def master_of(world: World) -> Iterator[pyodbc.Connection]:
    """An administrator's connection; whatever a history did to SQL Server's clock ends with it."""
    with world.admin() as master:
        try:
            yield master
        finally:
            set_clock(master, timedelta(0))
