"""How long steps will take, from how long like steps took: medians, because one slow night proves nothing.

Where the size matters, a fixed part and a rate are fitted with the median of all slopes between two measured
steps (Theil and Sen), which up to a quarter of outliers cannot move far.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby
from statistics import median

from shared.model.backups import Kind
from shared.model.measures import Measure
from shared.model.plans import AftermathStep, CollectionStep, RehydrateStep, SqlRestoreStep, Step
from shared.planning.words import sized

NO_HISTORY = "no history"

COLLECTIONS_AT_ONCE = 4
"""Collections that a restore recovers at the same time; a test holds it equal to the workflow's number."""

MOST_LIKE = 120
"""Like steps that are compared, the newest: 7,000 pairs, so that an expectation costs milliseconds."""

FARTHEST = 10
"""A step that is more than so many times as large as every measured one is not guessed at."""

MOST_KEPT = 40
"""Steps of a kind that a run is remembered by; a restore can have a thousand collections."""


@dataclass(frozen=True)
class Expectation:
    """How long a step will take; None where nothing is known, and ``basis`` says what it rests on."""

    seconds: float | None
    basis: str


class History:
    """Steps that were measured, the newest first."""

    def __init__(self, steps: Iterable[Measure] = ()) -> None:
        self._like: dict[tuple[str, Kind | None], list[Measure]] = {}
        for step in steps:
            like = self._like.setdefault((step.step_kind, step.backup_kind), [])
            if len(like) < MOST_LIKE:
                like.append(step)
        self._fits: dict[tuple[str, Kind | None], _Fit] = {}

    def expected(self, kind: str, backup_kind: Kind | None, size: int) -> Expectation:
        """How long a step of a kind will take that works on so many bytes (0: the size does not matter)."""
        key = (kind, backup_kind)
        like = self._like.get(key, [])
        if not like:
            return Expectation(None, NO_HISTORY)
        counted = "one like step" if len(like) == 1 else f"median of {len(like)} like steps"
        if size == 0:
            return Expectation(median(step.seconds for step in like), counted)
        largest = max(step.size for step in like)
        if size > FARTHEST * largest:
            return Expectation(None, f"{NO_HISTORY} of this size: the largest like step had {sized(largest)}")
        fit = self._fits.setdefault(key, _fitted(like))
        seconds = fit.fixed + fit.per_byte * size
        rate = f", {_speed(size / seconds)}" if fit.per_byte and seconds else ""
        return Expectation(seconds, counted + rate)


@dataclass(frozen=True)
class _Fit:
    fixed: float
    per_byte: float


def _fitted(like: Sequence[Measure]) -> _Fit:
    """Seconds as a fixed part and a part per byte; neither is ever negative."""
    slopes = [
        (one.seconds - other.seconds) / (one.size - other.size)
        for one, other in combinations(like, 2)
        if one.size != other.size
    ]
    if not slopes:
        return _Fit(0.0, median(step.seconds / max(step.size, 1) for step in like))
    per_byte = max(median(slopes), 0.0)
    fixed = median(step.seconds - per_byte * step.size for step in like)
    if fixed < 0:  # steeper than any constant speed explains
        return _Fit(0.0, median(step.seconds / max(step.size, 1) for step in like))
    return _Fit(fixed, per_byte)


def _speed(per_second: float) -> str:
    return f"{sized(round(per_second))}/s"


def expectations(steps: Sequence[Step], history: History) -> dict[str, Expectation]:
    """How long each step will take, by the step's id."""
    return {step.id: history.expected(step.kind, _backup_kind(step), _work(step, steps)) for step in steps}


def together(steps: Sequence[Step], expected: Mapping[str, Expectation]) -> float | None:
    """Seconds of all steps; None where one of them has no history."""
    if any(expected[step.id].seconds is None for step in steps):
        return None
    return known_part(steps, expected)


def known_part(steps: Sequence[Step], expected: Mapping[str, Expectation]) -> float:
    """Seconds of the steps whose duration is known: a lower bound.

    Collections are recovered several at a time; that they slow each other down is in their measured times.
    """
    total = 0.0
    for kind, group in groupby(steps, key=lambda step: step.kind):
        times = [expected[step.id].seconds or 0.0 for step in group]
        total += max(max(times), sum(times) / COLLECTIONS_AT_ONCE) if kind == "collection" else sum(times)
    return total


def measured(steps: Iterable[Step], seconds: Mapping[str, float]) -> tuple[Measure, ...]:
    """What a run has shown.

    Args:
        steps: of its plan.
        seconds: how long each step took that succeeded, by its id.

    Returns:
        A measure for each of these; of very many of a kind an even sample of their sizes.
    """
    planned = list(steps)
    kinds: dict[tuple[str, Kind | None], list[Measure]] = {}
    for step in planned:
        if step.id in seconds:
            key = (step.kind, _backup_kind(step))
            found = Measure(
                step_kind=key[0], backup_kind=key[1], size=_work(step, planned), seconds=seconds[step.id]
            )
            kinds.setdefault(key, []).append(found)
    return tuple(one for like in kinds.values() for one in _sample(like))


def _sample(like: list[Measure]) -> Iterator[Measure]:
    ordered = sorted(like, key=lambda step: (step.size, step.seconds))
    if len(ordered) <= MOST_KEPT:
        return iter(ordered)
    return (ordered[place * (len(ordered) - 1) // (MOST_KEPT - 1)] for place in range(MOST_KEPT))


def _backup_kind(step: Step) -> Kind | None:
    return step.backup_kind if isinstance(step, SqlRestoreStep) else None


def _work(step: Step, steps: Sequence[Step]) -> int:
    """The bytes that a step's duration depends on."""
    if isinstance(step, AftermathStep):  # a new full backup is about as large as the one that was restored
        return sum(read_by(one) for one in steps if _is_full_of(one, step.database))
    return 0 if isinstance(step, RehydrateStep) else read_by(step)


def _is_full_of(step: Step, target: str) -> bool:
    return isinstance(step, SqlRestoreStep) and step.backup_kind is Kind.FULL and step.target == target


def read_by(step: Step) -> int:
    """Bytes of Blob Storage that a step reads, or brings back online."""
    if isinstance(step, SqlRestoreStep | RehydrateStep):
        return sum(blob.size for blob in step.files)
    if isinstance(step, CollectionStep):
        return sum(part.blob.size for part in step.parts)
    return 0
