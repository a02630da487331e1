"""Recovery of a collection from a snapshot file: by URL, from the snapshots folder, or uploaded."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import ssl
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urlsplit

import httpx

from local.qdrant import snapshot_tar, snapshots
from local.qdrant.answers import (
    Body,
    QdrantError,
    bad_input,
    bad_request,
    forbidden,
    internal,
)
from local.qdrant.config import Config, described
from local.qdrant.node import VERSION, Node
from local.qdrant.registry import OPTIMIZING_SECONDS, Collection, identify

PRIORITIES = ("no_sync", "snapshot", "replica")
INACTIVITY_SECONDS = 60  # a real 1.19.0 gives up after 60 s without a byte
CONNECT_SECONDS = 10


@dataclass(frozen=True)
class Order:
    """What a client asks for. ``priority`` is checked and then makes no difference on a single node."""

    location: str
    checksum: str | None = None
    api_key: str | None = None


def order(body: Body) -> Order:
    """Read the body of ``PUT …/snapshots/recover``.

    Raises:
        QdrantError: 400 or 422 in the words of the server's parser.
    """
    body.only("location", "priority", "checksum", "api_key")
    location = str(body.need("location"))
    if not urlsplit(location).scheme:
        body.refuse(f"relative URL without a base: {json.dumps(location)}", location)
    body.choice("priority", *PRIORITIES, default="snapshot")
    checksum = checked(body.get("checksum", str), "JSON body")
    return Order(location, checksum, body.get("api_key", str))


def checked(checksum: str | None, where: str) -> str | None:
    """A checksum in lower case.

    Raises:
        QdrantError: 422, it is no SHA-256 in hexadecimal.
    """
    if checksum is None:
        return None
    if len(checksum) != 64:
        facts = (
            f'{{"expected_length": Number(64), "length": Number({len(checksum)}), '
            f'"value": String({json.dumps(checksum)})}}'
        )
        problem = f"[checksum: Validation error: invalid_sha256_hash [{facts}]]"
        raise QdrantError(422, f"Validation error in {where}: {problem}")
    if not re.fullmatch("[0-9a-fA-F]{64}", checksum):
        problem = "[checksum: invalid characters, expected 0-9, a-f, A-F]"
        raise QdrantError(422, f"Validation error in {where}: {problem}")
    return checksum.lower()


def recover(node: Node, name: str, wanted: Order) -> bool:
    """Fetch a snapshot and put it in the place of a collection, which is made when missing.

    Raises:
        QdrantError: as a real server; its text may hold the whole location, with the signature of a SAS.
    """
    url = urlsplit(wanted.location)
    if url.scheme in ("http", "https"):
        if not node.url_recovery:
            refuse_remote()
        base = Path(unquote(url.path)).name or "snapshot"
        with tempfile.TemporaryDirectory(
            dir=node.registry.tmp, prefix=f"{base}-", suffix=".download"
        ) as scratch:
            archive = Path(scratch) / "archive"
            found = _download(wanted, archive)
            _unpack(archive, Path(scratch), "Failed to unpack tar archive")
            archive.unlink()
            if wanted.checksum not in (None, found):
                raise bad_input(f"Snapshot checksum mismatch: expected {wanted.checksum}, got {found}")
            return install(node, name, Path(scratch))
    if url.scheme == "file":
        file = _local(node, url.netloc, Path(unquote(url.path)))
        if wanted.checksum:
            found = snapshots.sha256(file)
            if found != wanted.checksum:
                raise bad_input(f"Snapshot checksum mismatch: expected {wanted.checksum}, got {found}")
        return from_file(node, name, file)
    raise bad_request(f"URL {wanted.location} with scheme {url.scheme} is not supported")


def refuse_remote() -> NoReturn:
    """403: this server was told to fetch nothing."""
    raise forbidden("Snapshot recovery from remote URLs is disabled in the configuration")


def from_file(node: Node, name: str, file: Path) -> bool:
    """Put a snapshot file in the place of a collection."""
    with tempfile.TemporaryDirectory(dir=node.registry.tmp, prefix=f"col-{name}-recovery-") as scratch:
        _unpack(file, Path(scratch), "File IO error")
        return install(node, name, Path(scratch))


def _local(node: Node, host: str, file: Path) -> Path:
    if host not in ("", "localhost"):
        raise bad_request("Invalid snapshot URI, file path must be absolute or on localhost")
    if not file.exists():
        raise bad_request(f'Snapshot file "{file}" does not exist')
    folder = node.registry.snapshots.resolve()
    if not file.resolve().is_relative_to(folder):
        raise forbidden(f'Snapshot file path must be inside the snapshots directory "{folder}"')
    return file


def _download(wanted: Order, archive: Path) -> str:
    """Fetch the location once, without Range, following redirects. Returns the SHA-256 of what came."""
    headers = {"accept": "*/*", "user-agent": f"Qdrant/{VERSION}"}
    if wanted.api_key:
        headers["api-key"] = wanted.api_key  # sent to whatever host the location names, as a real server does
    timeout = httpx.Timeout(INACTIVITY_SECONDS, connect=CONNECT_SECONDS)
    # The default context trusts what SSL_CERT_FILE names; no proxy, no .netrc.
    context = ssl.create_default_context()
    digest = hashlib.sha256()
    with httpx.Client(verify=context, timeout=timeout, follow_redirects=True, trust_env=False) as client:
        try:
            request = client.build_request("GET", wanted.location, headers=headers)
            for name in ("accept-encoding", "connection"):  # a real server sends neither
                del request.headers[name]
            response = client.send(request, stream=True)
        except (httpx.RequestError, httpx.InvalidURL) as error:
            problem = f"error sending request for url ({wanted.location})"
            raise internal(f"Http request error: {problem}") from error
        with contextlib.closing(response), archive.open("wb") as file:
            if not response.is_success:
                status = f"{response.status_code} {response.reason_phrase}"
                raise bad_input(f"Failed to download tar from {wanted.location}: status - {status}")
            try:
                for piece in response.iter_raw():
                    digest.update(piece)
                    file.write(piece)
            except httpx.TransportError:
                file.flush()  # a broken transfer shows when the tar is unpacked, as on a real server
    return digest.hexdigest()


def _unpack(archive: Path, folder: Path, prefix: str) -> None:
    try:
        snapshot_tar.unpack(archive, folder)
    except snapshot_tar.UnpackError as error:
        raise internal(f"{prefix}: {error}") from error


def install(node: Node, name: str, unpacked: Path) -> bool:
    """Put an unpacked snapshot in the place of a collection.

    Everything that can be found wrong before the collection is touched is found before; a shard that the
    engine then cannot open costs the collection its data, as on a real server.
    """
    name = node.registry.resolve(name)
    with node.activity.recovery(name):
        time.sleep(node.faults.strike("recover_delay") or 0)
        config = _read_json(node, name, unpacked, "config.json")
        indexes = _read_json(node, name, unpacked, "payload_index.json")["schema"]
        for shard_id in range(config["params"]["shard_number"]):
            _prepare_shard(unpacked / str(shard_id), node.registry.peer_id)
        collection = node.registry.find(name)
        if collection:
            _compare(collection.config, config)
        else:
            collection = node.registry.create(name, config)
        with collection.lock:
            _replace(node, collection, unpacked)
            for field, schema in {**collection.schema, **indexes}.items():
                collection.index(field, schema)
            soft = ("hnsw_config", "quantization_config", "optimizer_config")
            if any(collection.config[part] != config[part] for part in soft):
                collection.busy_until = time.monotonic() + OPTIMIZING_SECONDS
    return True


def _read_json(node: Node, name: str, unpacked: Path, file: str) -> Config:
    path = unpacked / file
    if not path.exists():
        shown = node.registry.tmp / f"col-{name}-recovery-{unpacked.name[-6:]}" / file
        raise internal(
            f"File IO error: failed to open file `{shown}`: No such file or directory (os error 2)"
        )
    content: Config = json.loads(path.read_text())
    return content


def _prepare_shard(shard: Path, peer: int) -> None:
    if not (shard / "shard_config.json").exists():
        raise internal(f"Can't read shard config at {shard}")
    state = shard / "replica_state.json"
    if not state.exists() or not json.loads(state.read_text())["is_local"]:
        raise internal(f"Can't restore snapshot in local mode with missing data at shard: {shard}")
    if not (shard / "segments").is_dir():
        problem = "No such file or directory (os error 2)"
        raise internal(f"IO Error: failed to read directory `{shard / 'segments'}`: {problem}")
    try:
        snapshot_tar.unpack_segments(shard)
    except snapshot_tar.UnpackError as error:
        raise internal(f"File IO error: {error}") from error
    identify(shard, peer)


def _compare(existing: Config, snapshot: Config) -> None:
    """Vectors and the number of shards must agree; everything else of the existing collection stays."""
    here, there = existing["params"], snapshot["params"]
    problem = ""
    if here["vectors"] != there["vectors"]:
        shown = f"Collection vectors: {described(here['vectors'])}"
        problem = f"{shown} Snapshot Vectors: {described(there['vectors'])}"
    elif here["shard_number"] != there["shard_number"]:
        shown = f"Collection shard number: {here['shard_number']}"
        problem = f"{shown} Snapshot shard number: {there['shard_number']}"
    if problem:
        raise bad_input(f"Snapshot is not compatible with existing collection: {problem}")


def _replace(node: Node, collection: Collection, unpacked: Path) -> None:
    for shard_id in collection.shard_ids:
        if not (unpacked / str(shard_id) / "wal").is_dir():
            state = "has state Some(Active), but expected Some(ManualRecovery)"
            raise bad_input(f"Replica {node.registry.peer_id} of shard {shard_id} {state}")
    collection.lose()
    collection.release()
    for shard_id in collection.shard_ids:
        folder = collection.shard_folder(shard_id)
        shutil.rmtree(folder, ignore_errors=True)
        (unpacked / str(shard_id)).rename(folder)
    for shard_id in collection.shard_ids:
        with collection.shard(shard_id):
            pass  # the engine opens it, or the data stays lost
    collection.mend()
