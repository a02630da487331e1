"""Text as a vector: feature hashing of words and of pairs of neighbouring words.

This is no language model. It knows no meaning: two texts are near each other when they share words, and that
is all. It is here because it needs no download and gives the same vector for the same text on every machine
and in every process, so that a semantic search can be judged after a restore.

Each word and each pair falls into one of 384 slots and gets a sign, both taken from a BLAKE2b hash; its
weight grows with the logarithm of how often it occurs; the vector has length 1.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence

SIZE = 384
"""Dimensions of every vector."""

PAIR_WEIGHT = 0.5
"""A pair of words counts half: it sharpens the order of hits, words alone decide what is a hit."""

_WORD = re.compile(r"[^\W\d_]\w*")
_COMMON = frozenset(
    _WORD.findall(
        "a about also an and any are as at be been but by can do does e for from g has have how i if in into "
        "is it its may me my no not of on one or s so such t tell than that the their then there these they "
        "this to us was we were what when where which who why will with would you your"
    )
)


class NoWordsError(ValueError):
    """The text holds no word that says anything, so it has no place among the vectors."""


def embed(text: str) -> list[float]:
    """The vector of a text: 384 numbers of length 1.

    Raises:
        NoWordsError: nothing but white space, signs and the commonest words.
    """
    words = [_stem(word) for word in _WORD.findall(text.lower())]
    telling = [word for word in words if word not in _COMMON]
    if not telling:
        raise NoWordsError("The text holds no word that could be searched for.")
    vector = [0.0] * SIZE
    _add(vector, Counter(telling), 1.0)
    _add(vector, Counter(f"{first} {second}" for first, second in itertools.pairwise(telling)), PAIR_WEIGHT)
    length = math.sqrt(sum(value * value for value in vector))
    if length == 0.0:  # every feature met its opposite in its slot
        raise NoWordsError("The words of the text cancel each other out.")
    return [value / length for value in vector]


def similarity(one: Sequence[float], other: Sequence[float]) -> float:
    """The cosine of two vectors of length 1: 1 for the same words, about 0 for texts that share none."""
    return math.sumprod(one, other)


def _add(vector: list[float], counts: Counter[str], weight: float) -> None:
    for feature, count in counts.items():
        slot, sign = _slot(feature)
        vector[slot] += sign * weight * (1.0 + math.log(count))


@functools.lru_cache(maxsize=1 << 16)
def _slot(feature: str) -> tuple[int, float]:
    number = int.from_bytes(hashlib.blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8).digest())
    return (number >> 1) % SIZE, 1.0 if number & 1 else -1.0


def _stem(word: str) -> str:
    """A word without the s of its plural, where it is long enough to have one."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
