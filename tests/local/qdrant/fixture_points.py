"""The points of the recordings, made by their recipe: the same name and number give the same point."""

from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

WORDS = [
    "agent",
    "memory",
    "vector",
    "backup",
    "restore",
    "chunk",
    "page",
    "policy",
    "claim",
    "tariff",
    "invoice",
    "travel",
    "leave",
    "notice",
    "budget",
    "audit",
    "review",
    "safety",
    "energy",
    "supply",
]
CATEGORIES = ("policy", "manual", "faq", "contract", "minutes")
FIRST = datetime(2026, 11, 1, 8, tzinfo=UTC)


def point(collection: str, number: int, dimension: int = 64) -> dict[str, Any]:
    rng = random.Random(f"{collection}/{number}")
    vector = [round(rng.uniform(-1, 1), 4) for _ in range(dimension)]
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{collection}/{number}")),
        "vector": vector,
        "payload": {
            "content": f"Chunk {number}: " + " ".join(rng.choice(WORDS) for _ in range(30)),
            "source": f"handbook-{number // 40:03d}.pdf",
            "chunkIndex": number % 40,
            "pageNumber": number % 40 // 4 + 1,
            "category": CATEGORIES[number % 5],
            "agentId": "7f3a8b2c-4d5e-6f7a-8b9c-0d1e2f3a4b5c",
            "tenantId": "5d0f1a20-1111-4222-8333-444455556666",
            "indexedAt": (FIRST + timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
    }


def named_point(collection: str, number: int) -> dict[str, Any]:
    made = point(collection, number)
    vector = made["vector"]
    sparse = {"indices": [1, 7, 42], "values": [0.5, 0.25, 1.0]}
    return {**made, "vector": {"text": vector, "title": vector[:32], "bm25": sparse}}


def points(collection: str, numbers: range, dimension: int = 64) -> list[dict[str, Any]]:
    return [point(collection, number, dimension) for number in numbers]
