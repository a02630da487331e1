from __future__ import annotations

import pytest

from local.octopus import knowledge
from local.octopus.embedding import embed, similarity
from local.octopus.knowledge import CHUNK_CHARACTERS, THEMES, Source, cut


def test_three_themes_hold_about_five_hundred_chunks() -> None:
    assert len(THEMES) >= 3
    chunks = sum(len(cut(source)) for theme in THEMES for source in theme.sources())
    assert 400 <= chunks <= 550


def test_every_section_that_is_named_is_in_this_python_and_in_one_place_only() -> None:
    named = [section for theme in (*THEMES, knowledge.LATER) for section in theme.sections]
    named += [section for sections in knowledge.KEPT_BACK.values() for section in sections]
    assert len(named) == len(set(named))
    found = [source.name for theme in (*THEMES, knowledge.LATER) for source in theme.sources()]
    found += [one.name for category in knowledge.KEPT_BACK for one in knowledge.later_sources(category)]
    assert found == named


def test_chunks_are_numbered_short_and_lose_no_word() -> None:
    for source in (one for theme in THEMES for one in theme.sources()):
        chunks = cut(source)
        assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
        assert all(0 < len(chunk.content) <= CHUNK_CHARACTERS for chunk in chunks)
        assert " ".join(chunk.content for chunk in chunks).split() == source.text.split()
        assert {(chunk.source, chunk.category) for chunk in chunks} == {(source.name, source.category)}


def test_pages_begin_at_1_and_grow() -> None:
    pages = [chunk.page for chunk in cut(THEMES[0].sources()[1])]
    assert pages[0] == 1
    assert pages == sorted(pages)
    assert len(set(pages)) > 3


def test_paragraphs_stay_whole_where_they_fit() -> None:
    paragraphs = ["a" * 300, "b" * 300, "c" * 300]
    chunks = cut(Source("s", "c", "\n\n".join(paragraphs)))
    assert [chunk.content for chunk in chunks] == ["\n\n".join(paragraphs[:2]), paragraphs[2]]


@pytest.mark.parametrize("text", ["x" * 2000, "\n".join(["y" * 90] * 30), "z" * 10 + "\n" + "w" * 900])
def test_what_is_too_long_is_cut_and_complete(text: str) -> None:
    chunks = cut(Source("s", "c", text))
    assert all(len(chunk.content) <= CHUNK_CHARACTERS for chunk in chunks)
    assert "".join("".join(chunk.content.split()) for chunk in chunks) == "".join(text.split())


@pytest.mark.parametrize("text", ["", "\n\n \n\t\n"])
def test_an_empty_document_has_no_chunks(text: str) -> None:
    assert cut(Source("s", "c", text)) == []


@pytest.mark.parametrize(
    ("question", "source"),
    [
        ("What does the nonlocal statement rebind?", "nonlocal"),
        ("How do chained comparisons work?", "comparisons"),
        ("How do I split a string on whitespace?", "string-methods"),
        ("operator precedence", "operator-summary"),
    ],
)
def test_a_question_finds_the_section_that_answers_it(question: str, source: str) -> None:
    chunks = [chunk for theme in THEMES for one in theme.sources() for chunk in cut(one)]
    wanted = embed(question)
    assert max(chunks, key=lambda chunk: similarity(wanted, embed(chunk.content))).source == source
