"""The names that restored databases and collections get."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import InvalidRequestError
from shared.octopus.collections import is_scratch
from shared.planning.names import (
    LONGEST_COLLECTION,
    LONGEST_DATABASE,
    Existing,
    Names,
    choose_names,
    demand_unreserved,
)
from tests.unit.planning.world import at

PREFIX = "rp_20260301t043000_"


def choose(
    databases: list[str],
    collections: list[str],
    asked: dict[str, str] | None = None,
    existing: Existing = Existing((), ()),  # noqa: B008 - immutable
    *,
    in_place: bool = False,
) -> Names:
    return choose_names(databases, collections, asked or {}, existing, in_place=in_place, stamp=at(4.5))


def code_of(*arguments: object, **options: object) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        choose(*arguments, **options)  # type: ignore[arg-type]  # passed through
    assert caught.value.hint
    return caught.value.specific_code


def test_a_name_that_nobody_uses_is_taken_as_it_is() -> None:
    assert choose(["OctopusDB"], ["agent_1"]) == Names({"OctopusDB": "OctopusDB"}, {"agent_1": "agent_1"})


def test_side_by_side_the_recovery_point_is_in_the_name() -> None:
    found = choose(["OctopusDB"], ["agent_1"], existing=Existing(["octopusdb"], ["agent_1"]))
    assert found.databases == {"OctopusDB": f"{PREFIX}OctopusDB"}
    assert found.collections == {"agent_1": f"{PREFIX}agent_1"}


def test_a_second_restore_of_the_same_point_gets_a_number() -> None:
    existing = Existing(["OctopusDB", f"{PREFIX}octopusdb", f"{PREFIX}2_OctopusDB"], [])
    assert choose(["OctopusDB"], [], existing=existing).databases["OctopusDB"] == f"{PREFIX}3_OctopusDB"


def test_in_place_keeps_the_name() -> None:
    found = choose(["OctopusDB"], ["a"], existing=Existing(["OctopusDB"], ["a"]), in_place=True)
    assert found == Names({"OctopusDB": "OctopusDB"}, {"a": "a"})


def test_collections_that_differ_in_case_are_two() -> None:
    assert choose([], ["a"], existing=Existing([], ["A"])).collections == {"a": "a"}


def test_a_long_name_is_cut_to_make_room_for_the_prefix() -> None:
    database, collection = "d" * 128, "ü" * 90
    found = choose([database], [collection], existing=Existing([database], [collection]))
    assert len(found.databases[database]) == LONGEST_DATABASE
    assert len(found.collections[collection].encode()) <= LONGEST_COLLECTION
    assert found.databases[database].startswith(PREFIX)


def test_the_longest_collection_leaves_room_for_the_name_of_its_snapshot() -> None:
    longest = "c" * LONGEST_COLLECTION + "-18446744073709551615-2026-01-31-04-00-00.snapshot-temp-XXXXXX"
    assert len(longest) == 255


def test_a_name_that_was_asked_for_is_used() -> None:
    assert choose(["OctopusDB"], [], {"OctopusDB": "Copy"}).databases == {"OctopusDB": "Copy"}


def test_a_name_that_was_asked_for_is_not_given_to_another_one() -> None:
    assert choose(["A", "B"], [], {"B": "A"}).databases == {"A": f"{PREFIX}A", "B": "A"}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a\nb",
        "a\x00",
        "a\u202eb",
        "a\u2028b",
        "\ud800",
        "x" * 129,
        "😀" * 65,
        "master",
        "TempDB",
        " padded",
        "padded ",
    ],
)
def test_a_hostile_database_name_is_refused(name: str) -> None:
    assert code_of(["OctopusDB"], [], {"OctopusDB": name}) == "invalid_name"


@pytest.mark.parametrize("name", ["", "a/b", "..", ".", "a\\b", "a\tb", 'a"b', "a*", "x" * 200, "ü" * 100])
def test_a_hostile_collection_name_is_refused(name: str) -> None:
    assert code_of([], ["agent_1"], {"agent_1": name}) == "invalid_name"


@pytest.mark.parametrize("name", ["it's [odd]", "ünï–code", "../x", "'; DROP DATABASE x --"])
def test_an_odd_database_name_is_data_and_allowed(name: str) -> None:
    assert choose(["OctopusDB"], [], {"OctopusDB": name}).databases == {"OctopusDB": name}


def test_a_name_that_exists_is_refused_unless_in_place() -> None:
    existing = Existing(["Live"], [])
    assert code_of(["OctopusDB"], [], {"OctopusDB": "LIVE"}, existing) == "name_taken"
    assert (
        choose(["OctopusDB"], [], {"OctopusDB": "LIVE"}, existing, in_place=True).databases["OctopusDB"]
        == "LIVE"
    )


def test_two_targets_of_one_name_are_refused() -> None:
    assert code_of(["A", "B"], [], {"A": "Copy", "B": "COPY"}) == "duplicate_name"
    assert code_of(["A", "B"], [], {"A": "B"}, in_place=True) == "duplicate_name"


def test_a_name_for_nothing_is_refused_because_it_is_a_typing_mistake() -> None:
    assert code_of(["OctopusDB"], [], {"OctopusDb": "Copy"}) == "unknown_name"


def test_a_name_for_a_database_and_a_collection_is_refused() -> None:
    assert code_of(["same"], ["same"], {"same": "other"}) == "ambiguous_name"


NAMES = st.lists(st.text("abAB_", min_size=1, max_size=3), max_size=6, unique_by=str.casefold)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(NAMES, NAMES, NAMES, NAMES)
def test_side_by_side_never_touches_what_exists_and_never_twice_the_same(
    databases: list[str], collections: list[str], there: list[str], points: list[str]
) -> None:
    found = choose(databases, collections, existing=Existing(there, points))
    targets = [name.casefold() for name in found.databases.values()]
    assert len(set(targets)) == len(databases)
    assert not set(targets) & {name.casefold() for name in there}
    assert len(set(found.collections.values())) == len(collections)
    assert not set(found.collections.values()) & set(points)


def test_names_that_are_made_are_known_as_such_and_left_alone() -> None:
    existing = Existing(["OctopusDB", f"{PREFIX}OctopusDB"], ["agent_1"])
    found = choose(["OctopusDB"], ["agent_1"], existing=existing)
    for name in (*found.databases.values(), *found.collections.values()):
        assert is_scratch(name)
    assert not is_scratch("OctopusDB")


@pytest.mark.parametrize("name", ["rp_20260301t043000_x", "drill_20260301t043000_OctopusDB"])
def test_a_person_cannot_ask_for_a_name_like_those_that_are_made(name: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        demand_unreserved(["fine", name])
    assert refused.value.specific_code == "reserved_name"
    demand_unreserved(["fine", "rp_of_mine", "drill"])


def test_a_database_is_not_cut_to_a_name_that_ends_with_a_space() -> None:
    database = "d" * (LONGEST_DATABASE - len(PREFIX) - 1) + " tail"
    found = choose([database], [], existing=Existing([database], []))
    assert found.databases[database] == PREFIX + "d" * (LONGEST_DATABASE - len(PREFIX) - 1)
