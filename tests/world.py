"""A small real world for tests: Octopus with its memory, and the system that backs it up.

The servers are started once for a worker. Each test gets a storage account, a database and a Qdrant without
collections of its own, so that tests know nothing of each other.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pyodbc
import pytest
from azure.storage.blob import BlobServiceClient

from local.octopus import loading, schema
from local.octopus import truth as octopus_truth
from local.octopus.knowledge import Theme
from local.octopus.memory import Memory
from local.octopus.rows import Agent, Message
from local.stack import marker_batches
from shared.blob.storage import CONTAINERS
from shared.clock import Clock, SystemClock
from shared.composition import System, compose
from shared.model.backups import Kind
from shared.model.plans import Plan, PlanRequest, StartRequest
from shared.model.points import RecoveryPoint
from shared.model.requests import BackupRequest, PointRequest
from shared.model.runs import DEAD_AFTER, Run
from shared.settings import load
from shared.workflows import starts
from shared.workflows.context import ActivityFailedError
from shared.workflows.outcomes import Activity
from shared.workflows.plans import make_plans
from shared.workflows.registry import WORKFLOWS, activities
from shared.workflows.restores import start_restore
from shared.workflows.runner import DirectRunner
from shared.workflows.runs import Start, Ticket
from tests.servers import Servers, allow, key_of, running, settings_of

THEMES = (
    Theme("Statements", "statements", ("nonlocal", "pass")),
    Theme("Types", "types", ("booleans", "integers")),
)
LATER = Theme("Expressions", "expressions", ("lambda",))


def quote_name(name: str) -> str:
    """A name in brackets, as T-SQL wants one that can hold anything."""
    return f"[{name.replace(']', ']]')}]"


class HostGoneError(Exception):
    """The process that an activity ran in has ended."""


@dataclass
class World:
    """One test's part of the servers, and the system that works with it."""

    servers: Servers
    account: str
    database: str
    environ: dict[str, str]
    clock: Clock = field(default_factory=SystemClock)

    @property
    def account_key(self) -> str:
        return key_of(self.account)

    @property
    def sql(self) -> str:
        """ODBC connection string of the Octopus database."""
        return self.servers.connection(self.database)

    @cached_property
    def system(self) -> System:
        """The system, from this world's settings, which are in this process's environment."""
        return compose(load(), self.clock)

    @cached_property
    def memory(self) -> Memory:
        return Memory(self.sql, self.servers.qdrant_url, self.clock)

    @cached_property
    def qdrant(self) -> httpx.Client:
        return httpx.Client(base_url=self.servers.qdrant_url, timeout=30, trust_env=False)

    @cached_property
    def storage(self) -> BlobServiceClient:
        """The storage account, past everything of ours."""
        return BlobServiceClient(
            self.servers.storage_url(self.account),
            credential=self.account_key,
            connection_verify=str(self.servers.azurite.certificate),
        )

    # What Octopus does.

    def populate(self, themes: Iterable[Theme] = THEMES) -> None:
        """Octopus begins: tables, the marker schema, two agents with documents and episodes."""
        with self.admin() as master:
            master.execute(f"CREATE DATABASE [{self.database}]")
            master.execute(f"ALTER DATABASE [{self.database}] SET ALLOW_SNAPSHOT_ISOLATION ON")
        with contextlib.closing(pyodbc.connect(self.sql, autocommit=True, timeout=10)) as octopus:
            schema.migrate(octopus)
            for batch in marker_batches():
                octopus.execute(batch)
        for theme in themes:
            self.add_agent(theme)

    def add_agent(self, theme: Theme) -> Agent:
        """An agent with its documents and an episode."""
        agent = loading.add_agent(self.memory, theme)
        self.memory.index(agent, theme.sources())
        self.talk(agent, f"What is {theme.sections[0]}?")
        return agent

    def talk(self, agent: Agent, question: str) -> None:
        """One more episode."""
        said = (Message("user", question), Message("assistant", f"You asked: {question}"))
        self.memory.remember(agent, "session-1", "user-1", said)

    def moment(self) -> datetime:
        """Now, with more than a second on both sides: msdb keeps the times of backups in whole seconds."""
        self.clock.sleep(1.1)
        now = self.clock.now()
        self.clock.sleep(1.1)
        return now

    def work(self, what: str = "and then?") -> None:
        """A little more of everything: an episode, so that there is something in the log."""
        self.talk(self.memory.agents()[0], what)

    def lose_database(self, name: str | None = None) -> None:
        name = name or self.database
        quoted = quote_name(name)
        with self.admin() as master:
            row = master.execute("SELECT state_desc FROM sys.databases WHERE name = ?", name).fetchone()
            if row and row[0] == "ONLINE":
                master.execute(f"ALTER DATABASE {quoted} SET SINGLE_USER WITH ROLLBACK IMMEDIATE")
            if row:
                master.execute(f"DROP DATABASE {quoted}")

    def lose_collections(self) -> None:
        for name in self.collections():
            self.qdrant.delete(f"/collections/{quote(name, safe='')}").raise_for_status()

    def lose_everything(self) -> None:
        self.lose_database()
        self.lose_collections()

    # What is there.

    def truth(self) -> octopus_truth.Truth:
        return octopus_truth.read(self.sql, self.servers.qdrant_url)

    def copy(self, database: str, collections: Mapping[str, str]) -> octopus_truth.Truth:
        """What a restored copy holds, its collections under the names of their originals."""
        points = octopus_truth.points(self.servers.qdrant_url)
        originals = {name: points[restored] for name, restored in collections.items()}
        return octopus_truth.Truth(octopus_truth.rows(self.servers.connection(database)), originals)

    def collections(self) -> list[str]:
        listed = self.qdrant.get("/collections").raise_for_status().json()["result"]["collections"]
        return sorted(one["name"] for one in listed)

    def databases(self) -> dict[str, str]:
        """Every database with its state."""
        with self.admin() as master:
            rows = master.execute("SELECT name, state_desc FROM sys.databases").fetchall()
        return {str(name): str(state) for name, state in rows}

    @contextlib.contextmanager
    def admin(self) -> Iterator[pyodbc.Connection]:
        connection = pyodbc.connect(self.servers.connection(), autocommit=True, timeout=10)
        with contextlib.closing(connection):
            yield connection

    def fault(self, **order: Any) -> None:
        """Order a fault from the stand-in Qdrant."""
        self.qdrant.post("/_standin/faults", json=order).raise_for_status()

    def settle(self) -> None:
        """Wait for what a client left behind: a server ends it all the same, a test later."""
        while self.busy():
            self.clock.sleep(0.05)

    def busy(self) -> bool:
        """Whether Qdrant makes a snapshot, or recovers one."""
        return any(one["running_snapshots"] or one["running_snapshot_recovery"] for one in self._telemetry())

    def await_recovery(self) -> None:
        """Wait until Qdrant recovers a collection."""
        while not any(one["running_snapshot_recovery"] for one in self._telemetry()):
            self.clock.sleep(0.05)

    def _telemetry(self) -> list[dict[str, Any]]:
        told = self.qdrant.get("/telemetry", params={"details_level": 3}).raise_for_status().json()
        found: list[dict[str, Any]] = told["result"]["collections"]["snapshots"]
        return found

    # What the system does.

    def run(self, start: Start, **instead: Activity) -> Run:
        """Run a workflow to its end; activities can be exchanged by name. Returns the run as it is then."""
        known = {**activities(lambda: self.system), **instead}
        DirectRunner(known, self.clock).run(WORKFLOWS[start.workflow], start.payload)
        return self.look(start)

    def crash(self, start: Start, name: str, *, nth: int = 1, before: bool = False) -> Run:
        """Run a workflow until its host is gone: right after, or before, the nth call of an activity.

        From then on no activity does anything any more; the run is returned as it was left behind.
        """
        calls, gone = itertools.count(1), threading.Event()

        def mortal(known: str, activity: Activity) -> Activity:
            def perform(payload: dict[str, Any]) -> Any:
                last = known == name and not gone.is_set() and next(calls) == nth
                if gone.is_set() or (last and before):
                    gone.set()
                    raise HostGoneError
                result = activity(payload)
                if last:
                    gone.set()
                    raise HostGoneError
                return result

            return perform

        known = {one: mortal(one, activity) for one, activity in activities(lambda: self.system).items()}
        with pytest.raises(ActivityFailedError):
            DirectRunner(known, self.clock).run(WORKFLOWS[start.workflow], start.payload)
        assert gone.is_set(), f"{name} was not called {nth} times"
        return self.look(start)

    def look(self, start: Start) -> Run:
        ticket = Ticket.of(start.payload)
        runs = self.system.catalogue.runs
        return runs.whole(runs.get(ticket.kind, ticket.run_id))

    def activity(self, name: str) -> Activity:
        return activities(lambda: self.system)[name]

    def back_up(self, kind: Kind) -> Run:
        """One backup, which must succeed."""
        run = self.run(starts.start_backup(self.system, BackupRequest(kind=kind)))
        assert run.state == "succeeded", run.error
        return run

    def make_point(self, name: str | None = None, *, complete: bool = True) -> RecoveryPoint:
        """One recovery point; the run of an incomplete one must fail, and say that it is incomplete."""
        run = self.run(starts.start_point(self.system, PointRequest(name=name)))
        if complete:
            assert run.state == "succeeded", run.error
        else:
            assert run.state == "failed"
            assert run.error is not None
            assert run.error.code == "recovery_point_incomplete"
        return self.system.catalogue.points.get(run.step("point").evidence["point_id"])

    def plans(self, target: object = "latest", **more: object) -> list[Plan]:
        """The plans for a target, as a person asks for them."""
        return make_plans(self.system, PlanRequest.model_validate({"target": target, **more}))

    def plan(self, target: object = "latest", **more: object) -> Plan:
        """The only plan for a target."""
        (plan,) = self.plans(target, **more)
        return plan

    def begin(self, plan: Plan, fenced_by: str | None = None) -> Start:
        request = StartRequest(plan_id=plan.id, digest=plan.digest, fenced_by=fenced_by)
        return start_restore(self.system, request)

    def restore(self, plan: Plan) -> Run:
        """Restore by a plan; must succeed."""
        run = self.run(self.begin(plan))
        failed = [(step.id, step.error) for step in run.steps if step.state != "succeeded"]
        assert run.state == "succeeded", (run.error, failed)
        return run

    # What befalls it.

    def die(self, start: Start) -> None:
        """Let a run's owner have been dead for long enough: its last sign of life is moved into the past."""
        ticket = Ticket.of(start.payload)
        long_ago = self.clock.now() - DEAD_AFTER - timedelta(minutes=1)
        self.system.catalogue.runs.update(
            ticket.kind,
            ticket.run_id,
            ticket.attempt,
            lambda run: run.model_copy(update={"heartbeat_at": long_ago}),
        )

    def again(self, start: Start) -> Start:
        """The next attempt at a run."""
        attempt = start.payload["attempt"] + 1
        return replace(start, payload={**start.payload, "attempt": attempt})

    def blobs(self, container: str, prefix: str = "") -> list[str]:
        client = self.storage.get_container_client(container)
        return sorted(str(name) for name in client.list_blob_names(name_starts_with=prefix))

    def delete_blob(self, container: str, name: str) -> None:
        self.storage.get_blob_client(container, name).delete_blob()

    @contextlib.contextmanager
    def aside(self) -> Iterator[World]:
        """The same world under other settings: those that are in the environment now."""
        other = replace(self)
        try:
            yield other
        finally:
            other.close()

    def close(self) -> None:
        self.memory.close()
        self.storage.close()
        self.qdrant.close()
        if "system" in self.__dict__:
            self.system.qdrant.close()
            self.system.storage.close()


