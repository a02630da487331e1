"""How Qdrant 1.19.0 answers: envelopes, errors, and the complaints of its JSON and query-string parsers.

All texts were measured on a real server of that version.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from starlette.responses import JSONResponse, PlainTextResponse, Response

VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


class QdrantError(Exception):
    """A refusal in Qdrant's words.

    Args:
        status: HTTP status.
        text: the error text, with the prefix that names its kind (``Wrong input: …``).
        plain: whether the answer is plain text instead of the JSON envelope.
    """

    def __init__(self, status: int, text: str, *, plain: bool = False) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.plain = plain

    def response(self, seconds: float) -> Response:
        """The HTTP answer; ``seconds`` is the time the request took."""
        if self.plain:
            return PlainTextResponse(self.text, self.status, {"vary": VARY})
        body = {"status": {"error": self.text}, "time": seconds}
        return JSONResponse(body, self.status, {"vary": VARY})


def bad_input(text: str) -> QdrantError:
    """400: the request contradicts the data."""
    return QdrantError(400, f"Wrong input: {text}")


def bad_request(text: str) -> QdrantError:
    """400: the request itself makes no sense."""
    return QdrantError(400, f"Bad request: {text}")


def not_found(text: str) -> QdrantError:
    """404."""
    return QdrantError(404, f"Not found: {text}")


def forbidden(text: str) -> QdrantError:
    """403."""
    return QdrantError(403, f"Forbidden: {text}")


def internal(text: str) -> QdrantError:
    """500: the server, its disk or a remote host failed."""
    return QdrantError(500, f"Service internal error: {text}")


def no_collection(name: str) -> QdrantError:
    """404 for a collection that is not there."""
    return not_found(f"Collection `{name}` doesn't exist!")


def collection_exists(name: str) -> QdrantError:
    """409 for a name that a collection has already."""
    return QdrantError(409, f"Wrong input: Collection `{name}` already exists!")


def disk_failed(error: OSError) -> QdrantError:
    """500: the file system refused, for example a name that is too long."""
    return internal(f'{error.strerror} (os error {error.errno}) at path "{error.filename}"')


def not_part(what: str) -> QdrantError:
    """501: a real server would do this, the stand-in does not. No real server answers so."""
    return QdrantError(501, f"{what} is not part of the stand-in for Qdrant (it is on a real server).")


def success(result: Any, seconds: float) -> Response:
    """The usual envelope around ``result``."""
    return JSONResponse({"result": result, "status": "ok", "time": seconds}, headers={"vary": VARY})


def accepted(seconds: float) -> Response:
    """202: the work goes on behind the client's back; there is no ``result`` key."""
    return JSONResponse({"status": "accepted", "time": seconds}, 202, {"vary": VARY})


def nothing_here() -> Response:
    """404 with an empty body: how the server answers to every path or method that it does not know."""
    return Response(b"", 404, {"vary": VARY})


@dataclass(frozen=True)
class Body:
    """A JSON object sent by a client, read field by field; whoever reads it names every field it may have.

    A real server ignores most unknown fields. The stand-in refuses them, so that a request which asks for
    something it cannot do does not pass unnoticed.
    """

    fields: Mapping[str, Any]
    raw: str = ""
    where: str = "JSON body"

    def __post_init__(self) -> None:
        """Refuse what is no object."""
        if not isinstance(self.fields, dict):
            self.refuse(f"invalid type: {json.dumps(self.fields)[:80]}, expected a map")

    @classmethod
    def parse(cls, raw: bytes) -> Body:
        """Read a request's body; an empty one is an error, as it is on the server.

        Raises:
            QdrantError: it is not a JSON object.
        """
        text = raw.decode("utf-8", "replace")
        try:
            value = json.loads(text)
        except ValueError:
            problem = "EOF while parsing a value" if not text.strip() else "expected value"
            raise QdrantError(400, f"Format error in JSON body: {problem} at line 1 column 0") from None
        return cls(value, text)

    def only(self, *names: str) -> Body:
        """Refuse the body when it has a field that is not among ``names``."""
        for name in self.fields:
            if name not in names:
                known = ", ".join(f"`{known}`" for known in names)
                self.refuse(f"unknown field `{name}`, expected one of {known}", name)
        return self

    def need(self, name: str) -> Any:
        """The value of a field that must be there."""
        if name not in self.fields:
            self.refuse(f"missing field `{name}`")
        return self.fields[name]

    def get(self, name: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        """The value of a field that may be absent or null, and must else be of ``kind``."""
        value = self.fields.get(name)
        if value is None:
            return default
        kinds = kind if isinstance(kind, tuple) else (kind,)
        fits = isinstance(value, kind) and (
            not isinstance(value, bool) or bool in kinds
        )  # True is an int, too
        if not fits:
            self.refuse(f"invalid type: {json.dumps(value)[:80]} for field `{name}`", value)
        return value

    def choice(self, name: str, *allowed: str, default: str) -> str:
        """The value of a field that must be one of a few words."""
        value = self.get(name, str, default)
        if value not in allowed:
            expected = ", ".join(f"`{word}`" for word in allowed)
            self.refuse(f"unknown variant `{value}`, expected one of {expected}", value)
        return str(value)

    @contextlib.contextmanager
    def fits(self, kind: str) -> Iterator[None]:
        """Refuse the body when the engine cannot make a ``kind`` of it."""
        try:
            yield
        except (TypeError, ValueError, OverflowError, AttributeError):
            self.refuse(f"data did not match any variant of untagged enum {kind}")

    def refuse(self, problem: str, at: Any = None) -> NoReturn:
        """Raise the parser's complaint; its column is the end of the value ``at``, or of the body."""
        end = len(self.raw)
        if at is not None:
            written = json.dumps(at)
            found = self.raw.find(written)
            end = found + len(written) if found >= 0 else end
        raise QdrantError(400, f"Format error in {self.where}: {problem} at line 1 column {end}")


def flag(query: Mapping[str, str], name: str, default: bool) -> bool:
    """A boolean of the query string.

    Raises:
        QdrantError: it is neither ``true`` nor ``false``.
    """
    value = query.get(name)
    if value is None:
        return default
    if value not in ("true", "false"):
        raise QdrantError(
            400, "Deserialize error in query parameters: provided string was not `true` or `false`"
        )
    return value == "true"
