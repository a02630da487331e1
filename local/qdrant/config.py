"""Collection configuration: what a client may ask for, what is kept and echoed, what the engine gets.

A configuration is kept in the shape of the server's own ``config.json`` (``CollectionConfigInternal``), which
is also what a snapshot carries and what ``GET /collections/{c}`` shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import qdrant_edge as edge

from local.qdrant.answers import Body, QdrantError, not_part

Config = dict[str, Any]

# Defaults of a real 1.19.0 server with its shipped configuration, as its collections report them.
HNSW = {
    "m": 16,
    "ef_construct": 100,
    "full_scan_threshold": 10000,
    "max_indexing_threads": 0,
    "on_disk": False,
}
OPTIMIZERS = {
    "deleted_threshold": 0.2,
    "vacuum_min_vector_number": 1000,
    "default_segment_number": 0,
    "max_segment_size": None,
    "memmap_threshold": None,
    "indexing_threshold": 10000,
    "flush_interval_sec": 5,
    "max_optimization_threads": None,
    "prevent_unoptimized": None,
}
WAL = {"wal_capacity_mb": 32, "wal_segments_ahead": 0, "wal_retain_closed": 1}
HNSW_FIELDS = (*HNSW, "payload_m")
CREATE_FIELDS = (
    "vectors",
    "sparse_vectors",
    "shard_number",
    "replication_factor",
    "write_consistency_factor",
    "on_disk_payload",
    "hnsw_config",
    "optimizers_config",
    "wal_config",
    "quantization_config",
)
DISTANCES = ("Cosine", "Euclid", "Dot", "Manhattan")
QUANTIZATIONS = {
    "scalar": ("type", "quantile", "always_ram"),
    "product": ("compression", "always_ram"),
    "binary": ("always_ram",),
}


def from_request(body: Body) -> Config:
    """The configuration of a new collection, completed with the server's defaults.

    Raises:
        QdrantError: a field or value that the stand-in does not know, or a size or distance that is missing.
    """
    body.only(*CREATE_FIELDS)
    vectors = body.get("vectors", dict, {})
    sparse = body.get("sparse_vectors", dict, {})
    if not vectors and not sparse:
        raise not_part("A collection without vectors")
    params: Config = {
        "vectors": _vectors(vectors),
        "shard_number": positive(body, "shard_number"),
        "replication_factor": positive(body, "replication_factor"),
        "write_consistency_factor": positive(body, "write_consistency_factor"),
        "on_disk_payload": body.get("on_disk_payload", bool, True),
    }
    if sparse:
        for name, options in sparse.items():
            if options:
                raise not_part(f"Options of the sparse vector {name}")
        params["sparse_vectors"] = sparse
    return {
        "params": params,
        "hnsw_config": {**HNSW, **part(body, "hnsw_config", HNSW_FIELDS)},
        "optimizer_config": {**OPTIMIZERS, **part(body, "optimizers_config", tuple(OPTIMIZERS))},
        "wal_config": {**WAL, **part(body, "wal_config", tuple(WAL))},
        "quantization_config": quantization(body),
        "uuid": None,
    }


def changed(config: Config, body: Body) -> Config:
    """The configuration after ``PATCH /collections/{c}``.

    Raises:
        QdrantError: a field that the stand-in does not know.
    """
    body.only("optimizers_config", "hnsw_config", "quantization_config")
    result = dict(config)
    result["optimizer_config"] = {
        **config["optimizer_config"],
        **part(body, "optimizers_config", tuple(OPTIMIZERS)),
    }
    result["hnsw_config"] = {**config["hnsw_config"], **part(body, "hnsw_config", HNSW_FIELDS)}
    if body.get("quantization_config", dict):
        result["quantization_config"] = quantization(body)
    return result


def positive(body: Body, name: str) -> int:
    """A count that defaults to 1 and may not be less."""
    value = int(body.get(name, int, 1))
    if value < 1:
        raise QdrantError(
            422, f"Validation error in JSON body: [{name}: value {value} invalid, must be 1 or larger]"
        )
    return value


def part(body: Body, name: str, known: tuple[str, ...]) -> Config:
    """One nested part of the configuration, without its nulls."""
    given: Config = body.get(name, dict, {})
    Body(given, body.raw).only(*known)
    return {key: value for key, value in given.items() if value is not None}


def quantization(body: Body) -> Config | None:
    """The quantization, kept as it was sent."""
    given: Config | None = body.get("quantization_config", dict)
    if given is not None:
        Body(given, body.raw).only(*QUANTIZATIONS)
        for kind, options in given.items():
            Body(options, body.raw).only(*QUANTIZATIONS[kind])
    return given


def _vectors(vectors: Config) -> Config:
    if "size" in vectors:
        return _vector(vectors)
    return {name: _vector(options) for name, options in vectors.items()}


def _vector(given: Config) -> Config:
    options = Body(given).only("size", "distance", "on_disk", "hnsw_config", "quantization_config")
    options.need("size")
    options.need("distance")
    distance = options.choice("distance", *DISTANCES, default="")
    result: Config = {"size": positive(options, "size"), "distance": distance}
    for name in ("hnsw_config", "quantization_config", "on_disk"):
        if given.get(name) is not None:
            result[name] = given[name]
    return result


def named(vectors: Config) -> dict[str, Config]:
    """Vector parameters by name; the single unnamed vector has the name ``""``."""
    return {"": vectors} if "size" in vectors else vectors


def for_engine(config: Config) -> edge.EdgeConfig:
    """What the engine needs to create or open a shard of the collection.

    One search thread: with the default, 60 shards ran 505 threads.
    """
    params = config["params"]
    vectors = {
        name: edge.EdgeVectorParams(
            size=options["size"],
            distance=getattr(edge.Distance, options["distance"]),
            on_disk=options.get("on_disk"),
        )
        for name, options in named(params.get("vectors") or {}).items()
    }
    sparse = {name: edge.EdgeSparseVectorParams() for name in params.get("sparse_vectors") or {}}
    return edge.EdgeConfig(
        vectors=vectors,
        sparse_vectors=sparse,
        on_disk_payload=params.get("on_disk_payload"),
        max_search_threads=1,
    )


def described(vectors: Config) -> str:
    """Vector parameters as the server prints them when a snapshot does not fit a collection."""
    if "size" in vectors:
        return f"Single({_described(vectors)})"
    inner = ", ".join(f'"{name}": {_described(vectors[name])}' for name in sorted(vectors))
    return f"Multi({{{inner}}})"


def _described(options: Mapping[str, Any]) -> str:
    on_disk = options.get("on_disk")
    shown = "None" if on_disk is None else f"Some({str(on_disk).lower()})"
    return (
        f"VectorParams {{ size: {options['size']}, distance: {options['distance']}, hnsw_config: None, "
        f"quantization_config: None, on_disk: {shown}, memory: None, datatype: None, "
        "multivector_config: None }"
    )
