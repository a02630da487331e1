"""Under which names databases and collections are restored.

A name that nobody uses is taken as it is. One that exists is restored side by side under a name that begins
with ``rp_`` and the restored instant, or, in place, under itself. Names that a person asked for are hostile
input.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.errors import InvalidRequestError
from shared.octopus.collections import is_scratch

SYSTEM_DATABASES = frozenset({"master", "msdb", "model", "tempdb", "mssqlsystemresource", "distribution"})

LONGEST_DATABASE = 128
"""Characters in UTF-16, as sysname has them (Microsoft: "Database identifiers")."""

LONGEST_COLLECTION = 255 - len("-18446744073709551615-2026-01-31-04-00-00.snapshot-temp-XXXXXX")
"""Bytes in UTF-8: a file name holds 255, and a snapshot's temporary file adds peer id, time and endings
(measured on Qdrant 1.16.3 and 1.19.0: a collection whose name has 200 characters cannot be snapshotted)."""

_NOT_IN_COLLECTIONS = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


@dataclass(frozen=True)
class Names:
    """What is restored → the name that it gets."""

    databases: Mapping[str, str]
    collections: Mapping[str, str]


@dataclass(frozen=True)
class Existing:
    """What is there on the targets, whatever state it is in."""

    databases: Collection[str]
    collections: Collection[str]


def choose_names(
    databases: Iterable[str],
    collections: Iterable[str],
    asked: Mapping[str, str],
    existing: Existing,
    *,
    in_place: bool,
    stamp: datetime,
) -> Names:
    """A target name for every database and collection; the same input gives the same names.

    Args:
        databases: what is restored.
        collections: what is restored.
        asked: explicit names, by the name of a database or collection.
        existing: the names that are taken on the targets.
        in_place: whether what exists may be overwritten.
        stamp: the instant that is restored to (UTC); it goes into names that are made.

    Raises:
        InvalidRequestError: ``unknown_name``, ``ambiguous_name``, ``invalid_name``, ``name_taken``,
            ``duplicate_name``.
    """
    wanted_databases, wanted_collections = list(databases), list(collections)
    _check_known(asked, wanted_databases, wanted_collections)
    prefix = f"rp_{stamp:%Y%m%dt%H%M%S}_"
    return Names(
        _choose(_DATABASES, wanted_databases, asked, existing.databases, in_place, prefix),
        _choose(_COLLECTIONS, wanted_collections, asked, existing.collections, in_place, prefix),
    )


def demand_unreserved(asked: Iterable[str]) -> None:
    """Refuse names that look like those which are made here: their copies are backed up by nobody.

    Args:
        asked: new names that a person asked for.

    Raises:
        InvalidRequestError: ``reserved_name``.
    """
    reserved = next((name for name in asked if is_scratch(name)), None)
    if reserved is not None:
        raise InvalidRequestError(
            f"The new name {reserved[:LONGEST_DATABASE]!r} looks like that of a copy which is made here.",
            "Such copies are left out of backups and of the comparison with agents. Choose another name, or "
            "leave it to the plan.",
            code="reserved_name",
        )


def aside_name(live: str, stamp: datetime, taken: Iterable[str]) -> str:
    """The name that a live database gets when another one takes its place: one that nobody uses.

    Args:
        live: its name now.
        stamp: when the plan is made (UTC).
        taken: every database of the server.
    """
    used = {_DATABASES.same(name) for name in taken}
    return _free(_DATABASES, live, "", f"__before_{stamp:%Y%m%dt%H%M%S}", used)


@dataclass(frozen=True)
class _Rules:
    """What a server thinks of names: which are the same, how long one is, which are impossible."""

    what: str
    same: Callable[[str], str]
    length: Callable[[str], int]
    longest: int
    impossible: Callable[[str], str | None]


def _database_impossible(name: str) -> str | None:
    if name.casefold() in SYSTEM_DATABASES:
        return "is SQL Server's own"
    return "begins or ends with a space" if name != name.strip() else None


def _collection_impossible(name: str) -> str | None:
    found = _NOT_IN_COLLECTIONS.search(name)
    if found:
        return f"contains {found[0]!r}, which Qdrant refuses"
    return "is a relative path" if name in {".", ".."} else None


_DATABASES = _Rules(
    "database",
    str.casefold,  # most servers compare them without case, and two that differ in case only help nobody
    lambda name: len(name.encode("utf-16-le", "surrogatepass")) // 2,
    LONGEST_DATABASE,
    _database_impossible,
)
_COLLECTIONS = _Rules(
    "collection",
    str,
    lambda name: len(name.encode("utf-8", "surrogatepass")),
    LONGEST_COLLECTION,
    _collection_impossible,
)


def _check_known(asked: Mapping[str, str], databases: Collection[str], collections: Collection[str]) -> None:
    for name in asked:
        if name in databases and name in collections:
            raise InvalidRequestError(
                f"{name!r} is both a database and a collection, so its new name cannot be told apart.",
                "Leave it out of names; restore with the names that the plan makes.",
                code="ambiguous_name",
            )
        if name not in databases and name not in collections:
            raise InvalidRequestError(
                f"names mentions {name!r}, which is neither a database nor a collection of this restore.",
                f"Databases: {', '.join(sorted(databases)) or 'none'}. "
                f"Collections: {', '.join(sorted(collections)[:10]) or 'none'}.",
                code="unknown_name",
            )


def _choose(
    rules: _Rules,
    sources: Iterable[str],
    asked: Mapping[str, str],
    existing: Collection[str],
    in_place: bool,
    prefix: str,
) -> dict[str, str]:
    taken = {rules.same(name) for name in existing}
    chosen: dict[str, str] = {}
    used: set[str] = set()
    for source in sorted(
        sources, key=lambda name: (name not in asked, name)
    ):  # what was asked for comes first
        if source in asked:
            name = asked[source]
            _check(rules, name)
            if not in_place and rules.same(name) in taken:
                raise InvalidRequestError(
                    f"The {rules.what} {name!r}, asked for as the new name of {source!r}, exists.",
                    "Choose another name, leave the name to the plan, or ask for a restore in place.",
                    code="name_taken",
                )
        elif in_place or rules.same(source) not in taken | used:
            name = source
        else:
            name = _free(rules, source, prefix, "", taken | used)
        if rules.same(name) in used:
            raise InvalidRequestError(
                f"Two {rules.what}s would be restored as {name!r}.",
                "Give each of them a name of its own.",
                code="duplicate_name",
            )
        used.add(rules.same(name))
        chosen[source] = name
    return dict(sorted(chosen.items()))


def _check(rules: _Rules, name: str) -> None:
    bad = next((char for char in name if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}), None)
    if not name:
        problem: str | None = "is empty"
    elif bad is not None:
        problem = f"contains the control character U+{ord(bad):04X}"
    elif rules.length(name) > rules.longest:
        problem = f"is {rules.length(name)} long, and {rules.longest} is the most"
    else:
        problem = rules.impossible(name)
    if problem:
        raise InvalidRequestError(
            f"The new name {name[:LONGEST_DATABASE]!r} of a {rules.what} {problem}.",
            "Choose another name in names.",
            code="invalid_name",
        )


def _free(rules: _Rules, source: str, prefix: str, suffix: str, taken: Collection[str]) -> str:
    """The first name made of prefix, source and suffix, with a number where that is taken, that is free."""
    number = 1
    while True:
        begin, end = prefix, suffix
        if number > 1:
            begin, end = (f"{prefix}{number}_", suffix) if prefix else (prefix, f"{suffix}_{number}")
        stem = source
        while rules.length(begin + stem + end) > rules.longest:
            stem = stem[:-1]
        name = begin + (stem.rstrip(" ") or stem) + end  # a database's name may not end with a space
        if rules.same(name) not in taken:
            return name
        number += 1
