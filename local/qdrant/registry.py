"""The collections and aliases of the stand-in, kept in the same folders as on a real server.

Below the data folder: ``storage/collections/{name}/`` (configuration and one folder per shard),
``storage/aliases/data.json``, ``storage/tmp/``, ``snapshots/{name}/``.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from local.qdrant import shards
from local.qdrant.answers import QdrantError, bad_input, collection_exists, internal, no_collection, not_found
from local.qdrant.config import Config, for_engine
from local.qdrant.payload_indexes import Schema, engine_index

CRATE_VERSION = "0.4.2"  # what version.info of a real server's collections holds; not the server's version
DIRTY = "Dirty shard - shard is not fully initialized"
LOST = "Failed to restore local replica"
FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
LONGEST_NAME = 255
OPTIMIZING_SECONDS = 0.2  # measured on Qdrant 1.19.0: yellow for 0.07 s with 300 points


class Collection:
    """One collection: its configuration, payload indexes and shards. ``lock`` guards all of it."""

    def __init__(self, name: str, folder: Path, pool: shards.ShardPool) -> None:
        self.name = name
        self.folder = folder
        self.lock = threading.RLock()
        self.config: Config = json.loads((folder / "config.json").read_text())
        self.schema: Schema = json.loads((folder / "payload_index.json").read_text())["schema"]
        self.broken: str | None = DIRTY if self._marker.exists() else None
        self.busy_until = 0.0
        self.operations = 0
        self._pool = pool

    @property
    def _marker(self) -> Path:
        return self.folder / "shard_0_initializing"

    @property
    def shard_ids(self) -> range:
        """The ids of its shards; all are on this node."""
        return range(self.config["params"]["shard_number"])

    @property
    def busy(self) -> bool:
        """Whether an optimisation runs (status yellow)."""
        return time.monotonic() < self.busy_until

    def shard_folder(self, shard_id: int) -> Path:
        """Where a shard lives."""
        return self.folder / str(shard_id)

    @contextlib.contextmanager
    def shard(self, shard_id: int) -> Iterator[edge.EdgeShard]:
        """One shard, open; hold ``lock`` meanwhile."""
        with self._pool.use(self.shard_folder(shard_id), for_engine(self.config)) as shard:
            yield shard

    def ask[Answer](self, doing: str, question: Callable[[edge.EdgeShard], Answer]) -> list[Answer]:
        """The answer of every shard to a read that the server would call ``doing`` in its error text.

        Raises:
            QdrantError: the collection lost its data in a failed recovery, or the engine refuses.
        """
        with self.lock:
            self.readable(doing)
            answers = []
            for shard_id in self.shard_ids:
                with self.shard(shard_id) as shard:
                    answers.append(question(shard))
            return answers

    def readable(self, doing: str) -> None:
        """Refuse a read of a collection whose data is lost."""
        if self.broken:
            raise internal(
                f"1 of 1 read operations failed:\n  Service internal error: Failed to {doing},  {self.broken}"
            )

    def writable(self) -> None:
        """Refuse a write to a collection whose data is lost."""
        if self.broken:
            raise internal(f"Failed to Update Points,  {self.broken}")

    def next_operation(self) -> int:
        """Number one more write."""
        self.operations += 1
        return self.operations

    def reconfigure(self, config: Config) -> None:
        """Keep a changed configuration."""
        self.config = config
        (self.folder / "config.json").write_text(json.dumps(config, separators=(",", ":")))

    def index(self, field: str, schema: str | dict[str, Any]) -> None:
        """Index a payload field in every shard and keep its schema."""
        operation = edge.UpdateOperation.create_field_index(field, engine_index(schema))
        for shard_id in self.shard_ids:
            with self.shard(shard_id) as shard:
                shard.update(operation)
        self._keep_schema({**self.schema, field: schema})

    def drop_index(self, field: str) -> None:
        """Forget the index of a payload field."""
        for shard_id in self.shard_ids:
            with self.shard(shard_id) as shard:
                shard.update(edge.UpdateOperation.delete_field_index(field))
        self._keep_schema({name: kept for name, kept in self.schema.items() if name != field})

    def _keep_schema(self, schema: Schema) -> None:
        self.schema = schema
        (self.folder / "payload_index.json").write_text(json.dumps({"schema": schema}, separators=(",", ":")))

    def lose(self) -> None:
        """The data is gone: reads fail until a recovery succeeds, also after a restart."""
        self.broken = LOST
        self._marker.touch()

    def mend(self) -> None:
        """A recovery succeeded."""
        self.broken = None
        self._marker.unlink(missing_ok=True)

    def release(self) -> None:
        """Close the shards, so that their folders may be moved."""
        for shard_id in self.shard_ids:
            self._pool.release(self.shard_folder(shard_id))


def prepare(folder: Path, config: Config, peer: int) -> None:
    """Make the folder of an empty collection."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config, separators=(",", ":")))
    (folder / "payload_index.json").write_text('{"schema":{}}')
    (folder / "shard_key_mapping.json").write_text("[]")
    (folder / "version.info").write_text(CRATE_VERSION)
    for shard_id in range(config["params"]["shard_number"]):
        shards.create(folder / str(shard_id), for_engine(config))
        identify(folder / str(shard_id), peer)


