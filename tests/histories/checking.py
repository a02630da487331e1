"""Restores within a history, and what must be true of each of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyodbc
import pytest

from local.octopus import truth
from shared.errors import BackupSystemError
from shared.model.backups import Kind, Manifest, SqlFacts
from shared.model.plans import CollectionStep, Plan, Policy
from shared.model.runs import Run
from tests.histories.model import Pair, Rows, Vectors, agent_of, agents_in
from tests.histories.playing import History, drain
from tests.world import quote_name

REFUSALS = {4305, 4326, 4330, 4335, 4338}
"""With these the server says that a target cannot be reached: a gap, another fork, too early."""

_NUMBER = re.compile(r"\((\d+)\) \(SQL\w+\)")


@dataclass(frozen=True)
class Target:
    """What is asked for, and what it must lead to; ``at`` is the instant of the rows."""

    said: str
    target: object
    policy: Policy | None
    at: datetime
    rows: Rows
    pair: Pair | None
    alone: bool = False


@dataclass
class Counts:
    """What was checked."""

    restored_side_by_side: int = 0
    restored_in_place: int = 0
    collections_left_out: int = 0
    restored_by_name: int = 0
    targets_refused: int = 0

    def __iadd__(self, other: Counts) -> Counts:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)
        return self


class Checker:
    """Restores from a history and compares."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.counts = Counts()
        self._world = history.world
        self._model = history.model
        self._rng = history.rng

    # --- targets

    def target(self) -> Target:
        """A random target that can be reached: a recovery point, an instant or the latest state."""
        model = self._model
        lossy = [pair for pair in model.points if pair.left_out]
        if lossy and self._rng.random() < 0.5:  # rare enough that they are looked for
            return self._of(self._rng.choice(lossy))
        kinds = ["latest", *(["point", "point"] if model.points else [])]
        instants = [moment for moment in model.moments if model.reachable(moment.at)]
        kind = self._rng.choice([*kinds, *(["time", "time"] if instants else [])])
        if kind == "point":
            return self._of(self._rng.choice(model.points))
        if kind == "time":
            moment = self._rng.choice(instants)
            return self._at(moment.at, moment.rows, {"time": moment.at.isoformat()})
        newest = model.newest()
        return self._at(newest.ended, newest.rows, "latest")

    def _of(self, pair: Pair) -> Target:
        said = f"recovery point {pair.id}"
        return Target(said, {"recovery_point": pair.id}, None, pair.at, pair.rows, pair)

    def _at(self, at: datetime, rows: Rows, target: object) -> Target:
        """An instant under one of its policies; SQL Server alone where no vectors are as old."""
        point, vectors = self._model.pair_before(at), self._model.vectors_before(at)
        said = "the latest state" if target == "latest" else f"{at:%H:%M:%S}"
        if point and self._rng.random() < 0.5:
            return Target(f"{said}, paired", target, Policy.PAIRED, point.at, point.rows, point)
        if vectors or not self._model.pairs:
            return Target(f"{said}, latest_sql", target, Policy.LATEST_SQL, at, rows, vectors)
        return Target(f"{said}, SQL Server alone", target, None, at, rows, None, alone=True)

    def plan(self, target: Target, **more: Any) -> Plan:
        """The plan for a target."""
        policy = {"policy": target.policy} if target.policy else {}
        stores = {"stores": ["sqlserver"]} if target.alone else {}
        return self._world.plan(target.target, **policy, **stores, **more)

    # --- side by side

    def check(self) -> None:
        """Restore a random target side by side, compare, and remove the copies."""
        target = self.target()
        self.history.tell(f"→ restored: {target.said}")
        plan = self.plan(target)
        left_out = target.pair.left_out if target.pair and target.pair.complete else set()
        self._check_left_out(plan, target, left_out)
        back: set[str] = set()
        if left_out:
            back = {self._rng.choice(sorted(left_out))}
            self.history.tell(f"  with {', '.join(back)}, asked for by name")
            plan = self.plan(target, names={name: f"back_{name}" for name in back})
            self.counts.restored_by_name += 1
        run = self._world.restore(plan)
        database, collections = restored_names(plan)
        expected = kept(target.pair.vectors, left_out - back) if target.pair else {}
        found = self._world.copy(database, collections)
        assert truth.differences(truth.Truth(target.rows, expected), found) == []
        self._check_strays(target, run, set(collections) - back)
        self.counts.restored_side_by_side += 1
        self._world.lose_database(database)
        for name in collections.values():
            self._world.qdrant.delete(f"/collections/{name}").raise_for_status()

    def _check_left_out(self, plan: Plan, target: Target, left_out: set[str]) -> None:
        """Exactly those are left out whose agent was gone at the mark, and each of them is told."""
        _, collections = restored_names(plan)
        assert set(collections) == (set(target.pair.vectors) - left_out if target.pair else set())
        told = json.dumps(plan.model_dump(mode="json", exclude={"execution"}))
        assert [name for name in left_out if name not in told] == []
        self.counts.collections_left_out += len(left_out)

    def _check_strays(self, target: Target, run: Run, restored: set[str]) -> None:
        """No vector refers to an agent from after the SQL point; one from before is gone, and told."""
        strays = {name for name in restored if agent_of(name) not in agents_in(target.rows)}
        known = self._model.known_up_to(target.at)
        assert [name for name in strays if agent_of(name) not in known] == []
        told = json.dumps(run.as_json())
        assert [name for name in strays if name not in told] == []

    # --- in place

    def fork(self) -> str:
        """Restore a random recovery point over what is live: a new timeline begins."""
        if not self._model.points:
            return self.history.make_point()
        pair = self._rng.choice(self._model.points)
        before, vectors = self.history.rows(), self.history.vectors()
        plan = self._world.plan({"recovery_point": pair.id}, in_place=True)
        self._world.restore(plan)
        expected = {**vectors, **kept(pair.vectors, pair.left_out)}
        found = self._world.truth()
        assert truth.differences(truth.Truth(pair.rows, expected), found) == []
        self.history.forked(pair.at, before)
        self.counts.restored_in_place += 1
        return f"restored in place to {pair.id}"

    # --- what cannot be reached

    def refuse(self, most: int) -> None:
        """Instants outside the windows are refused by the planner, and by the server, asked anyway."""
        model = self._model
        outside = [moment.at for moment in model.moments if model.out_of_reach(moment.at)]
        for at in self._rng.sample(outside, min(most, len(outside))):
            self.history.tell(f"→ refused: {at:%H:%M:%S}")
            with pytest.raises(BackupSystemError) as refusal:
                self._world.plans({"time": at.isoformat()}, policy=Policy.LATEST_SQL)
            assert refusal.value.code in ("nothing_to_restore", "invalid_request"), refusal.value
            self._ask_the_server(at)
            self.counts.targets_refused += 1

    def _ask_the_server(self, at: datetime) -> None:
        """Restore what the catalogue holds of an instant's timeline, as a person without a planner would."""
        backups = self._world.system.catalogue.backups
        hints = sorted(backups.all_sql_hints(), key=lambda hint: (hint.last_lsn, hint.finished_at))
        fulls = [hint for hint in hints if hint.kind is Kind.FULL]
        base = max(
            (one for one in fulls if one.finished_at < at), key=lambda one: one.finished_at, default=fulls[0]
        )
        name = f"{self._world.database}_asked"
        stop = f"STOPAT = N'{at.astimezone(UTC).replace(tzinfo=None).isoformat()}'"
        full = backups.chosen(base)
        moves = ", ".join(
            f"MOVE N'{file.logical_name}' TO N'{self.history.folder}/{name}.{file.type}'"
            for file in facts(full).data_files
        )
        logs = [
            hint
            for hint in hints
            if hint.kind is Kind.LOG
            and hint.last_lsn > base.last_lsn
            and {hint.first_recovery_fork_guid, hint.last_recovery_fork_guid}
            == {base.last_recovery_fork_guid}
        ]
        statements = [f"RESTORE DATABASE [{name}] {self._from(full)} WITH NORECOVERY, {moves}, {stop}"]
        statements += [
            f"RESTORE LOG [{name}] {self._from(backups.chosen(hint))} WITH RECOVERY, {stop}" for hint in logs
        ]
        try:
            number = self._first_refusal(statements)
            if number is None:  # every statement ran, but the stop point was not reached: it cannot be used
                assert self._world.databases()[name] == "RESTORING"
            else:
                assert number in REFUSALS, statements
        finally:
            with self._world.admin() as master:
                drain(master, f"DROP DATABASE IF EXISTS {quote_name(name)}")

    def _from(self, manifest: Manifest) -> str:
        base = self._world.servers.storage_url(self._world.account)
        return "FROM " + ", ".join(
            f"URL = N'{base}/{file.container}/{file.name}'" for file in facts(manifest).files
        )

    def _first_refusal(self, statements: list[str]) -> int | None:
        with self._world.admin() as master:
            for statement in statements:
                try:
                    drain(master, statement)
                except pyodbc.Error as error:
                    return int(_NUMBER.findall(str(error.args[1]))[-1])
        return None


def facts(manifest: Manifest) -> SqlFacts:
    assert isinstance(manifest.facts, SqlFacts)
    return manifest.facts


def kept(vectors: Vectors, left_out: set[str]) -> Vectors:
    return {name: points for name, points in vectors.items() if name not in left_out}


def restored_names(plan: Plan) -> tuple[str, Mapping[str, str]]:
    """The database and the collections that a plan restores to, the latter by their originals."""
    (database,) = plan.execution.target_state.databases
    steps = [step for step in plan.execution.steps if isinstance(step, CollectionStep)]
    return database, {step.collection: step.target for step in steps}
