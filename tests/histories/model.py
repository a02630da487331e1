"""What a history should have led to: kept apart from the system, told by nothing but the moves themselves.

All instants are UTC, by the clock that the system and the servers of a history share.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from local.octopus.truth import Point, Table
from shared.model.backups import Kind

CLOCK_MARGIN = timedelta(minutes=5)
"""How far the clocks of the servers may differ, as the design has it."""

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)

type Rows = dict[str, Table]
type Vectors = dict[str, dict[str, Point]]


def agents_in(rows: Rows) -> frozenset[str]:
    """The ids of the agents that SQL Server knows, in lower case."""
    return frozenset(str(row[0]).lower() for row in rows["Octopus_Agents"].rows)


def agent_of(collection: str) -> str:
    """The agent that a collection of the stand-in Octopus belongs to."""
    digits = collection.removeprefix("agent_")
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


@dataclass(frozen=True)
class Moment:
    """The database at an instant at which nothing happens, seconds away from everything that does."""

    at: datetime
    rows: Rows


@dataclass(frozen=True)
class Saved:
    """A backup of SQL Server that is ours; ``usable`` is False for a differential on somebody else's full."""

    id: str
    kind: Kind
    ended: datetime
    rows: Rows
    usable: bool = True


@dataclass(frozen=True)
class LogPart:
    """A piece of the log between two log backups, whether it is in one of ours, and when was last written."""

    began: datetime
    ended: datetime
    ours: bool
    written: datetime
    spans_forks: bool


@dataclass(frozen=True)
class Pair:
    """A recovery point: the vectors at its snapshots, the rows at its mark.

    An incomplete one lacks the backups that lead to it; its snapshots are as good as any.
    """

    id: str
    at: datetime
    rows: Rows
    vectors: Vectors
    complete: bool = True

    @property
    def left_out(self) -> set[str]:
        """The collections whose agent SQL Server does not know at the mark."""
        known = agents_in(self.rows)
        return {name for name in self.vectors if agent_of(name) not in known}


@dataclass(frozen=True)
class Fork:
    """A timeline of the database: it began with a restore in place, to a state of an earlier instant."""

    began: datetime
    origin: datetime | None = None


@dataclass
class Model:
    """One history, as far as it went."""

    forks: list[Fork] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    saved: list[Saved] = field(default_factory=list)
    logs: list[LogPart] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    written: datetime = LONG_AGO

    # --- timelines

    def path(self, at: datetime) -> Iterator[tuple[datetime, datetime]]:
        """The stretches of time, each from and to, that led to the state of an instant; the newest first."""
        end: datetime | None = at
        while end is not None:
            fork = max((one for one in self.forks if one.began <= end), key=lambda one: one.began)
            yield fork.began, end
            end = fork.origin

    def led_to(self, at: datetime, then: datetime) -> bool:
        """Whether what happened ``then`` is part of how the state of an instant came about."""
        return any(began <= then <= ended for began, ended in self.path(at))

    def known_up_to(self, at: datetime) -> frozenset[str]:
        """Every agent that SQL Server ever knew on the timeline that led to an instant."""
        states = [(moment.at, moment.rows) for moment in self.moments]
        states += [(pair.at, pair.rows) for pair in self.pairs]
        return frozenset().union(*(agents_in(rows) for then, rows in states if self.led_to(at, then)))

    @property
    def points(self) -> list[Pair]:
        """The complete recovery points."""
        return [pair for pair in self.pairs if pair.complete]

    def pair_before(self, at: datetime) -> Pair | None:
        """The newest recovery point on the timeline that led to an instant."""
        found = [pair for pair in self.points if self.led_to(at, pair.at)]
        return max(found, key=lambda pair: pair.at, default=None)

    def vectors_before(self, at: datetime) -> Pair | None:
        """The newest snapshots that surely ended before an instant on its timeline.

        A complete recovery point proves it by its mark; without one, clocks are compared, with a margin.
        """
        found = [
            pair
            for pair in self.pairs
            if self.led_to(at, pair.at) and (pair.complete or pair.at + CLOCK_MARGIN < at)
        ]
        return max(found, key=lambda pair: pair.at, default=None)

    # --- what can be restored

    def reachable(self, at: datetime) -> bool:
        """Whether our backups surely lead to an instant.

        A data backup before it, a log backup after it, no gap between the two, and something in those logs
        that is not in the data backup: logs without that cannot be applied (4326). Within the first log
        backup of a timeline nothing tells where the one before it was left, so that one is not asked for.
        """
        first = [part for part in self.logs if part.spans_forks and part.began < at < part.ended]
        return not first and any(self._something(start, stop) for start, stop in self._chains(at))

    def out_of_reach(self, at: datetime) -> bool:
        """Whether nothing of ours leads to an instant."""
        return not any(self._chains(at))

    def leads_to(self, at: datetime) -> bool:
        """Whether the end of a log backup that ended at an instant can be restored."""
        return any(start < at and not self._gaps(start, at) for start in self._starts(at))

    def newest(self) -> Saved:
        """The backup whose end is the newest state of the current timeline that can be restored."""
        began = self.forks[-1].began
        found = [
            one
            for one in self.saved
            if one.ended >= began and one.usable and (one.kind is not Kind.LOG or self.leads_to(one.ended))
        ]
        return max(found, key=lambda one: one.ended)

    def _chains(self, at: datetime) -> Iterator[tuple[datetime, LogPart]]:
        """When a data backup before an instant had ended, with a log backup after it and no gap between."""
        end = min((fork.began for fork in self.forks if fork.began > at), default=None)
        stops = [
            part for part in self.logs if part.ours and at < part.ended and (end is None or part.ended < end)
        ]
        for start in self._starts(at):
            yield from ((start, stop) for stop in stops if start < at and not self._gaps(start, stop.ended))

    def _starts(self, at: datetime) -> list[datetime]:
        """When the data backups of an instant's own timeline ended."""
        began, _ = next(self.path(at))
        data = (one for one in self.saved if one.usable and one.kind is not Kind.LOG)
        return [one.ended for one in data if one.ended >= began]

    def _gaps(self, start: datetime, end: datetime) -> bool:
        """Whether something that was written between two instants is in no log backup of ours."""
        theirs = (part for part in self.logs if not part.ours and part.ended > start and part.began < end)
        return any(max(part.began, start) < part.written for part in theirs)

    def _something(self, start: datetime, stop: LogPart) -> bool:
        return any(start < part.written for part in self.logs if start < part.ended <= stop.ended)
