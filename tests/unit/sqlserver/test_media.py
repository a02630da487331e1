"""How many stripes a backup gets, and how progress is counted."""

from __future__ import annotations

import pytest

from shared.stores.sqlserver.execute import bytes_of, scaled
from shared.stores.sqlserver.media import stripes
from shared.stores.sqlserver.targets import own_files

GIB = 1024**3


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, 1), (1, 1), (150 * GIB, 1), (150 * GIB + 1, 2), (1024 * GIB, 7), (100_000 * GIB, 64)],
)
def test_a_stripe_holds_150_gib_and_there_are_at_most_64(size: int, expected: int) -> None:
    assert stripes(size) == expected


def test_progress_of_a_part_is_a_share_of_the_whole() -> None:
    told: list[int] = []
    part = scaled(told.append, 60, 100)
    for percent in (0, 50, 100):
        part(percent)
    assert told == [60, 80, 100]


def test_bytes_become_whole_percents_each_told_once() -> None:
    told: list[int] = []
    add = bytes_of(told.append, 1000)
    for _ in range(10):
        add(99)
    add(10)
    assert told == [9, 19, 29, 39, 49, 59, 69, 79, 89, 99, 100]


def test_nothing_at_all_is_done_at_once() -> None:
    told: list[int] = []
    bytes_of(told.append, 0)(0)
    assert told == [100]


def test_files_of_two_targets_and_of_two_runs_never_share_a_name() -> None:
    names = {own_files(target, run) for target in ("a/b", "a:b", "a_b") for run in ("RUN1", "RUN2")}
    assert len(names) == 6


def test_a_hostile_target_makes_a_harmless_file_name() -> None:
    name = own_files("../../[x]'; DROP -- \N{PILE OF POO}" + "x" * 200, "01KBRW5XJ8Q4Z6T7Y8N9M0ABCD")
    assert all(character.isascii() and (character.isalnum() or character in "_-") for character in name)
    assert len(name) < 80
