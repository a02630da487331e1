"""Times, sizes and durations as people read them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.planning.words import lasted, sized


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1536, "1.5 KiB"),
        (3 * 1024**3, "3.0 GiB"),
        (5 * 1024**5, "5120.0 TiB"),
    ],
)
def test_a_size(size: int, words: str) -> None:
    assert sized(size) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (-3, "0 s"),
        (59, "59 s"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (100_800, "1 d 4 h"),
        (86_405, "1 d"),
    ],
)
def test_a_duration_by_its_two_largest_units(seconds: int, words: str) -> None:
    assert lasted(timedelta(seconds=seconds)) == words
