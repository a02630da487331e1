"""Numbers, severities and texts of the messages that this server can send: one per line of ``messages.txt``.

Source: Microsoft's documentation "Database engine events and errors" (sys.messages form), with ``{}`` for the
place holders.
"""

from __future__ import annotations

from pathlib import Path


def _read() -> dict[int, tuple[int, str]]:
    lines = Path(__file__).with_name("messages.txt").read_text("utf-8").splitlines()
    fields = (line.split("\t", 2) for line in lines)
    return {int(number): (int(severity), text) for number, severity, text in fields}


MESSAGES = _read()
