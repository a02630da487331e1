"""Faults that a test orders: set with ``POST /_standin/faults``, forgotten with ``DELETE``.

A fault is one JSON object; ``times`` says how often it strikes (once, when absent)::

    {"download_cut_after": 1000}                 the next download breaks off after 1,000 bytes
    {"create_delay": 2.5}                        the next snapshot takes 2.5 seconds longer
    {"recover_delay": 2.5}                       the next recovery takes 2.5 seconds longer
    {"checksum_wrong": true}                     the next description of a snapshot names a wrong checksum
    {"status": 503, "match": "POST /collections/x/snapshots", "times": 2}
                                                 the next two such requests are answered 503
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from local.qdrant.answers import Body

KINDS = ("download_cut_after", "create_delay", "recover_delay", "checksum_wrong", "status")


@dataclass
class Fault:
    """One ordered fault: what happens, how often still, and to which request (``status`` only)."""

    kind: str
    value: Any
    times: int
    match: str = ""


class Faults:
    """The faults in force."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def order(self, body: Body) -> None:
        """Add the fault that a test describes.

        Raises:
            QdrantError: it is none of those that exist.
        """
        body.only(*KINDS, "times", "match")
        kinds = [kind for kind in KINDS if kind in body.fields]
        if len(kinds) != 1:
            body.refuse(f"a fault has exactly one of {', '.join(KINDS)}")
        kind = kinds[0]
        match = str(body.need("match")) if kind == "status" else ""
        with self._lock:
            self._faults.append(Fault(kind, body.fields[kind], int(body.get("times", int, 1)), match))

    def forget(self) -> None:
        """No faults any more."""
        with self._lock:
            self._faults.clear()

    def strike(self, kind: str, request: str = "") -> Any:
        """The value of the first such fault, used up by one; None when there is none."""
        with self._lock:
            for fault in self._faults:
                if fault.kind == kind and fault.match == request:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                    return fault.value
        return None
