"""How much free space each server needs for a restore."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from shared.model.backups import SqlFacts
from shared.planning.steps import Work
from shared.planning.versions import number

STREAMED_SINCE = (1, 19)
"""Since this version Qdrant unpacks a snapshot while it reads it; before, the file is kept meanwhile."""

STREAMED, KEPT = 1.5, 2.5
"""Peak of free space per byte of snapshot while one is recovered by URL; of it, one byte stays (measured on
Qdrant 1.19.0 and 1.16.3 with 1.1 GB)."""


def space_needed(work: Work, versions: Mapping[str, str]) -> dict[str, int]:
    """Free bytes by server: ``sqlserver`` and ``qdrant/{peer id}``.

    Collections are recovered one after another, so the peak above what stays is that of the largest one. What
    is overwritten first gets a safety snapshot of about its size.
    """
    needed: dict[str, int] = defaultdict(int)
    for database, chain in work.chains.items():
        facts = work.manifests[chain.full.id].facts
        if isinstance(facts, SqlFacts) and database not in work.overwritten_databases:
            needed["sqlserver"] += sum(file.size for file in facts.data_files)
    factor = _factor(versions)
    peaks: dict[str, float] = defaultdict(float)
    for collection, parts in work.parts.items():
        for part in parts:
            peer = f"qdrant/{part.peer_id}"
            stays = 2 if collection in work.overwritten_collections else 1
            needed[peer] += stays * part.blob.size
            peaks[peer] = max(peaks[peer], (factor - 1) * part.blob.size)
    for peer, peak in peaks.items():
        needed[peer] += round(peak)
    return dict(sorted(needed.items()))


def _factor(versions: Mapping[str, str]) -> float:
    """The larger factor unless every peer is known to be new enough."""
    known = [number(version) for version in versions.values()]
    return STREAMED if known and min(known) >= STREAMED_SINCE else KEPT
