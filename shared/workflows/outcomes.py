"""How payloads and the ends of activities travel through an engine: as plain JSON, small, without secrets.

An activity never raises into its engine. What an engine makes of an exception (stack traces in a task hub, a
text of its own around the message) differs from engine to engine; an outcome that is data does not.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from shared.errors import BackupSystemError
from shared.workflows.context import ActivityFailedError

MAX_BYTES = 16 * 1024
"""What one payload, result or status may measure as JSON. Durable Functions keeps them in its task hub, in
clear, and reads them again at every replay; it caps a custom status at 16 KiB."""

_MAX_TEXT = 1000
_SECRET = re.compile(r"(?i)\b(sig|code|accountkey|api[-_]key|pwd|password|token)(\s*[=:]\s*)[^&;,\s\"']+")

type Activity = Callable[[dict[str, Any]], Any]
"""An activity: gets a payload, returns plain JSON, may be called twice for the same payload."""

type Outcome = dict[str, Any]
"""``{"result": …}`` or ``{"failure": {code, message, meaning, hint, retryable}}``."""

log = logging.getLogger(__name__)


class PayloadError(BackupSystemError):
    """Something that was to pass through the engine is too large, or not plain JSON."""

    code = "payload"
    meaning = "The workflow cannot go on."


def plain(what: str, value: Any) -> Any:
    """Force a value through JSON, as every engine does sooner or later.

    Args:
        what: what the value is, for the error's text: ``the input of activity back_up``.
        value: the value.

    Returns:
        The value as JSON gives it back: a copy, tuples are lists, keys are text.

    Raises:
        PayloadError: it is larger than 16 KiB, or JSON has no word for it.
    """
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise PayloadError(
            f"{what} is not plain JSON: {error}.", "Pass text, numbers, lists and dictionaries only."
        ) from error
    if len(text) > MAX_BYTES:  # dumps() writes ASCII, so characters are bytes
        raise PayloadError(
            f"{what} measures {len(text):,} bytes; the engine carries at most {MAX_BYTES:,}.",
            "Keep it in the run's state and pass a reference.",
        )
    return json.loads(text)


def perform(name: str, activity: Activity, payload: Mapping[str, Any]) -> Outcome:
    """Call an activity and tell how it ended, as data.

    Args:
        name: the activity's name, for log and messages.
        activity: the function.
        payload: its input.

    Returns:
        The outcome. A failure is also logged; one that nobody foresaw with the way it came.
    """
    try:
        return {"result": plain(f"The result of activity {name}", activity(dict(payload)))}
    except BackupSystemError as error:
        log.warning("Activity %s failed: %s", name, error)
        return {"failure": error.as_dict()}
    except Exception as error:  # noqa: BLE001 - becomes the outcome, which nobody can overlook
        failure = unforeseen(error)
        way = "".join(traceback.format_tb(error.__traceback__))  # without the exception's own text
        log.error("Activity %s failed unexpectedly: %s\n%s", name, failure["message"], way)  # noqa: TRY400 - see above
        return {"failure": failure}


def unforeseen(error: Exception) -> dict[str, str | bool]:
    """A failure that nobody foresaw, as data like ``BackupSystemError.as_dict``; secrets are cut out."""
    text = f"{type(error).__name__}: {_SECRET.sub(r'\1\2…', str(error))}"[:_MAX_TEXT]
    return BackupSystemError(
        text, "This is a fault of the software; its log tells the way it came.", code="unexpected"
    ).as_dict()


def result_of(name: str, outcome: Outcome) -> Any:
    """What the activity returned.

    Args:
        name: the activity's name.
        outcome: how it ended.

    Returns:
        Its result, plain JSON.

    Raises:
        ActivityFailedError: it failed.
    """
    if "failure" in outcome:
        raise ActivityFailedError(name, outcome["failure"])
    return outcome["result"]
