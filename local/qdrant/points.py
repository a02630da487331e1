"""Points: written to and read from the engine's shards, merged into one answer."""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Mapping
from typing import Any

import qdrant_edge as edge

from local.qdrant import filters
from local.qdrant.answers import Body, not_found, not_part
from local.qdrant.filters import PointId
from local.qdrant.registry import Collection

ALL = 2**31  # more than any facet here has
LOWER_IS_NEARER = ("Euclid", "Manhattan")


def upsert(collection: Collection, body: Body) -> int:
    """Write points; a point that is there already is replaced. Returns the operation's number."""
    if "batch" in body.fields:
        raise not_part("An upsert in the form of a batch")
    body.only("points").need("points")
    points = [_point(Body(one, body.raw)) for one in body.get("points", list)]
    with collection.lock:
        collection.writable()
        for shard_id, part in _spread(collection, points).items():
            with collection.shard(shard_id) as shard:
                shard.update(edge.UpdateOperation.upsert_points(part))
        return collection.next_operation()


def _point(body: Body) -> edge.Point:
    body.only("id", "vector", "payload")
    vector = body.need("vector")
    if isinstance(vector, dict):
        vector = {name: _vector(one) for name, one in vector.items()}
    with body.fits("VectorStruct"):
        return edge.Point(filters.point_id(body.need("id")), vector, body.get("payload", dict, {}))


def _vector(given: Any) -> Any:
    if isinstance(given, dict):
        body = Body(given).only("indices", "values")
        with body.fits("VectorStruct"):
            return edge.SparseVector(body.need("indices"), body.need("values"))
    return given


def _spread(collection: Collection, points: list[edge.Point]) -> dict[int, list[edge.Point]]:
    """Points by shard: where the id is already, else by a hash of it.

    A recovered snapshot of a real server has its points where that server's hash put them.
    """
    count = len(collection.shard_ids)
    if count == 1:
        return {0: points}
    home: dict[PointId, int] = {}
    for shard_id in collection.shard_ids:
        with collection.shard(shard_id) as shard:
            home.update(
                {record.id: shard_id for record in shard.retrieve([p.id for p in points], False, False)}
            )
    spread: dict[int, list[edge.Point]] = {}
    for point in points:
        hashed = zlib.crc32(str(point.id).encode()) % count
        spread.setdefault(home.get(point.id, hashed), []).append(point)
    return spread


def delete(collection: Collection, body: Body) -> int:
    """Delete points by id or by filter. Returns the operation's number."""
    body.only("points", "filter")
    if "filter" in body.fields:
        operation = edge.UpdateOperation.delete_points_by_filter(
            filters.parse(body.need("filter")) or edge.Filter()
        )
    else:
        ids = [filters.point_id(one) for one in body.need("points")]
        operation = edge.UpdateOperation.delete_points(ids)
    with collection.lock:
        collection.writable()
        for shard_id in collection.shard_ids:
            with collection.shard(shard_id) as shard:
                shard.update(operation)
        return collection.next_operation()


def count(collection: Collection, body: Body) -> int:
    """How many points there are; exactly, unless the client asks for an estimate."""
    body.only("filter", "exact")
    request = edge.CountRequest(
        exact=body.get("exact", bool, True), filter=filters.parse(body.fields.get("filter"))
    )
    return sum(collection.ask("count", lambda shard: shard.count(request)))


def retrieve(collection: Collection, body: Body) -> list[dict[str, Any]]:
    """Points by id; ids that are not there are left out."""
    body.only("ids", "with_payload", "with_vector").need("ids")
    ids = [filters.point_id(one) for one in body.get("ids", list)]
    payload, vector = _selection(body, payload=True)
    answers = collection.ask("retrieve", lambda shard: shard.retrieve(ids, payload, vector))
    found = {record.id: record for answer in answers for record in answer}
    return [_record(found[wanted]) for wanted in ids if wanted in found]


def one(collection: Collection, given: str) -> dict[str, Any]:
    """One point with payload and vector.

    Raises:
        QdrantError: 404.
    """
    wanted: Any = int(given) if given.isdigit() else given
    found = retrieve(collection, Body({"ids": [wanted], "with_vector": True}))
    if not found:
        raise not_found(f"Point with id {given} does not exists!")
    return found[0]


def scroll(collection: Collection, body: Body) -> dict[str, Any]:
    """A page of points in the order of their ids, or of a payload field that has a range index."""
    body.only("limit", "filter", "offset", "with_payload", "with_vector", "order_by")
    limit = int(body.get("limit", int, 10))
    offset = body.fields.get("offset")
    order = _order(body.fields.get("order_by"))
    payload, vector = _selection(body, payload=True)
    request = edge.ScrollRequest(
        offset=None if offset is None else filters.point_id(offset),
        limit=limit,
        filter=filters.parse(body.fields.get("filter")),
        with_payload=payload,
        with_vector=vector,
        order_by=order,
    )
    pages = collection.ask("Scroll", lambda shard: shard.scroll(request))
    records = [record for page, _ in pages for record in page]
    if order:
        records.sort(
            key=lambda record: record.order_value or 0, reverse=order.direction == edge.Direction.Desc
        )
        return {"points": [_record(one) for one in records[:limit]], "next_page_offset": None}
    records.sort(key=lambda record: _rank(record.id))
    following = [record.id for record in records[limit:]] + [after for _, after in pages if after is not None]
    return {
        "points": [_record(one) for one in records[:limit]],
        "next_page_offset": _shown_id(min(following, key=_rank)) if following else None,
    }


