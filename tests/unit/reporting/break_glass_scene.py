"""Blob Storage and Qdrant as restore.sh meets them, on sockets, and a folder to run it in."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from shared.reporting.break_glass import Glass, restore_sh
from tests.unit.qdrant.scripted import Answer, Scripted, Seen, scripted
from tests.unit.reporting.glass import content

SAS = "sv=2026&sr=c&sp=rl&canary=5c1f%2Bx%3D"
KEY = 'key-canary-\\"9e'


def result(value: Any) -> Answer:
    """A good answer as Qdrant writes it: without spaces, nothing escaped that need not be."""
    body = {"result": value, "status": "ok", "time": 0.0}
    return Answer(body=json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode())


@dataclass
class Backups:
    """Blob Storage: the snapshots of some collections, behind a SAS."""

    files: dict[str, bytes] = field(default_factory=dict)
    refused: int = 0

    def hold(self, made: Glass) -> None:
        for one in made.collections:
            for snapshot in one.snapshots:
                self.files[snapshot.file.path] = content(one.name, snapshot.peer_id)

    def answer(self, seen: Seen) -> Answer:
        parts = urlsplit(seen.path)
        if parts.query != SAS:
            return Answer(403)
        if self.refused:
            self.refused -= 1
            return Answer(503)
        found = self.files.get(parts.path.lstrip("/"))
        return Answer(404) if found is None else Answer(body=found)


@dataclass
class Cluster:
    """Qdrant: one server, or the peers of a cluster; counts what it was sent."""

    ids: tuple[int, ...] = ()
    version: str = "1.19.0"
    there: set[str] = field(default_factory=set)
    aliases: dict[str, str] = field(default_factory=dict)
    points: int = 20
    moving: int = 0
    events: list[str] = field(default_factory=list)

    def answer(self, number: int, seen: Seen) -> Answer:
        if seen.path != "/" and seen.headers.get("api-key") != KEY:
            return Answer(401, b"Must provide an API key")
        path = urlsplit(seen.path).path
        if path == "/":
            return Answer(
                body=json.dumps({"title": "qdrant", "version": self.version, "commit": "c"}).encode()
            )
        if path == "/cluster":
            told = {"status": "enabled", "peer_id": self.ids[number]} if self.ids else {"status": "disabled"}
            return result(told)
        if path == "/aliases":
            return result(
                {"aliases": [{"alias_name": a, "collection_name": c} for a, c in self.aliases.items()]}
            )
        if path == "/collections/aliases":
            self.events.append("aliases " + seen.start.decode())
            return result(True)
        return self._collection(number, seen, path.split("/")[2:])

    def _collection(self, number: int, seen: Seen, parts: list[str]) -> Answer:
        name, what = unquote(parts[0]), parts[1:]
        if what == ["exists"]:
            return result({"exists": name in self.there})
        if what == ["snapshots", "upload"]:
            self.events.append(f"upload {name} to {number}" + (" too early" if self.moving else ""))
            self.events.append(urlsplit(seen.path).query)
            self.there.add(name)
            self.moving = 2 if self.ids else 0
            return result(True)
        if what == ["cluster"]:
            return result(self._placement(number))
        if what == ["points", "count"]:
            return result({"count": self.points})
        if seen.method == "DELETE" and what[0] == "snapshots":
            self.events.append("deleted the file")
            return result(True)
        raise AssertionError(seen)

    def _placement(self, number: int) -> dict[str, Any]:
        moving = self.moving > 0
        if moving and number == 0:
            self.moving -= 1
        state = "Partial" if moving and number == 1 else "Active"
        return {
            "peer_id": number,
            "shard_count": 1,
            "local_shards": [{"shard_id": 0, "points_count": 20, "state": state}],
            "remote_shards": [],
            "shard_transfers": [{"shard_id": 0, "from": 1, "to": 2}] if moving and number == 2 else [],
        }


@dataclass
class Ended:
    code: int
    out: str
    err: str


@dataclass
class Scene:
    """Servers, and a folder to run in."""

    folder: Path
    blobs: Scripted
    backups: Backups
    cluster: Cluster
    peers: list[Scripted]

    def run(self, made: Glass, command: str = "vectors", **environ: str) -> Ended:
        script = self.folder / "restore.sh"
        script.write_text(restore_sh(made), "utf-8")
        settings = {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(self.folder),
            "STORAGE_URL": self.blobs.url,
            "AZURE_SAS": SAS,
            "QDRANT_URLS": " ".join(peer.url for peer in self.peers),
            "QDRANT_API_KEY": KEY,
            "NO_PROXY": "*",
        }
        ended = subprocess.run(
            ["sh", str(script), command],
            env={name: value for name, value in {**settings, **environ}.items() if value},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        told = Ended(ended.returncode, ended.stdout, ended.stderr)
        assert "canary" not in told.out + told.err
        assert not list(self.folder.glob("octopus-restore.*")), "it leaves nothing behind"
        return told


@contextlib.contextmanager
def scene(folder: Path, cluster: Cluster) -> Iterator[Scene]:
    backups = Backups()
    with contextlib.ExitStack() as stack:
        blobs = stack.enter_context(scripted(backups.answer))
        peers = [
            stack.enter_context(scripted(partial(cluster.answer, number)))
            for number in range(len(cluster.ids) or 1)
        ]
        yield Scene(folder, blobs, backups, cluster, peers)
