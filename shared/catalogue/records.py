"""Documents of the catalogue as the types of the model."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from pydantic import ValidationError

from shared.blob import documents
from shared.blob.documents import Stored
from shared.blob.storage import Storage
from shared.errors import IntegrityError, NotFoundError
from shared.model.base import Document

_log = logging.getLogger(__name__)

_READERS = 8
_PROBLEMS_NAMED = 3


def read[T: Document](storage: Storage, container: str, name: str, model: type[T]) -> tuple[T, str]:
    """Read one document.

    Returns:
        The document and its ETag.

    Raises:
        NotFoundError: it is not there.
        IntegrityError: it is no such document, or this version does not understand it.
        UnreachableError, NotPermittedError, StorageError: it could not be read.
    """
    stored = documents.read(storage, container, name)
    return parsed(stored, model), stored.etag


def read_all[T: Document](storage: Storage, container: str, names: Iterable[str], model: type[T]) -> list[T]:
    """Read many documents, eight at a time, in the order of their names.

    One that cannot be understood must not hide all others: it is logged as a warning and left out, as is one
    that was removed meanwhile.

    Raises:
        UnreachableError, NotPermittedError, StorageError: they could not be read.
    """

    def one(name: str) -> T | None:
        try:
            return read(storage, container, name, model)[0]
        except (NotFoundError, IntegrityError) as error:
            _log.warning("Left out: %s", error)
            return None

    with ThreadPoolExecutor(_READERS, thread_name_prefix="catalogue") as pool:
        return [found for found in pool.map(one, names) if found is not None]


def parsed[T: Document](stored: Stored, model: type[T]) -> T:
    """The document that some JSON stands for.

    Raises:
        IntegrityError: it is no such document, or this version does not understand it.
    """
    try:
        return model.model_validate(stored.value)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False, include_context=False)
    schema = stored.value.get("schema")
    if any(problem["loc"] == ("schema",) for problem in problems) and schema is not None:
        raise IntegrityError(
            f"{stored.name} has the schema {str(schema)[:20]}, which this version does not understand.",
            "Use the version of octopus-backup that wrote it, or a newer one.",
            meaning="It was left as it is.",
        )
    named = "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'it'}: {problem['msg']}"
        for problem in problems[:_PROBLEMS_NAMED]
    )
    raise IntegrityError(
        f"{stored.name} is not a valid {model.__name__} ({len(problems)} problem(s)): {named}.",
        "It was not written by this system, or was damaged.",
    )
