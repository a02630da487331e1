"""The operations of the REST API, one function each, and the table of their paths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from local.qdrant import config, monitoring, payload_indexes, points, recovery, snapshots
from local.qdrant.answers import VARY, Body, QdrantError, flag, not_part
from local.qdrant.download import download
from local.qdrant.node import COMMIT, VERSION, Node
from local.qdrant.registry import Collection, Registry, valid_name
from local.qdrant.server import Call, route
from local.qdrant.uploads import upload_route


def root(_call: Call) -> Response:
    """Name and version; no envelope."""
    facts = {"title": "qdrant - vector search engine", "version": VERSION, "commit": COMMIT}
    return JSONResponse(facts, headers={"vary": VARY})


def text(content: str) -> Callable[[Call], Response]:
    """A probe that answers with one sentence."""
    return lambda _call: PlainTextResponse(content, headers={"vary": VARY})


def metrics(call: Call) -> Response:
    """Prometheus' lines."""
    return PlainTextResponse(monitoring.metrics(call.node), headers={"vary": VARY})


def telemetry(call: Call) -> Response:
    """Counters, more of them at a higher level."""
    level = call.query.get("details_level", "0")
    if not level.isdigit():
        raise QdrantError(400, "Deserialize error in query parameters: invalid digit found in string")
    return call.reply(monitoring.telemetry(call.node, int(level)))


def list_collections(call: Call) -> Response:
    """The names of all collections."""
    return call.reply({"collections": [{"name": name} for name in call.node.registry.names()]})


def create_collection(call: Call) -> Response:
    """A new, empty collection."""
    call.node.registry.create(valid_name(call.collection), config.from_request(call.body))
    return call.reply(True)


def change_collection(call: Call) -> Response:
    """Another configuration for a collection; an empty change only wakes its optimizers."""
    collection = call.node.registry.get(call.collection)
    with collection.lock:
        collection.reconfigure(config.changed(collection.config, call.body))
    return call.reply(True)


def change_aliases(call: Call) -> Response:
    """Alias actions, one by one: those before the one that fails stay done."""
    for action in call.body.only("actions").need("actions"):
        _change_alias(call.node.registry, Body(action).only("create_alias", "delete_alias", "rename_alias"))
    return call.reply(True)


def _change_alias(registry: Registry, action: Body) -> None:
    kind, given = next(iter(action.fields.items()))
    change = Body(given)
    match kind:
        case "create_alias":
            change.only("alias_name", "collection_name")
            registry.create_alias(change.need("alias_name"), change.need("collection_name"))
        case "delete_alias":
            registry.delete_alias(change.only("alias_name").need("alias_name"))
        case _:
            change.only("old_alias_name", "new_alias_name")
            registry.rename_alias(change.need("old_alias_name"), change.need("new_alias_name"))


def written(call: Call, operation: int) -> Response:
    """The answer to a write, which is done when it goes out, also to a client that did not ask to wait."""
    waited = flag(call.query, "wait", False)
    return call.reply({"operation_id": operation, "status": "completed" if waited else "acknowledged"})


def create_index(call: Call) -> Response:
    """An index over a payload field."""
    collection = call.node.registry.get(call.collection)
    field, schema = payload_indexes.requested(call.body)
    with collection.lock:
        collection.writable()
        collection.index(field, schema)
        return written(call, collection.next_operation())


def delete_index(call: Call) -> Response:
    """No index over a payload field any more."""
    collection = call.node.registry.get(call.collection)
    with collection.lock:
        collection.drop_index(call.path["field"])
        return written(call, collection.next_operation())


def write(operation: Callable[[Collection, Body], int]) -> Callable[[Call], Response]:
    """A handler for a change of points."""

    def handler(call: Call) -> Response:
        return written(call, operation(call.node.registry.get(call.collection), call.body))

    return handler


def read(operation: Callable[[Collection, Body], Any]) -> Callable[[Call], Response]:
    """A handler for a question about points."""
    return lambda call: call.reply(operation(call.node.registry.get(call.collection), call.body))


def about(facts: Callable[[Collection], Any]) -> Callable[[Call], Response]:
    """A handler for a question about a collection."""
    return lambda call: call.reply(facts(call.node.registry.get(call.collection)))


def count(call: Call) -> Response:
    """How many points there are."""
    collection = call.node.registry.get(call.collection)
    return call.reply({"count": points.count(collection, call.optional_body)})


def list_snapshots(call: Call) -> Response:
    """The snapshots of a collection."""
    return call.reply(snapshots.listing(call.node, call.collection))


def create_snapshot(call: Call) -> Response:
    """A new snapshot of a collection."""
    return call.now_or_later(lambda: snapshots.create(call.node, call.collection))


def delete_snapshot(call: Call) -> Response:
    """One snapshot less."""
    return call.now_or_later(lambda: snapshots.delete(call.node, call.collection, call.path["snapshot"]))


