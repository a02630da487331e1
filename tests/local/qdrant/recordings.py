"""Recordings of a real server: read, sent again, and compared with what a stand-in answers.

What differs between any two runs (times, ids, sizes, checksums, folders) is brought to one form on both
sides. Names that a server gave (snapshot files, entity tags) are translated from theirs to ours in requests.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.local.qdrant.blob_host import BlobHost
from tests.local.qdrant.stand_in import StandIn

THEIR_SIZE = 514048  # of the snapshot that their requests download
THEIR_FOLDER = "/qdrant"
NEAR_THE_END = 500000  # a byte position above this counts from the end of their file
HEADERS = (
    "content-type",
    "content-encoding",
    "content-range",
    "accept-ranges",
    "content-disposition",
    "retry-after",
)
VOLATILE = (
    "time",
    "peer_id",
    "size",
    "creation_time",
    "operation_id",
    "segments_count",
    "idle_segments",
    "version",
)
PATTERNS = (
    (r"\d{4}(-\d\d){2}T\d\d:\d\d:\d\d(?!Z)", "TIME"),
    (r"\d+-\d{4}(-\d\d){5}\.snapshot", "PEER-DATE.snapshot"),
    (r"(?!0{64})[0-9a-fA-F]{64}", "SHA256"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tar", "SEGMENT.tar"),
    (r"(-recovery-|snapshot-|drop-)[A-Za-z0-9_]{6,8}(?=/|\.download)", r"\1RANDOM"),
    (r"(?<=sig=)[^\s&\"']+?(?=: status|[\s&\"']|$)", "SIGNATURE"),
    # The recordings lost the colon behind the signature that was blotted out.
    (r"SIGNATURE:? status", "SIGNATURE: status"),
    (r"(unknown variant .* column) \d+", r"\1 N"),  # behind a location, which differs in length
    (r"http://127\.0\.0\.1:\d{4,5}/", "http://HOST/"),
)


@dataclass
class Recording:
    """One exchange, or one observation, on a real server."""

    name: str
    content: dict[str, Any]

    @property
    def node(self) -> str:
        return str(self.content.get("node") or "s1")

    @property
    def request(self) -> dict[str, Any] | None:
        return self.content.get("request")

    @property
    def observed(self) -> Any:
        return self.content.get("observed")

    @property
    def result(self) -> Any:
        return self.content["response"]["json"]["result"]


def read_recordings(folder: Path) -> list[Recording]:
    files = sorted(folder.glob("[0-4]*.json"))
    return [Recording(file.stem, json.loads(file.read_text())) for file in files]


@dataclass
class Replay:
    """Sends recorded requests to stand-ins."""

    servers: dict[str, StandIn]
    host: BlobHost
    names: dict[str, str] = field(default_factory=dict)  # theirs -> ours
    our_size: int = THEIR_SIZE
    upload: bytes = b""

    def send(self, recording: Recording) -> httpx.Response:
        request = recording.request
        assert request is not None
        server = self.servers[recording.node]
        headers = {"accept-encoding": "identity", **request["headers"]}
        headers = {name: self.ours(value) for name, value in headers.items() if name != "content-type"}
        content: dict[str, Any] = {}
        if request.get("json") is not None:
            content["content"] = self._locations(
                self.ours(json.dumps(request["json"], separators=(",", ":"))), server
            )
            headers["content-type"] = "application/json"
        elif "body" in request:
            part = request["body"]["multipart"][0]
            bytes_sent = self._upload(part.get("what", ""))
            content["files"] = {
                part.get("field", "snapshot"): (part.get("filename", "a.snapshot"), bytes_sent)
            }
        query = {name: self.ours(value) for name, value in request["query"].items()}
        path = self.ours(request["path"])
        with server.http.stream(request["method"], path, params=query, headers=headers, **content) as answer:
            answer.read()
        return answer

    def _upload(self, what: str) -> bytes:
        match what:
            case "text":
                return b"this is no tar archive, " * 1083 + b"12345678"
            case "first half":
                return self.upload[: len(self.upload) // 2]
            case "empty":
                return b""
        return self.upload

    def _locations(self, body: str, server: StandIn) -> str:
        body = body.replace("127.0.0.1:17910", f"127.0.0.1:{self.host.port}")
        body = body.replace("127.0.0.1:17990", f"127.0.0.1:{self.host.port}")
        return body.replace(f"file://{THEIR_FOLDER}/", f"file://{server.data}/")

    def ours(self, text: str) -> str:
        for theirs, ours in self.names.items():
            text = text.replace(theirs, ours)
        if text.startswith("bytes="):
            return self._shifted(text)
        return text

    def _shifted(self, text: str) -> str:
        """A byte range of theirs, in positions of our file."""

        def shift(found: re.Match[str]) -> str:
            number = int(found.group())
            return str(number + self.our_size - THEIR_SIZE if number > NEAR_THE_END else number)

        return re.sub(r"\d+", shift, text)

    def learn(self, recording: Recording, answer: httpx.Response) -> None:
        """Remember our name and checksum for a snapshot that both servers made."""
        mine = answer.json()["result"]
        self.names[recording.result["name"]] = mine["name"]
        self.names[recording.result["checksum"]] = mine["checksum"]
        self.names[recording.result["checksum"].upper()] = mine["checksum"].upper()

    def learn_listed(self, recording: Recording, answer: httpx.Response) -> None:
        """Remember our name for the one snapshot of a listing that nobody waited for."""
        theirs = [one["name"] for one in recording.result if one["name"] not in self.names]
        mine = [one["name"] for one in answer.json()["result"] if one["name"] not in self.names.values()]
        assert len(theirs) == len(mine) == 1
        self.names[theirs[0]] = mine[0]

    def differences(self, recording: Recording, answer: httpx.Response) -> list[str]:
        expected = recording.content["response"]
        found: list[str] = []
        _compare("status", expected["status"], answer.status_code, found)
        for name in HEADERS:
            theirs, mine = expected["headers"].get(name), answer.headers.get(name)
            if name == "content-range" and mine:
                mine = self._back(mine)
            _compare(name, self._plain(theirs, recording), self._plain(mine, recording), found)
        if "json" in expected and not found:
            _compare(
                "body", self._plain(expected["json"], recording), self._plain(answer.json(), recording), found
            )
        elif "text" in expected:
            _compare(
                "text", self._plain(expected["text"], recording), self._plain(answer.text, recording), found
            )
        elif "body" in expected:
            length = expected["body"]["length"]
            _compare("length", self.our_size if length == THEIR_SIZE else length, len(answer.content), found)
        return found

    def _back(self, content_range: str) -> str:
        """Our content-range in positions of their file."""

        def shift(found: re.Match[str]) -> str:
            number = int(found.group())
            return str(number + THEIR_SIZE - self.our_size if number > self.our_size // 2 else number)

        return re.sub(r"\d+", shift, content_range)

    def _plain(self, value: Any, recording: Recording) -> Any:
        return plain(value, str(self.servers[recording.node].data))

    def observe(self, node: str, collection: str) -> dict[str, Any]:
        """What the recordings call the state of a collection."""
        http = self.servers[node].http
        count = http.post(f"/collections/{collection}/points/count", json={"exact": True})
        info = http.get(f"/collections/{collection}").json()
        cluster = http.get(f"/collections/{collection}/cluster").json()
        return {
            "count_exact": count.json()["result"]["count"]
            if count.is_success
            else f"{count.status_code} {count.text}",
            "collection_status": info["result"]["status"] if "result" in info else info["status"],
            "optimizer_status": info["result"]["optimizer_status"] if "result" in info else None,
            "local_shards": cluster["result"]["local_shards"] if "result" in cluster else cluster["status"],
        }


def plain(value: Any, folder: str) -> Any:
    """A value without what differs from run to run."""
    if isinstance(value, dict):
        kept = {key: plain(one, folder) for key, one in value.items()}
        if "size" in kept and "distance" in kept:
            return kept  # of a vector, not of a file
        for key in VOLATILE:
            if isinstance(kept.get(key), int | float) or (key == "creation_time" and key in kept):
                kept[key] = key.upper()
        return kept
    if isinstance(value, list):
        cleaned = [plain(one, folder) for one in value]
        if cleaned and isinstance(cleaned[0], dict) and "creation_time" in cleaned[0]:
            cleaned.sort(key=lambda one: json.dumps(one, sort_keys=True))  # a listing has no order
        if len(cleaned) > 1 and isinstance(cleaned[0], dict) and "points_count" in cleaned[0]:
            total = sum(one["points_count"] for one in cleaned)  # the server's hash of ids is not ours
            return [{**one, "points_count": f"part of {total}"} for one in cleaned]
        return cleaned
    if isinstance(value, str):
        text = value.replace(folder, THEIR_FOLDER)
        text = re.sub(r'"time":[\d.e-]+', '"time":TIME', text)
        for pattern, instead in PATTERNS:
            text = re.sub(pattern, instead, text)
        return _sorted_map(text)
    return value


def _sorted_map(text: str) -> str:
    """The one error text that prints a hash map, with its entries in order."""
    found = re.search(r"invalid_sha256_hash \[\{(.*)\}\]", text)
    return text.replace(found.group(1), ", ".join(sorted(found.group(1).split(", ")))) if found else text


def _compare(what: str, expected: Any, answered: Any, found: list[str]) -> None:
    if not alike(expected, answered):
        found.append(f"{what}: expected {expected!r}, answered {answered!r}")


def alike(expected: Any, answered: Any) -> bool:
    """Whether two values are equal; numbers up to the last digit of single precision."""
    if isinstance(expected, dict) and isinstance(answered, dict):
        same_keys = expected.keys() == answered.keys()
        return same_keys and all(alike(expected[key], answered[key]) for key in expected)
    if isinstance(expected, list) and isinstance(answered, list):
        return len(expected) == len(answered) and all(map(alike, expected, answered))
    if isinstance(expected, float) and isinstance(answered, float):
        return math.isclose(expected, answered, rel_tol=2e-7)
    return bool(expected == answered)
