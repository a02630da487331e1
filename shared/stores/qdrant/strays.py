"""Points whose payload names another agent or tenant than the one that their collection belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from shared.errors import QdrantError, RefusedError
from shared.model.base import Document
from shared.octopus.payload import AGENT, SOURCE, TENANT, spellings
from shared.stores.qdrant.client import Peer
from shared.stores.qdrant.pages import count, every, refused_filter

EXAMPLES = 5


class Strays(Document):
    """What a look at the payloads of one collection found; counts are exact."""

    collection: str
    other_agent: int = Field(0, description="points that name an agent that is not expected here")
    without_agent: int = Field(0, description="points that name no agent")
    other_tenant: int = 0
    without_tenant: int = 0
    examples: tuple[dict[str, Any], ...] = Field((), description="id and fields of a few such points")
    not_judged: str = Field("", description="why it could not be told; empty if it could")

    @property
    def disagreeing(self) -> bool:
        """Whether a point names somebody who is not expected."""
        return bool(self.other_agent or self.other_tenant)


class Expected(Document):
    """Who may be named in the payloads of a collection, in any spelling; ``tenants`` None: not compared."""

    agents: tuple[str, ...]
    tenants: tuple[str, ...] | None = None
    agentless: bool = Field(False, description="whether it is in order that a point names no agent")


def strays(peer: Peer, collection: str, expected: Expected) -> Strays:
    """Compare the payloads of a collection with who is expected in them.

    One exact count answers where all is well. Works without a payload index, by reading every payload in the
    server; where strict mode forbids that, every point is read through us, up to ``pages.MOST_READ``.

    Args:
        peer: any peer.
        collection: the collection.
        expected: who may be named.

    Raises:
        UnreachableError: the server does not answer.
    """
    wanted = _Wanted(expected)
    try:
        return _counted(peer, collection, wanted)
    except QdrantError as error:
        if not refused_filter(error):
            return Strays(collection=collection, not_judged=error.message)
    try:
        return _read(peer, collection, wanted)
    except (QdrantError, RefusedError) as error:
        return Strays(collection=collection, not_judged=error.message)


class _Wanted:
    """The fields that are compared, with the values that are in order."""

    def __init__(self, expected: Expected) -> None:
        self.agentless = expected.agentless
        self.values: dict[str, list[str]] = {AGENT: spellings(expected.agents)}
        if expected.tenants is not None:
            self.values[TENANT] = spellings(expected.tenants)

    def fits(self, field: str) -> list[dict[str, Any]]:
        """Conditions, one of which holds for a value that is in order; none can hold if the list is empty."""
        values = self.values[field]
        numbers = [int(value) for value in values if value.isascii() and value.isdigit()]
        found = [{"key": field, "match": {"any": values}}] if values else []
        return found + ([{"key": field, "match": {"any": numbers}}] if numbers else [])

    def lacks(self, field: str) -> bool:
        """Whether a point without the field is out of order."""
        return not (field == AGENT and self.agentless)


def _empty(field: str) -> dict[str, Any]:
    return {"is_empty": {"key": field}}


def _in_order(wanted: _Wanted, field: str) -> dict[str, Any] | None:
    either = wanted.fits(field) + ([] if wanted.lacks(field) else [_empty(field)])
    return {"should": either} if either else None


def _counted(peer: Peer, collection: str, wanted: _Wanted) -> Strays:
    fine = [_in_order(wanted, field) for field in wanted.values]
    out_of_order: dict[str, Any] = {}
    if all(fine):
        out_of_order = {"must_not": [{"must": fine}]}
        if not count(peer, collection, out_of_order):
            return Strays(collection=collection)
    other = {
        field: count(peer, collection, {"must_not": [*wanted.fits(field), _empty(field)]})
        for field in wanted.values
    }
    without = {field: count(peer, collection, {"must": [_empty(field)]}) for field in wanted.values}
    body = {
        "limit": EXAMPLES, "with_payload": [AGENT, TENANT, SOURCE], "with_vector": False,
        **({"filter": out_of_order} if out_of_order else {}),
    }  # fmt: skip
    shown = peer.read("collections", collection, "points", "scroll", body=body)["points"]
    return Strays(
        collection=collection,
        other_agent=other[AGENT],
        without_agent=without[AGENT],
        other_tenant=other.get(TENANT, 0),
        without_tenant=without.get(TENANT, 0),
        examples=tuple(_example(point) for point in shown),
    )


def _read(peer: Peer, collection: str, wanted: _Wanted) -> Strays:
    """The same, told apart here instead of in the server."""
    known = {field: frozenset(values) for field, values in wanted.values.items()}
    other, without = dict.fromkeys(known, 0), dict.fromkeys(known, 0)
    examples: list[dict[str, Any]] = []
    for point in every(peer, collection, [AGENT, TENANT, SOURCE]):
        odd = False
        for field, values in known.items():
            named = _named(point, field)
            if not named:
                without[field] += 1
                odd |= wanted.lacks(field)
            elif not named & values:
                other[field] += 1
                odd = True
        if odd and len(examples) < EXAMPLES:
            examples.append(_example(point))
    return Strays(
        collection=collection,
        other_agent=other[AGENT],
        without_agent=without[AGENT],
        other_tenant=other.get(TENANT, 0),
        without_tenant=without.get(TENANT, 0),
        examples=tuple(examples),
    )


def _named(point: Mapping[str, Any], field: str) -> frozenset[str]:
    value = (point["payload"] or {}).get(field)
    values = value if isinstance(value, list) else [] if value is None else [value]
    return frozenset(str(one) for one in values)


def _example(point: Mapping[str, Any]) -> dict[str, Any]:
    payload = point["payload"] or {}
    return {"id": str(point["id"]), **{name: payload.get(name) for name in (AGENT, TENANT, SOURCE)}}