def valid_name(name: str) -> str:
    """A name that a new collection may have.

    Raises:
        QdrantError: 422.
    """
    problem = ""
    found = FORBIDDEN.search(name)
    if not 1 <= len(name.encode()) <= LONGEST_NAME:
        problem = f'value "{name}" invalid, must be from 1 to {LONGEST_NAME} characters'
    elif found:
        problem = f'collection name cannot contain "{found.group()}" char'
    elif name in (".", ".."):
        problem = f'collection name cannot be "{name}"'
    if problem:
        raise QdrantError(422, f"Validation error in path parameters: [collection_name: {problem}]")
    return name


def identify(shard_folder: Path, peer: int) -> None:
    """Write the two files by which a server knows a shard's kind and its replicas."""
    state = {"is_local": True, "this_peer_id": peer, "peers": {str(peer): "Active"}}
    (shard_folder / "replica_state.json").write_text(json.dumps(state, separators=(",", ":")))
    (shard_folder / "shard_config.json").write_text('{"type":"ReplicaSet"}')


class Registry:
    """All collections and aliases of one node.

    Args:
        data: the data folder; made when missing.
    """

    def __init__(self, data: Path) -> None:
        self.storage = data / "storage"
        self.snapshots = data / "snapshots"
        self.tmp = self.storage / "tmp"
        shutil.rmtree(self.tmp, ignore_errors=True)  # a real server removes leftovers at start, too
        for folder in (self.storage / "collections", self.storage / "aliases", self.snapshots, self.tmp):
            folder.mkdir(parents=True, exist_ok=True)
        self.pool = shards.ShardPool()
        self.peer_id = self._peer_id()
        self._lock = threading.RLock()
        self._aliases: dict[str, str] = self._read_aliases()
        self._collections = {
            folder.name: Collection(folder.name, folder, self.pool)
            for folder in sorted((self.storage / "collections").iterdir())
            if (folder / "config.json").exists()
        }

    def _peer_id(self) -> int:
        file = self.storage / "raft_state.json"
        if not file.exists():
            file.write_text(json.dumps({"this_peer_id": random.SystemRandom().getrandbits(53)}))
        return int(json.loads(file.read_text())["this_peer_id"])

    @property
    def _alias_file(self) -> Path:
        return self.storage / "aliases" / "data.json"

    def _read_aliases(self) -> dict[str, str]:
        return dict(json.loads(self._alias_file.read_text())) if self._alias_file.exists() else {}

    def names(self) -> list[str]:
        """The names of all collections, sorted."""
        with self._lock:
            return sorted(self._collections)

    def all(self) -> list[Collection]:
        """All collections."""
        with self._lock:
            return [self._collections[name] for name in sorted(self._collections)]

    def resolve(self, name: str) -> str:
        """The collection behind an alias, or ``name`` itself."""
        with self._lock:
            return name if name in self._collections else self._aliases.get(name, name)

    def find(self, name: str) -> Collection | None:
        """The collection of that name or alias, or None."""
        with self._lock:
            return self._collections.get(self.resolve(name))

    def get(self, name: str) -> Collection:
        """The collection of that name or alias.

        Raises:
            QdrantError: 404.
        """
        found = self.find(name)
        if not found:
            raise no_collection(name)
        return found

    def create(self, name: str, config: Config) -> Collection:
        """Make an empty collection.

        Raises:
            QdrantError: the name is taken, by a collection (409) or an alias (400).
        """
        with self._lock:
            if name in self._collections:
                raise collection_exists(name)
            if name in self._aliases:
                raise bad_input(
                    f"Can't create collection with name {name}. Alias with the same name already exists"
                )
            folder = self.storage / "collections" / name
            with tempfile.TemporaryDirectory(dir=self.tmp) as scratch:  # a crash leaves no half collection
                prepare(Path(scratch) / "new", config, self.peer_id)
                (Path(scratch) / "new").rename(folder)
            self._collections[name] = Collection(name, folder, self.pool)
            return self._collections[name]

    def delete(self, name: str) -> bool:
        """Delete a collection with its aliases; its snapshot files stay. False when there is none."""
        with self._lock:
            gone = self._collections.pop(name, None)
            if not gone:
                return False
            for alias in [alias for alias, target in self._aliases.items() if target == name]:
                del self._aliases[alias]
            self._keep_aliases()
        with gone.lock:
            gone.release()
            shutil.rmtree(gone.folder)
        return True

    def aliases(self, collection: str | None = None) -> list[dict[str, str]]:
        """All aliases, or those of one collection."""
        with self._lock:
            return [
                {"alias_name": alias, "collection_name": target}
                for alias, target in sorted(self._aliases.items())
                if collection in (None, target)
            ]

    def create_alias(self, alias: str, collection: str) -> None:
        """Point an alias to a collection; one that exists is silently pointed elsewhere."""
        with self._lock:
            if alias in self._collections:
                raise collection_exists(alias)
            if collection not in self._collections:
                raise no_collection(collection)
            self._aliases[alias] = collection
            self._keep_aliases()

    def delete_alias(self, alias: str) -> None:
        """Remove an alias; an unknown one is no error."""
        with self._lock:
            self._aliases.pop(alias, None)
            self._keep_aliases()

    def rename_alias(self, old: str, new: str) -> None:
        """Give an alias another name."""
        with self._lock:
            if old not in self._aliases:
                raise not_found(f"Alias {old} does not exists!")
            if new in self._collections:
                raise collection_exists(new)
            self._aliases[new] = self._aliases.pop(old)
            self._keep_aliases()

    def _keep_aliases(self) -> None:
        self._alias_file.write_text(json.dumps(self._aliases))