@contextlib.contextmanager
def world_on(
    servers: Servers,
    medium: str,
    folder: Path,
    *,
    themes: Iterable[Theme] = THEMES,
    clock: Clock | None = None,
) -> Iterator[World]:
    """A populated world; the settings are in this process's environment as long as the block lasts."""
    number = next(servers.numbers)
    account, database = f"world{number:03}", f"Octopus{number:03}"
    environ = settings_of(servers, account, database, medium, folder)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        world = World(servers, account, database, environ, clock or SystemClock())
        try:
            for container in CONTAINERS:
                world.storage.create_container(container)
            with world.admin() as master:
                for container in ("data", "landing"):
                    allow(servers, master, account, container)
            world.populate(themes)
            assert world.system.has_sqlserver  # composed now: a test may change the settings for another
            yield world
        finally:
            world.qdrant.delete("/_standin/faults")
            world.settle()
            world.lose_collections()
            for name in world.databases():
                if database in name:  # also its copies, whose names begin otherwise
                    world.lose_database(name)
            world.close()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with running(tmp_path_factory.mktemp("world")) as started:
        yield started


@pytest.fixture
def medium() -> str:
    """How SQL Server's backups travel, where a test does not say."""
    return "url"


@pytest.fixture
def world(servers: Servers, medium: str, tmp_path: Path) -> Iterator[World]:
    with world_on(servers, medium, tmp_path) as made:
        yield made


def kinds(world: World) -> list[str]:
    """The kinds of all SQL Server backups in the catalogue, the oldest first."""
    return [hint.kind.value for hint in world.system.catalogue.backups.all_sql_hints()]
