"""What a plan is made of: from the catalogue, the files in Blob Storage, the servers, and the settings.

Everything is asked once for all plans of a request, many things at the same time, and what is only nice to
know is not waited for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial

from shared.blob import copy, documents
from shared.catalogue import paths
from shared.composition import System
from shared.errors import BackupSystemError, IntegrityError
from shared.model.backups import BlobRef, Manifest, QdrantFacts
from shared.model.hints import SqlHint
from shared.model.points import RecoveryPoint
from shared.planning.resolving import Known, Resolution
from shared.planning.stripes import Seen, flaw, lost
from shared.planning.telling import EPISODES

_log = logging.getLogger(__name__)

AT_ONCE = 8
"""Requests in flight to the storage: one listing each, of the folder of a backup."""

ONLINE = "ONLINE"

ANSWER_SECONDS = 3
"""How long is waited for what is only nice to know: a plan shall be there within five seconds."""

MOST_COUNTED = 50
"""Collections whose points are counted for a plan; with more of them it would take too long."""


def known(system: System) -> Known:
    """What the catalogue knows, without what a verification found damaged."""
    damaged = system.catalogue.backups.damaged()
    points = system.catalogue.points.outlines()
    sets = system.catalogue.backups.set_hints()
    current = frozenset(system.settings.sqlserver.databases) if system.has_sqlserver else frozenset()
    found = Known(points, sets, _backups(system, points), current)
    return without(found, dict.fromkeys(damaged, "a verification found it damaged"))


def without(what: Known, flaws: Mapping[str, str]) -> Known:
    """What is known, with backups that must not be used any more: id → why."""
    points = [
        point.model_copy(
            update={
                "complete": False,
                "reasons": (*point.reasons, f"of its snapshot set: {flaws[point.vectors.snapshot_set_id]}"),
            }
        )
        if point.vectors.snapshot_set_id in flaws
        else point
        for point in what.points
    ]
    backups = {
        database: [hint.flawed(flaws[hint.id]) if hint.id in flaws else hint for hint in hints]
        for database, hints in what.backups.items()
    }
    sets = [hint for hint in what.sets if hint.id not in flaws]
    return replace(what, points=points, sets=sets, backups=backups)


def _backups(system: System, points: Iterable[RecoveryPoint]) -> dict[str, list[SqlHint]]:
    """The backups of each database, of every server that it was ever backed up on.

    After a total loss the server that answers now can have another name than the one that was lost. Backups
    of different databases that bore the same name are told apart by their family, in the chain.
    """
    databases = set(system.settings.sqlserver.databases) if system.has_sqlserver else set()
    databases |= {side.database for point in points for side in point.sql}
    found: dict[str, list[SqlHint]] = {}
    for hint in system.catalogue.backups.all_sql_hints():
        if hint.database in databases:
            found.setdefault(hint.database, []).append(hint)
    return found


@dataclass(frozen=True)
class Chosen:
    """What resolutions use, read: manifests by id, and the blobs that are there, by ``container/name``."""

    manifests: Mapping[str, Manifest]
    there: Mapping[str, Seen]

    @property
    def tiers(self) -> dict[str, str]:
        """Access tier by ``container/name``, where the account has tiers."""
        return {name: seen.tier for name, seen in self.there.items() if seen.tier}

    def flaws(self) -> dict[str, str]:
        """Why backups cannot be restored from what is there, by id; of a set, why it is not whole."""
        found = {}
        for identifier, manifest in self.manifests.items():
            if isinstance(manifest.facts, QdrantFacts):
                gone = self.gone(identifier)
                why = f"{len(gone)} file(s) of it are gone or were written anew" if gone else None
            else:
                why = flaw(manifest.facts.files, self.there)
            if why:
                found[identifier] = why
        return found

    def gone(self, set_id: str | None) -> frozenset[str]:
        """The files of a snapshot set that are gone or were written anew, as ``container/name``."""
        manifest = self.manifests.get(set_id or "")
        return frozenset(lost(manifest.blobs, self.there)) if manifest else frozenset()


def chosen(system: System, resolutions: Iterable[Resolution]) -> Chosen:
    """Read the manifests that resolutions use, and look at their files.

    Raises:
        NotFoundError: a manifest was removed meanwhile.
        IntegrityError: a manifest is damaged, or the listing tells something else of it.
        UnreachableError, NotPermittedError, StorageError: the storage does not answer as it should.
    """
    wanted = list(resolutions)
    hints = {hint.id: hint for one in wanted for hint in one.hints}
    sets = {one.set_id for one in wanted if one.set_id}
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="planning") as pool:
        read = [*pool.map(system.catalogue.backups.chosen, hints.values())]
        read += pool.map(system.catalogue.backups.get, sorted(sets))
    manifests = {manifest.id: manifest for manifest in read}
    return Chosen(manifests, files_now(system, [blob for manifest in read for blob in manifest.blobs]))


def files_now(system: System, files: Iterable[BlobRef]) -> dict[str, Seen]:
    """The blobs as they are now, by ``container/name``; those that are gone are left out.

    A backup's blobs lie in a folder of their own, so one listing tells of all of them, and of their tiers.

    Raises:
        UnreachableError, NotPermittedError, StorageError: the storage does not answer as it should.
    """
    wanted = {f"{file.container}/{file.name}": file for file in files}
    in_folders = [file for file in wanted.values() if file.container == paths.DATA]
    folders = {(file.container, file.name.rpartition("/")[0] + "/") for file in in_folders}
    alone = [file for file in wanted.values() if file.container != paths.DATA]

    def listed(folder: tuple[str, str]) -> dict[str, Seen]:
        container, prefix = folder
        return {
            f"{container}/{entry.name}": Seen(entry.size, entry.etag, entry.tier)
            for entry in documents.entries(system.storage, container, prefix)
        }

    def looked_at(file: BlobRef) -> dict[str, Seen]:
        try:
            now = copy.reference(system.storage, file.container, file.name)
        except IntegrityError:  # it is gone
            return {}
        return {f"{file.container}/{file.name}": Seen(now.size, now.etag, None)}

    found: dict[str, Seen] = {}
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="planning") as pool:
        for seen in [*pool.map(listed, sorted(folders)), *pool.map(looked_at, alone)]:
            found |= seen
    return {name: seen for name, seen in found.items() if name in wanted}


@dataclass(frozen=True)
class Live:
    """What is on the targets and what Octopus works with now, as far as the plans need it.

    The fields are those of :class:`shared.planning.restore.PlanInputs`.
    """

    databases: Mapping[str, str] = field(default_factory=dict)
    collections: Mapping[str, bool] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    qdrant_versions: Mapping[str, str] = field(default_factory=dict)
    live_database: str | None = None
    live_agents: frozenset[str] | None = None


def live(system: System, *, sql: bool, vectors: bool) -> Live:
    """Ask the servers what is there.

    Args:
        system: the system.
        sql: whether databases are restored; otherwise SQL Server is asked for its agents, if it answers.
        vectors: whether collections are restored.

    Raises:
        UnreachableError, NotPermittedError, StoreError: a server that is restored to does not answer as it
            should.
    """
    qdrant = system.qdrant.presence() if vectors else None
    found = Live(
        databases=system.sqlserver.databases() if sql else {},
        collections=dict.fromkeys(qdrant.names, True) if qdrant else {},
        aliases=qdrant.aliases if qdrant else {},
        qdrant_versions=qdrant.versions if qdrant else {},
    )
    if sql or not system.has_sqlserver:
        return found
    in_service = _in_time({"SQL Server": partial(_in_service, system)}).get("SQL Server")
    if in_service is None:
        return found
    database, agents = in_service
    return replace(found, live_database=database, live_agents=agents)


def _in_service(system: System) -> tuple[str, frozenset[str]] | None:
    """The database that Octopus works with and the agents known; None where not all of it is ONLINE."""
    states = {name.casefold(): state for name, state in system.sqlserver.databases().items()}
    databases = system.settings.sqlserver.databases
    if any(states.get(name.casefold()) != ONLINE for name in databases):
        return None
    agents = {name: system.sqlserver.agents(name) for name in databases}
    first = next((name for name in databases if agents[name]), databases[0])
    return first, frozenset(agent for known in agents.values() for agent in known)


def episodes_now(system: System, databases: Iterable[str]) -> dict[str, int]:
    """The number of episodes in databases that are ONLINE, as far as they are counted in time."""
    return _in_time({name: partial(_episodes, system, name) for name in sorted(set(databases))})


def _episodes(system: System, database: str) -> int | None:
    return system.sqlserver.rows(database, EPISODES, seconds=ANSWER_SECONDS)


def points_now(system: System, collections: Collection[str]) -> dict[str, int]:
    """The points of live collections, as far as they are counted in time; none if they are too many."""
    if len(collections) > MOST_COUNTED:
        return {}
    return _in_time({name: partial(_points, system, name) for name in sorted(collections)})


def _points(system: System, collection: str) -> int:
    return system.qdrant.count(collection).value


def _in_time[T](questions: Mapping[str, Callable[[], T | None]]) -> dict[str, T]:
    """The answers that come within ANSWER_SECONDS; a question that fails or is late has none."""
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="asking")
    try:
        asked = {name: pool.submit(ask) for name, ask in questions.items()}
        done, late = wait(asked.values(), timeout=ANSWER_SECONDS)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    if late:
        _log.warning("A plan does without %d of %d answers: they came too late.", len(late), len(asked))
    found = {}
    for name, future in asked.items():
        try:
            answer = future.result() if future in done else None
        except BackupSystemError as error:
            _log.warning("A plan does without an answer about %s: %s", name, error.message)
            continue
        if answer is not None:
            found[name] = answer
    return found
