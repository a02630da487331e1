"""The same question for many things at once: a bounded number in flight, and an end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from shared.errors import UnreachableError

AT_ONCE = 12
"""Requests in flight. A peer's connection pool holds 16, so that others find a free one."""


def together[T, R](
    items: Iterable[T], ask: Callable[[T], R], *, seconds: float, doing: str, at_once: int = AT_ONCE
) -> list[R]:
    """Ask for every item, several at once.

    Args:
        items: what is asked for.
        ask: called in a thread of a pool.
        seconds: after this long it is given up; what is in flight then ends by its own time-out.
        doing: what is being done, for a person.
        at_once: how many are asked at the same time.

    Returns:
        The answers, in the order of the items.

    Raises:
        UnreachableError: code ``too_slow``, not everything was answered in time.
        Exception: the first that ``ask`` raised; nothing new is asked then.
    """
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="qdrant")
    patient = False
    try:
        asked = [pool.submit(ask, item) for item in items]
        answered, unanswered = wait(asked, timeout=seconds, return_when=FIRST_EXCEPTION)
        failed = next((error for one in asked if one in answered and (error := one.exception())), None)
        patient = failed is not None or not unanswered
        if failed is not None:
            raise failed
        if unanswered:
            raise UnreachableError(
                f"Qdrant answered {len(answered)} of {len(asked)} questions within {seconds:.0f} s: {doing}.",
                "It is overloaded, or far away. Repeat it when the server has less to do.",
                code="too_slow",
            )
        return [one.result() for one in asked]
    finally:
        pool.shutdown(wait=patient, cancel_futures=True)
