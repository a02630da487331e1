"""Step 3 as a whole: number of collections, points, aliases, statuses."""

from __future__ import annotations

from typing import Any

from shared.checklist import Judgement, RestoredCollection, judge_vectors
from shared.model.backups import Count, Quality

PEERS = ("http://a", "http://b")


def exact(value: int) -> Count:
    return Count(value=value, quality=Quality.EXACT)


def seen(name: str, points: int, **other: Any) -> RestoredCollection:
    """A collection as two well peers see it, but for what a test says."""
    given: dict[str, Any] = {
        "missing": (),
        "counts": dict.fromkeys(PEERS, points),
        "statuses": dict.fromkeys(PEERS, "green"),
        "optimizers": dict.fromkeys(PEERS, "ok"),
    }
    return RestoredCollection(name, **{**given, **other})


def judged(*found: RestoredCollection, aliases: dict[str, str] | None = None) -> Judgement:
    expected = {"one": exact(5), "two": exact(7)}
    return judge_vectors(
        expected, {one.name: one for one in found}, {"live": "one"}, aliases or {"live": "one"}
    )


def test_all_as_it_was_passes_with_the_numbers_in_evidence() -> None:
    judgement = judged(seen("one", 5), seen("two", 7))
    assert judgement.passed
    assert judgement.notes == ()
    assert judgement.evidence["collections"] == {"expected": 2, "restored": 2}
    assert judgement.evidence["points"] == {"expected": 12, "counted": 12}
    assert judgement.evidence["aliases"] == {"expected": 1, "right": 1}
    assert judgement.evidence["statuses"] == {"green": 4}
    assert judgement.evidence["peers"] == list(PEERS)


def test_a_collection_that_is_not_there_fails_by_its_name() -> None:
    (problem,) = judged(seen("one", 5)).mismatches
    assert problem == "1 of 2 collections are there on every peer; missing: two."


def test_a_collection_that_one_peer_does_not_know_fails() -> None:
    half = seen("two", 7, missing=(PEERS[1],), counts={PEERS[0]: 7})
    assert "missing: two" in judged(seen("one", 5), half).mismatches[0]


def test_another_number_of_points_fails_for_every_peer_that_counts_it() -> None:
    judgement = judged(seen("one", 5), seen("two", 6))
    assert len(judgement.mismatches) == 2
    assert "'two', counted by http://a, has 6, and had 7" in judgement.mismatches[0]


def test_peers_that_disagree_fail_even_inside_an_interval() -> None:
    span = Count(value=6, quality=Quality.APPROXIMATE, low=5, high=7)
    found = seen("one", 5, counts={PEERS[0]: 5, PEERS[1]: 6})
    judgement = judge_vectors({"one": span}, {"one": found}, {}, {})
    assert judgement.mismatches == ("The peers count 'one' differently: {'http://a': 5, 'http://b': 6}.",)
    assert judgement.notes == ("1 of 1 counts were compared with an interval only.",)


def test_an_alias_that_is_missing_or_stands_for_another_collection_fails() -> None:
    both = (seen("one", 5), seen("two", 7))
    assert "is missing; it should stand for 'one'" in judged(*both, aliases={"x": "one"}).mismatches[0]
    assert "stands for 'two'" in judged(*both, aliases={"live": "two"}).mismatches[0]


def test_red_and_a_failed_optimizer_fail_while_yellow_is_only_told() -> None:
    red = seen("one", 5, statuses={PEERS[0]: "green", PEERS[1]: "red"})
    failed = seen("two", 7, optimizers={PEERS[0]: "ok", PEERS[1]: "No space left"})
    judgement = judged(red, failed)
    assert judgement.mismatches == (
        "'one' is red on http://b.", "The optimizer of 'two' on http://b has failed: No space left",
    )  # fmt: skip
    yellow = judged(seen("one", 5, statuses=dict.fromkeys(PEERS, "yellow")), seen("two", 7))
    assert yellow.passed
    assert yellow.notes == ("1 collection(s) are whole but not green yet: one.",)


def test_a_thousand_problems_are_counted_and_a_few_told() -> None:
    expected = {f"c{number:03}": exact(1) for number in range(300)}
    found = {name: seen(name, 2) for name in expected}
    judgement = judge_vectors(expected, found, {}, {})
    assert len(judgement.mismatches) == 21
    assert judgement.mismatches[-1] == "580 more problem(s)."
