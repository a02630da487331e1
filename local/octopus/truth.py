"""Everything that both stores hold, read back and compared: the demo's proof.

Read without the product's own filters (they hide deleted episodes), straight from the stores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import pyodbc

from local.octopus.rows import unit_of_work
from local.octopus.vectors import Vectors

Value = str | int | float | bool | bytes | datetime | Decimal | None
SHOWN = 10
"""Differences named at most; the rest is counted."""


@dataclass(frozen=True)
class Point:
    """What a point holds beside its id."""

    payload: dict[str, object]
    vector: list[float]


@dataclass(frozen=True)
class Table:
    """All rows of a table, in the order of their keys; the key is the first column of each of the tables."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Truth:
    """Both stores at one moment: tables by name, collections by name with their points by id."""

    tables: dict[str, Table]
    collections: dict[str, dict[str, Point]]

    @property
    def row_count(self) -> int:
        """Rows of all tables."""
        return sum(map(len, self.tables.values()))

    @property
    def point_count(self) -> int:
        """Points of all collections."""
        return sum(map(len, self.collections.values()))


def read(sql: str, qdrant: str) -> Truth:
    """Read both stores; nothing may be written meanwhile.

    Args:
        sql: ODBC connection string with DRIVER and DATABASE.
        qdrant: address of the Qdrant server.

    Raises:
        pyodbc.Error: SQL Server does not answer or refuses.
        httpx.HTTPError: Qdrant does.
    """
    return Truth(rows(sql), points(qdrant))


def rows(sql: str) -> dict[str, Table]:
    """Every table of the product and the history of its migrations."""
    with unit_of_work(sql) as connection:
        names = connection.execute(
            "SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_TYPE = N'BASE TABLE' "
            "AND (TABLE_NAME LIKE N'Octopus[_]%' OR TABLE_NAME = N'__EFMigrationsHistory')"
        ).fetchall()
        return {name: _table(connection, name) for name in sorted(str(row[0]) for row in names)}


def points(qdrant: str) -> dict[str, dict[str, Point]]:
    """Every point of every collection, with payload and vector."""
    vectors = Vectors(qdrant)
    try:
        return {
            name: {str(one["id"]): Point(one["payload"], one["vector"]) for one in vectors.scroll(name)}
            for name in vectors.collections()
        }
    finally:
        vectors.close()


def differences(expected: Truth, found: Truth) -> list[str]:
    """What is not as expected, in sentences, the first ten; none when both are the same."""
    named = [
        *_named("table", expected.tables, found.tables),
        *_named("collection", expected.collections, found.collections),
    ]
    for name in sorted(expected.tables.keys() & found.tables.keys()):
        named += _rows_apart(name, expected.tables[name], found.tables[name])
    for name in sorted(expected.collections.keys() & found.collections.keys()):
        named += _points_apart(name, expected.collections[name], found.collections[name])
    if len(named) > SHOWN:
        return [*named[:SHOWN], f"… and {len(named) - SHOWN} more differences."]
    return named


def unknown_agents(truth: Truth) -> list[str]:
    """Points that refer to an agent without a row in ``Octopus_Agents``, a sentence for each collection."""
    agents = truth.tables.get("Octopus_Agents", Table((), ()))
    known = {str(row[0]).lower() for row in agents.rows}
    found = []
    for name, collection in sorted(truth.collections.items()):
        strays = sum(str(point.payload.get("agentId")).lower() not in known for point in collection.values())
        if strays:
            found.append(f"{strays} points of {name} refer to an agent that SQL Server does not know.")
    return found


def _table(connection: pyodbc.Connection, name: str) -> Table:
    cursor = connection.execute(f"SELECT * FROM [{name.replace(']', ']]')}]")  # noqa: S608  # a quoted name
    columns = tuple(str(column[0]) for column in cursor.description)
    return Table(
        columns, tuple(sorted((tuple(row) for row in cursor.fetchall()), key=lambda row: str(row[0])))
    )


def _named(what: str, expected: Mapping[str, object], found: Mapping[str, object]) -> list[str]:
    return [f"The {what} {name} is missing." for name in sorted(expected.keys() - found.keys())] + [
        f"The {what} {name} should not be there." for name in sorted(found.keys() - expected.keys())
    ]


def _rows_apart(table: str, expected: Table, found: Table) -> list[str]:
    if expected.columns != found.columns:
        return [f"{table} has the columns {found.columns} instead of {expected.columns}."]
    wanted = {str(row[0]): row for row in expected.rows}
    there = {str(row[0]): row for row in found.rows}
    apart = _named(f"row of {table}", wanted, there)
    for key in sorted(wanted.keys() & there.keys()):
        for column, one, other in zip(expected.columns, wanted[key], there[key], strict=True):
            if one != other:
                apart.append(f"{table}, row {key}: {column} is {_short(other)} instead of {_short(one)}.")
    return apart


def _points_apart(collection: str, expected: dict[str, Point], found: dict[str, Point]) -> list[str]:
    apart = _named(f"point of {collection}", expected, found)
    for key in sorted(expected.keys() & found.keys()):
        one, other = expected[key], found[key]
        if one.payload != other.payload:
            fields = sorted(
                name
                for name in one.payload.keys() | other.payload.keys()
                if one.payload.get(name) != other.payload.get(name)
            )
            apart.append(f"{collection}, point {key}: its payload differs in {', '.join(fields)}.")
        if one.vector != other.vector:
            apart.append(f"{collection}, point {key}: its vector differs.")
    return apart


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
