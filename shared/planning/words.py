"""Times, sizes and durations as people read them."""

from __future__ import annotations

from datetime import datetime, timedelta


def said(time: datetime) -> str:
    """An instant: UTC, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ")


def sized(size: int) -> str:
    """A number of bytes: ``1.5 GiB``."""
    amount, unit = float(size), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{size} bytes" if unit == "bytes" else f"{amount:.1f} {unit}"


def lasted(span: timedelta) -> str:
    """A duration, by its two largest units: ``1 d 4 h``, ``3 min 20 s``."""
    seconds = max(0, int(span.total_seconds()))  # two clocks can make it a little less than nothing
    days, seconds = divmod(seconds, 86_400)
    hours, seconds = divmod(seconds, 3_600)
    minutes, seconds = divmod(seconds, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    while len(parts) > 1 and parts[0][0] == 0:
        parts.pop(0)
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count or len(parts) == 1)
