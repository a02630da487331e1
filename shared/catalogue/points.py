"""Recovery points, the pins that keep them, and the scripts that restore them with none of our software."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from datetime import datetime

from pydantic import ValidationError

from shared.blob import documents
from shared.blob.listing import Entry
from shared.blob.storage import Storage
from shared.blob.upload import upload
from shared.catalogue import paths
from shared.catalogue.backups import HINT
from shared.catalogue.records import read, read_all
from shared.catalogue.references import References, with_reference
from shared.errors import IntegrityError, NotFoundError
from shared.model.points import Pin, RecoveryPoint

_log = logging.getLogger(__name__)

_MOST_HINT = 7_000
"""Characters of a hint: all metadata of a blob may have 8 KiB together."""


def outline(point: RecoveryPoint) -> RecoveryPoint:
    """A recovery point without counts, agents, pin and findings: all that pairing the two sides looks at."""
    sides = tuple(side.model_copy(update={"tables": {}, "agents": ()}) for side in point.sql)
    vectors = point.vectors.model_copy(update={"collections": {}, "without_agent": ()})
    return point.model_copy(update={"sql": sides, "vectors": vectors, "pinned": False, "findings": ()})


class Points:
    """All committed recovery points.

    A point is read with its pin: ``pinned`` is what a person said last; and with what a drill counted of it.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._references = References(storage)

    def commit(self, point: RecoveryPoint) -> None:
        """Make a recovery point: from here on it exists. Repeating it for the same run changes nothing.

        Raises:
            AlreadyExistsError: another run committed a point of this id.
            UnreachableError, NotPermittedError, StorageError: it could not be written.
        """
        documents.create(
            self._storage,
            paths.CATALOGUE,
            paths.recovery_point(point.id),
            point.as_json(),
            metadata=_hint_of(point),
            attempt=point.run_id,
        )

    def add_scripts(self, point: RecoveryPoint, scripts: Mapping[str, str]) -> list[str]:
        """Keep the scripts of a point beside it, before it is committed. Repeating it changes nothing.

        Args:
            point: the recovery point.
            scripts: file name → text.

        Returns:
            Their names in the container ``catalogue``.

        Raises:
            AlreadyExistsError: another run, or another text, took a name.
            UnreachableError, NotPermittedError, StorageError: one could not be written.
        """
        names = []
        for file, text in scripts.items():
            name = paths.break_glass(point.id, file)
            upload(self._storage, paths.CATALOGUE, name, [text.encode()], attempt=point.run_id)
            names.append(name)
        return names

    def get(self, id_or_name: str) -> RecoveryPoint:
        """The recovery point of that id, or else the newest of that name.

        Raises:
            NotFoundError: there is none.
            IntegrityError: its document is damaged, or of a newer version.
        """
        for name in self._candidates(id_or_name):
            try:
                point = read(self._storage, paths.CATALOGUE, name, RecoveryPoint)[0]
            except NotFoundError:
                continue
            return self._pinned(with_reference(point, self._references.of(point.id)))
        raise NotFoundError(
            f"There is no recovery point {id_or_name[:100]!r}.",
            "`octopus-backup list` shows those that exist.",
        )

    def all(self) -> list[RecoveryPoint]:
        """Every recovery point, newest first."""
        return self.newest(None)

    def newest(self, limit: int | None) -> list[RecoveryPoint]:
        """The newest recovery points, newest first; all if ``limit`` is None."""
        newest_first = [entry.name for entry in self._listed()][:limit]
        points = read_all(self._storage, paths.CATALOGUE, newest_first, RecoveryPoint)
        pinned = self._pins()
        counted = self._references.of()
        return [
            with_reference(
                point.model_copy(update={"pinned": pinned[point.id]}) if point.id in pinned else point,
                counted,
            )
            for point in points
        ]

    def outlines(self) -> list[RecoveryPoint]:
        """What a listing tells of every recovery point, newest first; see :func:`outline`.

        A point that is chosen by its outline is read with :meth:`behind`.
        """
        return [point for _, point in self._outlined()]

    def behind(self, chosen: RecoveryPoint) -> RecoveryPoint:
        """The whole recovery point behind an outline, which must say the same.

        Where the outline was given up as incomplete since it was listed (its snapshot set was found damaged),
        the whole point is so too.

        Raises:
            NotFoundError: it was removed meanwhile.
            IntegrityError: its document is damaged, or the outline that it was chosen by is wrong.
        """
        point = self.get(chosen.id)
        if not chosen.complete:
            point = point.model_copy(update={"complete": False, "reasons": chosen.reasons})
        if outline(point) != outline(chosen):
            raise IntegrityError(
                f"The listing tells something else of recovery point {chosen.id} than its document does.",
                f"Somebody changed {paths.CATALOGUE}/{paths.recovery_point(chosen.id)} or its metadata; "
                "compare the two.",
            )
        return point

    def pin(self, id_or_name: str, pinned: bool, at: datetime) -> RecoveryPoint:
        """Keep a recovery point whatever the retention says, or leave it to the retention again.

        Args:
            id_or_name: as for ``get``.
            pinned: whether it is kept.
            at: now, in UTC.

        Returns:
            The point as it is read from now on.

        Raises:
            NotFoundError, IntegrityError: as for ``get``.
            UnreachableError, NotPermittedError, StorageError: it could not be written.
        """
        point = self.get(id_or_name)
        pin = Pin(point_id=point.id, pinned=pinned, changed_at=at)
        documents.put(self._storage, paths.STATE, paths.pin(point.id), pin.as_json())
        return point.model_copy(update={"pinned": pinned})

    def _pinned(self, point: RecoveryPoint) -> RecoveryPoint:
        try:
            pin = read(self._storage, paths.STATE, paths.pin(point.id), Pin)[0]
        except NotFoundError:
            return point
        return point.model_copy(update={"pinned": pin.pinned})

    def _pins(self) -> dict[str, bool]:
        names = [entry.name for entry in documents.entries(self._storage, paths.STATE, paths.pins())]
        return {pin.point_id: pin.pinned for pin in read_all(self._storage, paths.STATE, names, Pin)}

    def _candidates(self, id_or_name: str) -> Iterator[str]:
        yield paths.recovery_point(id_or_name)
        yield from (name for name, point in self._outlined() if point.name == id_or_name)

    def _outlined(self) -> Iterator[tuple[str, RecoveryPoint]]:
        for entry in self._listed():
            try:
                yield entry.name, RecoveryPoint.model_validate_json(entry.metadata.get(HINT, ""))
            except ValidationError:  # it has none: it was lost, or would have been too long
                point = self._read_outline(entry.name)
                if point is not None:
                    yield entry.name, point

    def _read_outline(self, name: str) -> RecoveryPoint | None:
        try:
            return outline(read(self._storage, paths.CATALOGUE, name, RecoveryPoint)[0])
        except (NotFoundError, IntegrityError) as error:
            _log.warning("Left out: %s", error)
            return None

    def _listed(self) -> list[Entry]:
        found = documents.entries(self._storage, paths.CATALOGUE, paths.RECOVERY_POINTS)
        points = [entry for entry in found if "/" not in entry.name.removeprefix(paths.RECOVERY_POINTS)]
        return sorted(points, key=lambda entry: entry.name, reverse=True)  # ids sort by time


def _hint_of(point: RecoveryPoint) -> dict[str, str]:
    hint = json.dumps(outline(point).as_json(), separators=(",", ":"))
    return {HINT: hint} if len(hint) <= _MOST_HINT else {}
