"""The list of snapshots that a recovery point wants, as it passes through the engine."""

from __future__ import annotations

import json

from shared.workflows.outcomes import MAX_BYTES
from shared.workflows.point_activities import places_of_peers


def test_each_peer_gets_its_first_place_and_the_one_beyond_its_last() -> None:
    wanted = [(7, "a"), (7, "b"), (9, "a"), (11, "a"), (11, "b"), (11, "c")]
    assert places_of_peers(wanted) == [[0, 2], [2, 3], [3, 6]]
    assert places_of_peers([]) == []


def test_what_passes_through_the_engine_does_not_grow_with_the_collections() -> None:
    wanted = [(peer, f"agent_{number:032x}") for peer in range(3) for number in range(10_000)]
    places = places_of_peers(wanted)
    assert places == [[0, 10_000], [10_000, 20_000], [20_000, 30_000]]
    assert len(json.dumps({"peers": places})) < MAX_BYTES
