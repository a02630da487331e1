"""Documents put together from chunks; ids and times as payloads spell them."""

from __future__ import annotations

import json
import random
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.octopus.collections import agent_of, is_scratch
from shared.octopus.documents import DocumentTally
from shared.octopus.payload import spellings, time_of


def chunk(source: str, minute: int, **more: Any) -> dict[str, Any]:
    return {"source": source, "agentId": "a", "indexedAt": f"2026-01-31T04:{minute:02}:00Z", **more}


def test_the_chunks_of_a_document_are_counted_in_whatever_order_they_come() -> None:
    chunks = [chunk("b.pdf", 9), *(chunk("a.pdf", minute) for minute in (3, 1, 2)), chunk("b.pdf", 8)]
    with DocumentTally() as tally:
        tally.add("kb", chunks[:2])
        tally.add("kb", chunks[2:])
        tally.add("other", [chunk("a.pdf", 0)])
        assert tally.totals() == {"kb": (2, 5), "other": (1, 1)}
        lines = [json.loads(line) for line in tally.lines()]
        (first,) = tally.first(1)
    assert [(one["collection"], one["source"], one["chunks"]) for one in lines] == [
        ("kb", "a.pdf", 3), ("kb", "b.pdf", 2), ("other", "a.pdf", 1),
    ]  # fmt: skip
    assert lines[0]["first_indexed_at"] == "2026-01-31T04:01:00.000000Z"
    assert lines[0]["last_indexed_at"] == "2026-01-31T04:03:00.000000Z"
    assert first == lines[2]


def test_documents_of_one_source_are_told_apart_by_agent_and_id() -> None:
    with DocumentTally() as tally:
        tally.add("kb", [chunk("a", 1, documentId="1"), chunk("a", 1, documentId="2")])
        tally.add("kb", [chunk("a", 1, documentId="1", agentId="b"), {}, {"source": None}])
        assert tally.totals() == {"kb": (4, 5)}


def test_a_collection_can_be_left_out_after_all() -> None:
    with DocumentTally() as tally:
        tally.add("kb", [chunk("a", 1)])
        tally.add("half", [chunk("a", 1)])
        tally.forget("half")
        assert tally.totals() == {"kb": (1, 1)}


def test_hostile_names_stay_what_they_are_in_one_line_each() -> None:
    name = "x'); DROP TABLE documents;--\n\u202e“é”"
    with DocumentTally() as tally:
        tally.add(name, [chunk(name, 1)])
        (line,) = tally.lines()
    assert line.count(b"\n") == 1
    assert json.loads(line)["collection"] == name
    assert json.loads(line)["source"] == name


def test_memory_stays_as_it_is_however_many_documents_there_are() -> None:
    seeded = random.Random(7)
    with DocumentTally() as tally:
        tracemalloc.start()
        for _ in range(60):
            tally.add("kb", [chunk(f"{seeded.random()}.pdf" * 5, 1) for _ in range(500)])
        written = sum(len(line) for line in tally.lines())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert written > 6_000_000
    assert peak < 2_000_000


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("2026-01-31T04:00:00Z", datetime(2026, 1, 31, 4, tzinfo=UTC)),
        ("2026-01-31T04:00:00+02:00", datetime(2026, 1, 31, 2, tzinfo=UTC)),
        ("2026-01-31T04:00:00.5", datetime(2026, 1, 31, 4, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("yesterday", None),
        (1769832000, None),
        (None, None),
    ],
)
def test_times_as_payloads_spell_them(value: Any, read: datetime | None) -> None:
    assert time_of(value) == read


def test_every_spelling_of_a_guid_is_its_own() -> None:
    found = spellings(["7F3A8B2C4D5E6F7A8B9C0D1E2F3A4B5C", "acme", "42"])
    assert "7f3a8b2c-4d5e-6f7a-8b9c-0d1e2f3a4b5c" in found
    assert found[-2:] == ["acme", "42"]
    assert len(found) == len(set(found)) == 6


@pytest.mark.parametrize(
    "name",
    [
        "rp_20260131t040000_agent_7f3a8b2c4d5e6f7a8b9c0d1e2f3a4b5c",
        "rp_20260131t040000_2_OctopusDB",
        "drill_20260131t040000_kb",
        "quarantine_20260131t040000_agent_x",
        "agent_x__rp_20260131t040000",
        "agent_x__rp_20260131t040000_2",
    ],
)
def test_copies_that_were_made_here_are_known_by_their_names_and_belong_to_nobody(name: str) -> None:
    assert is_scratch(name)
    assert agent_of(name) is None


@pytest.mark.parametrize(
    "name", ["rp_", "rp_kb", "drill_2026_kb", "rp_20260131t040000", "my_rp_20260131t040000_kb", ""]
)
def test_other_names_are_no_copies(name: str) -> None:
    assert not is_scratch(name)
