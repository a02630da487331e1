"""What goes into a request to Octopus' API, and what its answers and its silence mean."""

from __future__ import annotations

import json
import uuid
from typing import Any, Final

import httpx
from pydantic import SecretStr

from shared.errors import InvalidRequestError, InvalidSettingsError, StoreError, UnreachableError

MEANING: Final = "The restored data is untouched; that Octopus works with it is not proven."

_OURS = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "accept", "accept-encoding", "connection"}
)
"""Headers that the app or its HTTP client sets."""


def path_of(setting: str, template: str, **values: str) -> str:
    """A path of the settings with its placeholders filled in.

    Args:
        setting: the setting's name.
        template: its value, such as ``/api/chat/{session}/send``.
        values: what stands for each placeholder, already fit for a path.

    Raises:
        InvalidSettingsError: it does not begin with one slash, or holds a placeholder that is not known.
    """
    if not template.startswith("/") or template.startswith("//"):
        raise InvalidSettingsError(f"{setting}: {template!r} does not begin with one slash.")
    path = template
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", value)
    if "{" in path:
        known = " and ".join(f"{{{name}}}" for name in values) or "none"
        raise InvalidSettingsError(
            f"{setting}: {template!r} holds a placeholder that is not known.", f"Known: {known}."
        )
    return path


def headers_of(secret: SecretStr | None) -> dict[str, str]:
    """OCTOPUS_API_HEADERS as headers.

    Raises:
        InvalidSettingsError: it is no JSON object of texts, or one of them cannot be a header. Its content is
            a secret and is not told.
    """
    if secret is None:
        return {}
    try:
        given = json.loads(secret.get_secret_value())
    except ValueError:
        given = None
    if not isinstance(given, dict) or not all(_is_header(name, value) for name, value in given.items()):
        raise InvalidSettingsError(
            "OCTOPUS_API_HEADERS: is not a JSON object of header names and their texts.",
            'Example: {"Ocp-Apim-Subscription-Key": "…"}. Host, Content-Type … are set by the app.',
        )
    return dict(given)


def _is_header(name: str, value: object) -> bool:
    return (
        isinstance(value, str)
        and value.isascii()
        and value.isprintable()
        and name.isascii()
        and name.replace("-", "").replace("_", "").isalnum()
        and name.lower() not in _OURS
    )


def token_of(secret: SecretStr) -> str:
    """The bearer token.

    Raises:
        InvalidSettingsError: it cannot be one.
    """
    token = secret.get_secret_value()
    if not (token.isascii() and token.isprintable()):
        raise InvalidSettingsError(
            "OCTOPUS_API_TOKEN: holds characters that no token has.", "Look for a line break at its end."
        )
    return token


def agent_of_request(agent_id: str) -> str:
    """An agent's id as a GUID with dashes, which is harmless in a path.

    Raises:
        InvalidRequestError: it is none.
    """
    try:
        return str(uuid.UUID(agent_id))
    except ValueError:
        raise InvalidRequestError(
            f"{agent_id[:60]!r} is not an agent's id.", "Octopus' agents are named by UUIDs."
        ) from None


def items_of(what: str, answer: bytes) -> list[dict[str, Any]]:
    """The found things: a JSON array of objects, or an object that holds one as ``items``.

    Raises:
        StoreError: it is something else.
    """
    try:
        value = json.loads(answer)
    except ValueError:
        value = None
    if isinstance(value, dict):
        value = value.get("items")
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise StoreError(
            f"{what}: Octopus' API answered with something else than a list of objects.",
            "Compare the version of Octopus with the one that this system knows.",
            code="octopus_error",
            meaning=MEANING,
        )
    return value


def too_long(what: str, limit: str) -> StoreError:
    """An answer that is not read on."""
    return StoreError(
        f"{what}: Octopus' API sent more than {limit}.",
        "Look into the API's own log.",
        code="octopus_error",
        meaning=MEANING,
    )


def too_late(what: str, seconds: float) -> UnreachableError:
    """An answer that did not begin, or did not end, in time."""
    return UnreachableError(
        f"{what} was not over after {seconds:.0f} s.",
        "Ask again; look into the API's own log.",
        meaning=MEANING,
    )


def unreachable(what: str, error: httpx.HTTPError) -> UnreachableError:
    """No answer, or half of one."""
    return UnreachableError(
        f"{what} failed: Octopus' API does not answer ({reason(error)}).",
        "See whether the API runs and whether OCTOPUS_API_URL is its address, then try again.",
        meaning=MEANING,
    )


def reason(error: httpx.HTTPError) -> str:
    """Why there was no answer, in words that hold no address and no header."""
    if isinstance(error, httpx.TimeoutException):
        return "it was silent for too long"
    if isinstance(error, httpx.ConnectError):
        return "no connection"
    return "the connection broke"
