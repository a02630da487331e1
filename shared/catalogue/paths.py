"""Every blob name of the catalogue, made in one place.

::

    data       {store}/{scope}/{kind}/{yyyy}/{mm}/{dd}/{backup id}/{attempt}/{file}
    catalogue  backups/{store}/{scope}/{kind}/{yyyy}/{mm}/{dd}/{backup id}.json
               recovery-points/{id}.json
               recovery-points/{id}/restore.sql and restore.sh
               verifications/{backup id}/{run id}.json
               references/{recovery point id}/{run id}.json
               suspects/{backup id}.json
               reports/{run id}/{attempt}.json and .html
               reports/{run id}/verdicts/{id}.json
    state      claims/{timer}/{slot}.json
               keys/{idempotency key}.json
               locks/{name}.json
               plans/{id}.json
               plans/{id}.erasures.json
               plans/{id}.migrations.sql
               pins/{recovery point id}.json
               targets.json
               suspensions/{scope}.json
               runs/{kind}/{id}.json
               parts/{run id}/{key}.json
               measures/{run id}.json

The date in a path is that of the backup id, a ULID, in UTC: whoever knows the id knows the date.

Names from outside (servers, databases, collections) can hold anything. ``encoded`` makes each of them one
harmless path component: percent-encoding, but with ``~`` in place of ``%``, and for dots too. A percent sign
in a blob's name would have to be encoded once more in its address, which not every client gets right, while
RFC 3986 leaves ``~`` alone everywhere. What would become too long is cut and ends in a hash.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from ulid import ULID

from shared.errors import NotFoundError
from shared.model.backups import Kind, Store
from shared.model.runs import RunKind

LANDING: Final = "landing"
"""Container for what SQL Server before 2025 writes itself, until it is copied."""
DATA: Final = "data"
"""Container for the bytes of backups, each blob written once."""
CATALOGUE: Final = "catalogue"
"""Container for manifests, recovery points and verifications, each blob written once."""
STATE: Final = "state"
"""Container for claims, locks, plans and runs, which are rewritten."""

QDRANT_SCOPE: Final = "qdrant"
"""The scope of all snapshot sets."""

RECOVERY_POINTS: Final = "recovery-points/"
"""The prefix of all recovery points."""

TARGETS: Final = "targets.json"
"""Who restores to what."""

SUSPENSIONS: Final = "suspensions/"
"""The prefix of all suspensions of timers."""

LONGEST_PART: Final = 48
"""Characters of one component. SQL Server takes device names of at most 259 characters, which leaves 223 for
account, container and blob (Microsoft's documentation of backup to URL); two of this length fit."""

_KEPT = 27  # of a name that is cut: with "~~" and 19 hexadecimal digits (76 bits) of its hash it makes 48
_SCOPE_PARTS = {Store.SQLSERVER: 2, Store.QDRANT: 1}


def encoded(name: str) -> str:
    """Encode a name from outside as one component of a path; different names never give the same component.

    Args:
        name: anything, also empty, with slashes or ``..``.

    Returns:
        1 to 48 characters out of ``A-Z a-z 0-9 _ - ~``.
    """
    raw = name.encode("utf-8", "surrogatepass")
    harmless = quote(raw, safe="").replace("~", "~7E").replace("%", "~").replace(".", "~2E") or "~"
    if len(harmless) <= LONGEST_PART:
        return harmless
    return harmless[:_KEPT] + "~~" + hashlib.sha256(raw).hexdigest()[: LONGEST_PART - _KEPT - 2]


def sql_scope(server: str, database: str) -> str:
    """The scope of a database's backups."""
    return f"{encoded(server)}/{encoded(database)}"


def scope_parts(store: Store) -> int:
    """How many components the scopes of a store have."""
    return _SCOPE_PARTS[store]


def data_prefix(store: Store, scope: str, kind: Kind, backup_id: str, attempt: str) -> str:
    """What the names of all files of a backup begin with, in ``data`` or ``landing``; no final slash.

    Args:
        store: the store that the backup is of.
        scope: from ``sql_scope``, or ``QDRANT_SCOPE``.
        kind: what the backup holds.
        backup_id: ULID of the backup.
        attempt: which attempt at it, so that no two attempts ever write to the same blob.

    Raises:
        NotFoundError: the id is not one that a backup can have.
    """
    return f"{store}/{scope}/{kind}/{_day(backup_id)}/{backup_id}/{encoded(attempt)}"


def manifest(store: Store, scope: str, kind: Kind, backup_id: str) -> str:
    """The manifest of a backup.

    Raises:
        NotFoundError: the id is not one that a backup can have.
    """
    return f"{manifests(store, scope)}{kind}/{_day(backup_id)}/{backup_id}.json"


def manifests(store: Store, scope: str = "") -> str:
    """The prefix of all manifests of a store, or of one scope in it."""
    return f"backups/{store}/{scope}/" if scope else f"backups/{store}/"


def recovery_point(point_id: str) -> str:
    """The document of a recovery point."""
    return f"{RECOVERY_POINTS}{encoded(point_id)}.json"


def break_glass(point_id: str, file: str) -> str:
    """A script that restores a recovery point with none of our software."""
    return f"{RECOVERY_POINTS}{encoded(point_id)}/{file}"


def pins() -> str:
    """The prefix of all pins."""
    return "pins/"


def pin(point_id: str) -> str:
    """Whether a recovery point is kept, as a person said after it was made."""
    return f"{pins()}{encoded(point_id)}.json"


def all_verifications() -> str:
    """The prefix of what later looks at all backups found."""
    return "verifications/"


def verifications(backup_id: str) -> str:
    """The prefix of what later looks at a backup found."""
    return f"verifications/{encoded(backup_id)}/"


def verification(backup_id: str, run_id: str) -> str:
    """What one later look at a backup found."""
    return f"{verifications(backup_id)}{encoded(run_id)}.json"


def suspects() -> str:
    """The prefix of the backups that ever failed a verification."""
    return "suspects/"


def suspect(backup_id: str) -> str:
    """That a backup failed a verification."""
    return f"{suspects()}{encoded(backup_id)}.json"


def measures() -> str:
    """The prefix of what was measured in runs."""
    return "measures/"


def measure(run_id: str) -> str:
    """How long the steps of a run took."""
    return f"{measures()}{encoded(run_id)}.json"


def references(point_id: str = "") -> str:
    """The prefix of what drills counted of all recovery points, or of one."""
    return f"references/{encoded(point_id)}/" if point_id else "references/"


def reference(point_id: str, run_id: str) -> str:
    """What one drill counted of a recovery point."""
    return f"{references(point_id)}{encoded(run_id)}.json"


def report(run_id: str, attempt: int, ending: str = "json") -> str:
    """The report of one attempt at a run; ``ending`` tells its form."""
    return f"reports/{encoded(run_id)}/{attempt}.{ending}"


def verdicts(run_id: str) -> str:
    """The prefix of what people said about a run."""
    return f"reports/{encoded(run_id)}/verdicts/"


def verdict(run_id: str, verdict_id: str) -> str:
    """What one person said about an item of a run."""
    return f"{verdicts(run_id)}{encoded(verdict_id)}.json"


def listing(run_id: str, step_id: str, listing_id: str) -> str:
    """What a step found, a line each: too much for the run's own document."""
    return f"reports/{encoded(run_id)}/{encoded(step_id)}-{encoded(listing_id)}.jsonl"


def key(text: str) -> str:
    """The run that an idempotency key stands for."""
    return f"keys/{encoded(text)}.json"


def claim(timer: str, slot: datetime) -> str:
    """The claim of a slot."""
    return f"claims/{encoded(timer)}/{slot.astimezone(UTC):%Y%m%dT%H%M%SZ}.json"


def lock(name: str) -> str:
    """The lock of that name; slashes in it stay, so that related locks stand together."""
    return "locks/" + "/".join(encoded(piece) for piece in name.split("/")) + ".json"


def suspension(scope: str) -> str:
    """The suspension of the timers of a scope."""
    return f"{SUSPENSIONS}{scope}.json"


def plan(plan_id: str) -> str:
    """A restore plan."""
    return f"plans/{encoded(plan_id)}.json"


def plan_erasures(plan_id: str) -> str:
    """The users whose rows a restore by a plan deletes again."""
    return f"plans/{encoded(plan_id)}.erasures.json"


def plan_script(plan_id: str) -> str:
    """The migration script that a restore by a plan executes, where its text came with the request."""
    return f"plans/{encoded(plan_id)}.migrations.sql"


def runs(kind: RunKind, beginning: str = "") -> str:
    """The prefix of the runs of a kind whose id has that beginning."""
    return f"runs/{kind}/{beginning}"


def run(kind: RunKind, run_id: str) -> str:
    """The state of a run."""
    return f"{runs(kind)}{encoded(run_id)}.json"


def run_parts(run_id: str) -> str:
    """The prefix of the finished parts of a run."""
    return f"parts/{encoded(run_id)}/"


def run_part(run_id: str, key: str) -> str:
    """A finished part of a run."""
    return f"{run_parts(run_id)}{encoded(key)}.json"


def _day(backup_id: str) -> str:
    try:
        ulid = ULID.from_str(backup_id)
        if str(ulid) == backup_id:  # in its one canonical form
            return f"{ulid.datetime.astimezone(UTC):%Y/%m/%d}"
    except ValueError:
        pass  # said below
    raise NotFoundError(
        f"{backup_id[:40]!r} is not the id of a backup.",
        "An id has 26 letters and digits; `octopus-backup list` shows those that exist.",
    )
