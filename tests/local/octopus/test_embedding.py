from __future__ import annotations

import math
import subprocess
import sys

import pytest

from local.octopus import embedding
from local.octopus.embedding import NoWordsError, embed, similarity


def test_a_vector_has_384_numbers_and_length_1() -> None:
    vector = embed("The nonlocal statement rebinds names of the enclosing function.")
    assert len(vector) == embedding.SIZE == 384
    assert math.isclose(math.hypot(*vector), 1.0)


def test_the_same_text_has_the_same_vector_in_another_process() -> None:
    text = "Slicing a sequence: «naïve» x1 [1:2]"
    program = f"from local.octopus.embedding import embed; print(repr(embed({text!r})))"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        text=True,
        env={"PYTHONHASHSEED": "7", "PYTHONIOENCODING": "utf-8"},
    )
    assert ran.stdout.strip() == repr(embed(text))


def test_texts_that_share_words_are_nearer_than_texts_that_do_not() -> None:
    question = embed("how are exceptions raised")
    assert similarity(question, embed("The raise statement: exceptions are raised by it.")) > 0.4
    assert abs(similarity(question, embed("Lists hold items in order."))) < 0.2


def test_words_in_the_same_order_are_nearer_than_the_same_words_in_another() -> None:
    question = embed("context manager exit")
    assert similarity(question, embed("context manager exit")) > similarity(
        question, embed("exit manager context")
    )


def test_plural_and_singular_are_the_same_word() -> None:
    assert embed("statements") == embed("statement")
    assert embed("class") != embed("clas")


@pytest.mark.parametrize("text", ["", "  \n", "++ -- 12 _", "what is the"])
def test_a_text_without_telling_words_is_refused(text: str) -> None:
    with pytest.raises(NoWordsError):
        embed(text)


def test_text_that_utf8_cannot_carry_still_has_a_vector() -> None:
    assert len(embed("word\udc80word other")) == 384