def _order(given: Any) -> edge.OrderBy | None:
    if given is None:
        return None
    if isinstance(given, str):
        return edge.OrderBy(given, edge.Direction.Asc)
    body = Body(given).only("key", "direction")
    descending = body.choice("direction", "asc", "desc", default="asc") == "desc"
    return edge.OrderBy(body.need("key"), edge.Direction.Desc if descending else edge.Direction.Asc)


def query(collection: Collection, body: Body) -> dict[str, Any]:
    """The points nearest to a vector."""
    body.only(
        "query",
        "using",
        "limit",
        "offset",
        "filter",
        "with_payload",
        "with_vector",
        "score_threshold",
        "params",
    )
    target = body.need("query")
    if not isinstance(target, list) and not (isinstance(target, dict) and "indices" in target):
        raise not_part("A query by anything but a vector")
    limit, offset = int(body.get("limit", int, 10)), int(body.get("offset", int, 0))
    using = body.get("using", str, "")
    payload, vector = _selection(body, payload=False)
    request = edge.QueryRequest(
        limit=limit + offset,
        query=edge.Query.Nearest(_vector(target), using=using or None),
        with_payload=payload,
        with_vector=vector,
        filter=filters.parse(body.fields.get("filter")),
        score_threshold=body.get("score_threshold", (int, float)),
        params=_search_params(body.get("params", dict)),
    )
    hits = [hit for answer in collection.ask("query", lambda shard: shard.query(request)) for hit in answer]
    vectors = collection.config["params"]["vectors"]
    distance = (vectors if "size" in vectors else vectors.get(using, {})).get("distance")
    hits.sort(key=lambda hit: hit.score, reverse=distance not in LOWER_IS_NEARER)
    return {"points": [_scored(hit) for hit in hits[offset : offset + limit]]}


def _search_params(given: dict[str, Any] | None) -> edge.SearchParams | None:
    if given is None:
        return None
    Body(given).only("exact", "hnsw_ef")
    return edge.SearchParams(exact=given.get("exact", False), hnsw_ef=given.get("hnsw_ef"))


def facet(collection: Collection, body: Body) -> dict[str, Any]:
    """The values of an indexed payload field, and how many points have each."""
    body.only("key", "limit", "filter", "exact").need("key")
    request = edge.FacetRequest(
        key=body.get("key", str),
        limit=ALL,
        exact=body.get("exact", bool, False),
        filter=filters.parse(body.fields.get("filter")),
    )
    totals: dict[Any, int] = {}
    for answer in collection.ask("facet", lambda shard: shard.facet(request)):
        for hit in answer.hits:
            totals[hit.value] = totals.get(hit.value, 0) + hit.count
    ranked = sorted(totals.items(), key=lambda item: (-item[1], str(item[0])))
    hits = [{"value": value, "count": number} for value, number in ranked]
    return {"hits": hits[: int(body.get("limit", int, 10))]}


def _selection(body: Body, *, payload: bool) -> tuple[Any, Any]:
    with_payload = body.get("with_payload", (bool, list, dict), payload)
    if isinstance(with_payload, dict):
        Body(with_payload).only("include")
        with_payload = with_payload["include"]
    return with_payload, body.get("with_vector", (bool, list), False)


def _rank(point_id: PointId) -> tuple[bool, int]:
    """The order in which a server lists ids: numbers first, then UUIDs."""
    if isinstance(point_id, int):
        return False, point_id
    return True, uuid.UUID(str(point_id)).int


def _shown_id(point_id: PointId) -> int | str:
    return point_id if isinstance(point_id, int) else str(point_id)


def _record(record: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": _shown_id(record.id)}
    if record.payload is not None:
        shown["payload"] = record.payload
    if record.vector is not None:
        shown["vector"] = shown_vector(record.vector)
    if getattr(record, "order_value", None) is not None:
        shown["order_value"] = record.order_value
    return shown


def _scored(hit: edge.ScoredPoint) -> dict[str, Any]:
    shown = {"id": _shown_id(hit.id), "version": hit.version, "score": single(hit.score)}
    return shown | {key: value for key, value in _record(hit).items() if key in ("payload", "vector")}


def shown_vector(vector: Any) -> Any:
    """A vector as JSON, each number with the fewest digits that single precision needs."""
    if isinstance(vector, Mapping):
        return {name: shown_vector(one) for name, one in vector.items()}
    if isinstance(vector, edge.SparseVector):
        return {"indices": list(vector.indices), "values": [single(value) for value in vector.values]}
    return [single(value) if isinstance(value, float) else shown_vector(value) for value in vector]


def single(value: float) -> float:
    """The shortest decimal number that is the same 32-bit float; the engine hands out 64-bit ones."""
    wanted = struct.pack("f", value)
    for digits in (6, 7, 8):
        short = float(f"{value:.{digits}g}")
        if struct.pack("f", short) == wanted:
            return short
    return float(f"{value:.9g}")
