"""Which server may restore which snapshot."""

from __future__ import annotations

import pytest

from shared.errors import RefusedError
from shared.stores.qdrant.versions import demand_not_older


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