def download_snapshot(call: Call) -> Response:
    """The bytes of a snapshot; its errors are plain text."""
    try:
        file = snapshots.find(call.node, call.collection, call.path["snapshot"])
    except QdrantError as error:
        raise QdrantError(error.status, error.text, plain=True) from error
    return download(file, call.headers, call.node.faults.strike("download_cut_after"))


def recover(call: Call) -> Response:
    """A collection from a snapshot elsewhere."""
    name, wanted = valid_name(call.collection), recovery.order(call.body)
    return call.now_or_later(lambda: recovery.recover(call.node, name, wanted))


def recover_shard(call: Call) -> Response:
    """Only the refusal of remote locations is here; the rest of the shard operations is not."""
    if not call.node.url_recovery and str(call.body.need("location")).startswith("http"):
        recovery.refuse_remote()
    raise not_part("Recovery of a single shard")


def missing(what: str) -> Callable[[Call], Response]:
    """A handler for an operation that only a real server has."""

    def handler(_call: Call) -> Response:
        raise not_part(what)

    return handler


def order_fault(call: Call) -> Response:
    """A test orders a fault."""
    call.node.faults.order(call.body)
    return call.reply(True)


def forget_faults(call: Call) -> Response:
    """A test wants no faults any more."""
    call.node.faults.forget()
    return call.reply(True)


def settle(call: Call) -> Response:
    """A test waits for the work that nobody else waits for."""
    call.node.background.wait()
    return call.reply(True)


READS: tuple[tuple[str, str, Callable[[Call], Response]], ...] = (
    ("GET", "/", root),
    ("GET", "/healthz", text("healthz check passed")),
    ("GET", "/livez", text("healthz check passed")),
    ("GET", "/readyz", text("all shards are ready")),
    ("GET", "/telemetry", telemetry),
    ("GET", "/metrics", metrics),
    ("GET", "/cluster", lambda call: call.reply({"status": "disabled"})),
    ("GET", "/collections", list_collections),
    ("GET", "/aliases", lambda call: call.reply({"aliases": call.node.registry.aliases()})),
    ("GET", "/snapshots", lambda call: call.reply([])),
)
OF_COLLECTION: tuple[tuple[str, str, Callable[[Call], Response]], ...] = (
    ("GET", "", about(monitoring.info)),
    ("GET", "/exists", lambda call: call.reply({"exists": bool(call.node.registry.find(call.collection))})),
    ("GET", "/aliases", lambda call: call.reply({"aliases": call.node.registry.aliases(call.collection)})),
    (
        "GET",
        "/cluster",
        lambda call: call.reply(monitoring.placement(call.node, call.node.registry.get(call.collection))),
    ),
    ("GET", "/optimizations", about(monitoring.optimizations)),
    ("POST", "/points/count", count),
    ("POST", "/points/scroll", read(points.scroll)),
    ("POST", "/points/query", read(points.query)),
    ("POST", "/points", read(points.retrieve)),
    (
        "GET",
        "/points/{point}",
        lambda call: call.reply(points.one(call.node.registry.get(call.collection), call.path["point"])),
    ),
    ("POST", "/facet", read(points.facet)),
    ("GET", "/snapshots", list_snapshots),
    ("GET", "/snapshots/{snapshot}", download_snapshot),
    ("GET", "/shards/{shard}/snapshots", missing("The list of a shard's snapshots")),
    ("GET", "/shards/{shard}/snapshot", missing("The stream of a shard's snapshot")),
)
CHANGES: tuple[tuple[str, str, Callable[[Call], Response]], ...] = (
    ("PUT", "", create_collection),
    ("PATCH", "", change_collection),
    ("DELETE", "", lambda call: call.reply(call.node.registry.delete(call.collection))),
    ("PUT", "/index", create_index),
    ("DELETE", "/index/{field}", delete_index),
    ("PUT", "/points", write(points.upsert)),
    ("POST", "/points/delete", write(points.delete)),
    ("POST", "/snapshots", create_snapshot),
    ("DELETE", "/snapshots/{snapshot}", delete_snapshot),
    ("PUT", "/snapshots/recover", recover),
    ("POST", "/shards/{shard}/snapshots", missing("A snapshot of a single shard")),
    ("PUT", "/shards/{shard}/snapshots/recover", recover_shard),
    ("POST", "/shards/{shard}/snapshots/upload", missing("Upload of a single shard")),
)


def routes(node: Node) -> list[Route]:
    """Every path and method that is answered."""
    prefix = "/collections/{collection}"
    return [
        *(route(node, method, path, handler) for method, path, handler in READS),
        route(node, "POST", "/collections/aliases", change_aliases, manage=True),
        route(node, "POST", "/snapshots", missing("A snapshot of the whole storage"), manage=True),
        upload_route(node),
        *(route(node, method, prefix + path, handler) for method, path, handler in OF_COLLECTION),
        *(route(node, method, prefix + path, handler, manage=True) for method, path, handler in CHANGES),
        route(node, "POST", "/_standin/faults", order_fault),
        route(node, "DELETE", "/_standin/faults", forget_faults),
        route(node, "POST", "/_standin/settle", settle),
    ]
