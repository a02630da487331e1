"""Filters of the REST API, translated for the engine. What is not known here is refused."""

from __future__ import annotations

import uuid
from typing import Any

import qdrant_edge as edge

from local.qdrant.answers import Body, QdrantError, not_part

PointId = int | uuid.UUID | str  # as the engine types it; what comes out of point_id is never a str
RANGES = ("gte", "gt", "lte", "lt")


def parse(given: Any) -> edge.Filter | None:
    """The engine's filter; None for none.

    Raises:
        QdrantError: a clause or condition that the stand-in does not know.
    """
    if given is None:
        return None
    body = Body(given, where="JSON body (filter)").only("must", "should", "must_not")
    with body.fits("Condition"):
        return edge.Filter(
            must=_conditions(body.fields.get("must")),
            should=_conditions(body.fields.get("should")),
            must_not=_conditions(body.fields.get("must_not")),
        )


def _conditions(given: Any) -> list[Any] | None:
    if given is None:
        return None
    return [_condition(one) for one in (given if isinstance(given, list) else [given])]


def _condition(given: dict[str, Any]) -> Any:
    body = Body(given, where="JSON body (filter condition)")
    if "has_id" in given:
        body.only("has_id")
        return edge.HasIdCondition({point_id(one) for one in given["has_id"]})
    if {"must", "should", "must_not"} & given.keys():
        return parse(given)
    if "is_empty" in given:
        key = Body(body.only("is_empty").get("is_empty", dict)).only("key").need("key")
        return edge.IsEmptyCondition(key)
    if "is_null" in given or "nested" in given or "has_vector" in given:
        raise not_part(f"The filter condition {next(iter(given))}")
    body.only("key", "match", "range").need("key")
    if "match" in given:
        return edge.FieldCondition(given["key"], match=_match(given["match"]))
    return edge.FieldCondition(given["key"], range=_range(body.need("range")))


def _match(given: dict[str, Any]) -> Any:
    body = Body(given, where="JSON body (match)").only("value", "any")
    values = given["any"] if "any" in given else [body.need("value")]
    if any(isinstance(value, bool) for value in values):  # the engine's binding takes them for 0 and 1
        raise not_part("A match with true or false")
    return edge.MatchAny(values) if "any" in given else edge.MatchValue(values[0])


def _range(given: dict[str, Any]) -> Any:
    Body(given, where="JSON body (range)").only(*RANGES)
    bounds = {name: value for name, value in given.items() if value is not None}
    if any(isinstance(value, str) for value in bounds.values()):
        return edge.RangeDateTime(**bounds)
    return edge.RangeFloat(**bounds)


def point_id(given: Any) -> PointId:
    """A point's id: an unsigned integer or a UUID.

    Raises:
        QdrantError: neither.
    """
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return given
    try:
        return uuid.UUID(given)
    except (ValueError, AttributeError, TypeError):
        raise QdrantError(
            400,
            f"Format error in JSON body: value {given} is not a valid point ID, valid values are either an "
            "unsigned integer or a UUID",
        ) from None
