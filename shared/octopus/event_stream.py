"""Server-sent events, as far as Octopus' chat uses them (WHATWG HTML, "Server-sent events")."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any


def events(chunks: Iterable[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of a stream, each as its name and its data, a JSON object.

    Data that is no JSON object counts as an empty one; an event that no blank line ends does not count.

    Args:
        chunks: the stream's bytes, cut anywhere.
    """
    name = "message"
    data: list[str] = []
    for line in _lines(chunks):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield name, _object("\n".join(data))
            name = "message"
            data = []
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
