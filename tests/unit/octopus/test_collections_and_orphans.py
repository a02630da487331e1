"""Collection names, and what belongs to nobody."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.octopus.collections import agent_of
from shared.octopus.orphans import orphans

ALICE = "7f3a8b2c-4d5e-6f7a-8b9c-0d1e2f3a4b5c"
BOB = "00000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    "name",
    [
        "agent_7f3a8b2c4d5e6f7a8b9c0d1e2f3a4b5c",
        "agent_7F3A8B2C4D5E6F7A8B9C0D1E2F3A4B5C",
        "agent_7f3a8b2c-4d5e-6f7a-8b9c-0d1e2f3a4b5c",
        "agent_7f3a8b2c4d5e6f7a8b9c0d1e2f3a4b5c_acme_europe",
        "agent_7f3a8b2c-4d5e-6f7a-8b9c-0d1e2f3a4b5c_tenant\n2",
    ],
)
def test_the_agent_of_a_collection(name: str) -> None:
    assert agent_of(name) == ALICE


@pytest.mark.parametrize(
    "name",
    [
        "",
        "shared_knowledge",
        "agent_",
        "agent_7f3a8b2c",
        "agent_7f3a8b2c4d5e6f7a8b9c0d1e2f3a4b5c_",
        "agent_7f3a8b2c4d5e6f7a8b9c0d1e2f3a4b5cd",
        "my_agent_7f3a8b2c4d5e6f7a8b9c0d1e2f3a4b5c",
        "agent_7f3a8b2c-4d5e6f7a8b9c0d1e2f3a4b5c",
        "agent_zzza8b2c4d5e6f7a8b9c0d1e2f3a4b5c",
    ],
)
def test_a_collection_that_belongs_to_no_agent(name: str) -> None:
    assert agent_of(name) is None


@given(st.uuids(), st.text(min_size=1))
def test_every_spelling_of_an_agent_leads_back_to_it(agent: UUID, tenant: str) -> None:
    for spelling in (agent.hex, str(agent), str(agent).upper()):
        assert agent_of(f"agent_{spelling}") == str(agent)
        assert agent_of(f"agent_{spelling}_{tenant}") == str(agent)


def test_both_sides_are_compared_in_any_case() -> None:
    found = orphans([ALICE.upper(), BOB], [f"agent_{ALICE}", "agent_" + "c" * 32, "shared"])
    assert found.found
    assert found.collections_without_agent == ("agent_" + "c" * 32,)
    assert found.agents_without_collection == (BOB,)
    assert found.shared == ("shared",)


def test_where_both_sides_agree_nothing_is_found() -> None:
    found = orphans([ALICE], [f"agent_{ALICE}"])
    assert not found.found
    assert found.agents_without_collection == found.shared == ()
