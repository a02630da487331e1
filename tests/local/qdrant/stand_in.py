"""Stand-in servers, started as processes of their own and stopped when a test ends."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from local.processes import Child, start
from tests.local.qdrant.blob_host import BlobHost
from tests.local.qdrant.fixture_points import points

ROOT = Path(__file__).parents[3]
SINGLE = {"size": 64, "distance": "Cosine"}
IDENTITY = {"accept-encoding": "identity"}

Launch = Callable[..., "StandIn"]


class StandIn:
    """A running stand-in: its client, its process and its data folder."""

    def __init__(self, child: Child, data: Path) -> None:
        self.child = child
        self.data = data
        self.url = str(child.ready["url"])
        self.http = httpx.Client(base_url=self.url, headers=IDENTITY, timeout=30, trust_env=False)

    def count(self, collection: str) -> int:
        answer = self.http.post(f"/collections/{collection}/points/count", json={"exact": True})
        return int(answer.raise_for_status().json()["result"]["count"])

    def empty(self) -> None:
        """Leave nothing behind for the next test."""
        self.http.delete("/_standin/faults").raise_for_status()
        self.http.post("/_standin/settle").raise_for_status()
        for one in self.http.get("/collections").json()["result"]["collections"]:
            self.http.delete(f"/collections/{quote(one['name'])}").raise_for_status()
        for folder in (self.data / "snapshots").iterdir():
            shutil.rmtree(folder)

    def stop(self) -> None:
        self.http.close()
        self.child.stop()


@contextlib.contextmanager
def launcher(base: Path) -> Iterator[Launch]:
    running: list[StandIn] = []

    def launch(*options: str, data: Path | None = None, **env: str) -> StandIn:
        folder = data or base / f"qdrant-{len(running)}"
        command = [sys.executable, "-m", "local.qdrant", "--data-dir", str(folder), *options]
        child = start("qdrant", command, log=base / "qdrant.log", env=env, cwd=ROOT)
        running.append(StandIn(child, folder))
        return running[-1]

    try:
        yield launch
    finally:
        for one in running:
            one.stop()


def make(server: StandIn, name: str, count: int = 0, **body: Any) -> None:
    server.http.put(f"/collections/{name}", json={"vectors": SINGLE, **body}).raise_for_status()
    if count:
        made = {"points": points(name, range(count))}
        server.http.put(f"/collections/{name}/points?wait=true", json=made).raise_for_status()


def snapshot(server: StandIn, name: str) -> tuple[dict[str, Any], bytes]:
    made = server.http.post(f"/collections/{name}/snapshots").raise_for_status().json()["result"]
    return made, server.http.get(f"/collections/{name}/snapshots/{made['name']}").raise_for_status().content


def recover(server: StandIn, name: str, host: BlobHost, content: bytes) -> httpx.Response:
    host.files["x"] = content
    body = {"location": f"{host.url}/x", "priority": "snapshot"}
    return server.http.put(f"/collections/{name}/snapshots/recover?wait=true", json=body)


def read(server: StandIn, name: str, ids: list[str]) -> list[dict[str, Any]]:
    body = {"ids": ids, "with_payload": True, "with_vector": True}
    answer = server.http.post(f"/collections/{name}/points", json=body).raise_for_status()
    found: list[dict[str, Any]] = answer.json()["result"]
    return found
