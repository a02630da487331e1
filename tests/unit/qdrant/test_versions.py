"""Which server may restore which snapshot, and how much space it needs."""

from __future__ import annotations

import pytest

from shared.errors import RefusedError
from shared.stores.qdrant.versions import demand_not_older, space_needed

MEASURED = 1_127_242_752  # bytes of the snapshot whose recovery was measured


@pytest.mark.parametrize(
    ("target", "source"),
    [
        ("1.19.0", "1.16.3"),
        ("1.19.0", "1.19.0"),
        ("1.19.0", "1.19.4"),
        ("1.20.0-dev", "1.19.0"),
        ("2.0.0", "1.19.0"),
    ],
)
def test_the_same_or_a_newer_minor_version_may_restore(target: str, source: str) -> None:
    demand_not_older(target, [source])


@pytest.mark.parametrize(("target", "source"), [("1.16.3", "1.19.0"), ("1.9.2", "1.10.0"), ("", "1.16.0")])
def test_an_older_server_may_not(target: str, source: str) -> None:
    with pytest.raises(RefusedError) as refused:
        demand_not_older(target, [source])
    assert refused.value.specific_code == "version_too_old"


def test_the_newest_of_the_peers_that_made_the_set_counts() -> None:
    with pytest.raises(RefusedError, match=r"made by Qdrant 1\.10\.1"):
        demand_not_older("1.9.9", ["1.9.1", "1.10.1", "1.8.0"])


@pytest.mark.parametrize(
    ("version", "by_upload", "safety", "times"),
    [
        ("1.19.0", False, False, 1.5),
        ("1.20.1", False, False, 1.5),
        ("1.16.3", False, False, 2.5),
        ("1.18.0", False, False, 2.5),
        ("1.19.0", True, False, 2.5),
        ("1.19.0", False, True, 2.5),
        ("1.16.3", True, True, 3.5),
    ],
)
def test_the_space_is_that_which_was_measured(
    version: str, by_upload: bool, safety: bool, times: float
) -> None:
    assert space_needed(MEASURED, version, by_upload, safety) == int(MEASURED * times)


def test_space_is_rounded_up() -> None:
    assert space_needed(1, "1.19.0", False, False) == 2
