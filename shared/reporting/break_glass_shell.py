"""restore.sh: a POSIX shell script that brings the collections of a recovery point back, with curl alone.

Names from outside stand in it in single quotes only, or percent-encoded in addresses; keys and the SAS come
from the environment, and pass to curl on its standard input, where no list of processes shows them.

What is right for Qdrant was measured (1.16.3 and 1.19.0): each peer gets its own snapshot, one after the
other; always priority=snapshot and a checksum; the file that an upload leaves behind is deleted; the points
are counted on every peer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from shared.model.backups import Quality
from shared.planning.versions import number
from shared.planning.words import said, sized
from shared.reporting.break_glass_facts import Glass, GlassCollection, fetched_name, plain
from shared.reporting.break_glass_functions import COMMANDS, FUNCTIONS


def restore_sh(glass: Glass) -> str:
    """The script for ``sh``.

    Args:
        glass: the recovery point.

    Returns:
        The text; it holds no secret.
    """
    parts = ["#!/bin/sh", _header(glass), _facts(glass), *_lists(glass), FUNCTIONS, COMMANDS]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def quoted(text: str) -> str:
    """``text`` in single quotes, which a shell takes literally whatever it holds.

    Raises:
        ValueError: it holds a NUL, which no shell can hold.
    """
    if "\0" in text:
        raise ValueError("a shell's word holds no NUL")
    return "'" + text.replace("'", "'\\''") + "'"


def _header(glass: Glass) -> str:
    point = glass.point
    name = f" “{point.name}”" if point.name else ""
    lines = [
        f"RECOVERY POINT {point.id}{name}: THE VECTORS, BY HAND",
        "",
        f"Snapshots taken until {said(point.vectors.finished_at)}. SQL Server: restore.sql, beside this.",
        "Needs sh, curl and sha256sum, and none of the software that made the point.",
        *_contents(glass),
        *_warnings(glass),
        "",
        *_usage(glass),
    ]
    return "\n".join(f"# {plain(line)}".rstrip() for line in lines)


def _contents(glass: Glass) -> Iterator[str]:
    snapshots = [snapshot for one in glass.collections for snapshot in one.snapshots]
    size = sum(snapshot.file.size for snapshot in snapshots)
    largest = max((snapshot.file.size for snapshot in snapshots), default=0)
    yield (
        f"It restores {len(glass.collections)} collection(s) from {len(snapshots)} snapshot(s): "
        f"{sized(size)}, the largest {sized(largest)}."
    )
    for name, reason in sorted(glass.left_out.items()):
        yield f"  Not restored: {name}: {reason}"


def _warnings(glass: Glass) -> Iterator[str]:
    if not glass.point.complete:
        yield ""
        yield "THIS POINT IS INCOMPLETE:"
        yield from (f"  - {reason}" for reason in glass.point.reasons or ("no reason was recorded",))


def _usage(glass: Glass) -> Iterator[str]:
    newest = max(glass.versions, key=number, default="")
    peers = _peers(glass)
    yield "Set in the environment:"
    yield "  AZURE_SAS       a SAS of the storage account: to read and list the container " + " and ".join(
        glass.containers
    )
    yield "  QDRANT_URLS     the REST address of every peer of the Qdrant to restore to, with spaces between;"
    yield f"                  the point was made of {len(peers)} peer(s): {' '.join(peers) or 'none'}"
    yield "  QDRANT_API_KEY  its key, with global manage access; unset if it wants none"
    yield f"  STORAGE_URL     only if the backups are elsewhere than in {glass.account_url}"
    yield "  TMPDIR          a folder with room for the largest snapshot; /tmp if unset"
    yield f"Qdrant has to be {newest or 'as new as it was'} or newer: an older one can destroy a collection."
    yield ""
    yield "Run it:"
    yield "  sh restore.sh vectors   restores the collections. If one of them exists, it stops before it has"
    yield "                          changed anything; FORCE=1 overwrites. Once it has failed: FORCE=1, too."
    if any(database.medium == "disk" for database in glass.databases):
        yield "  sh restore.sh files     fetches the backups for restore.sql into the folder BACKUP_DIR"


def _peers(glass: Glass) -> list[str]:
    return sorted({str(snapshot.peer_id) for one in glass.collections for snapshot in one.snapshots})


def _facts(glass: Glass) -> str:
    newest = max(glass.versions, key=number, default="")
    return "\n".join(
        [
            "set -euf",
            "LC_ALL=C",
            "export LC_ALL",
            f"point={quoted(glass.point.id)}",
            f"made_by={quoted(newest)}  # Qdrant's version",
            f"recorded_peers={quoted(' '.join(_peers(glass)))}",
            f'[ -n "${{STORAGE_URL:-}}" ] || STORAGE_URL={quoted(glass.account_url)}',
        ]
    )


def _lists(glass: Glass) -> Iterator[str]:
    yield _list(
        "every_collection",
        "name, name in an address, the name as an alias in JSON, least points, most points; then for each "
        "snapshot: peer, number, path, bytes, SHA-256, whole or part",
        [_collection(one) for one in glass.collections],
    )
    aliases = [(alias, one.name) for one in glass.collections for alias in one.aliases]
    yield _list(
        "every_alias", "alias, the same in JSON", [[quoted(a), quoted(_alias_in_json(a))] for a, _ in aliases]
    )
    actions = [
        {"create_alias": {"alias_name": alias, "collection_name": name}} for alias, name in sorted(aliases)
    ]
    yield f"aliases={quoted(json.dumps({'actions': actions}))}"
    yield _list("every_file", "path, bytes, SHA-256 (empty if unknown), name of the file", _fetched(glass))


def _collection(one: GlassCollection) -> list[str]:
    exact = one.points.quality is not Quality.APPROXIMATE
    low = one.points.value if exact or one.points.low is None else one.points.low
    high = one.points.value if exact or one.points.high is None else one.points.high
    words = [quoted(one.name), quoted(quote(one.name, safe="")), quoted(_alias_in_json(one.name))]
    words += [str(low), str(high)]
    for place, snapshot in enumerate(one.snapshots, 1):
        whole = "whole" if snapshot.whole else "part"
        path = quoted(snapshot.file.path)
        words += [_NEXT_LINE + str(snapshot.peer_id), str(place), path, str(snapshot.file.size)]
        words += [snapshot.checksum, whole]
    return words


_NEXT_LINE = "\\\n        "
"""The shell reads on in the next line as if it were the same."""


def _alias_in_json(name: str) -> str:
    """How an answer of Qdrant shows an alias: only what has to be escaped is."""
    return '"alias_name":' + json.dumps(name, ensure_ascii=False)


def _fetched(glass: Glass) -> list[list[str]]:
    return [
        [
            quoted(file.path),
            str(file.size),
            quoted(file.sha256 or ""),
            quoted(fetched_name(glass, number_, place, stripe)),
        ]
        for number_, database in enumerate(glass.databases, 1)
        if database.medium == "disk"
        for place, backup in enumerate(database.backups, 1)
        for stripe, file in enumerate(backup.files, 1)
    ]


def _list(name: str, what: str, entries: Iterable[list[str]]) -> str:
    """A function that calls the one that it is told with the words of each entry."""
    calls = [f'    "$1" {" ".join(words)}' for words in entries] or ["    :"]
    return "\n".join([f"# {name} DO: calls DO for each with: {what}.", f"{name}() {{", *calls, "}"])
