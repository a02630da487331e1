"""Something wrong or noteworthy, for a person to read."""

from __future__ import annotations

from enum import StrEnum

from shared.model.base import Document


class Severity(StrEnum):
    """How much a finding matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Finding(Document):
    """A code for machines, a sentence of what is so, and a hint of what to do."""

    code: str
    severity: Severity
    message: str
    hint: str = ""


class ErrorInfo(Document):
    """An error as data: what ``BackupSystemError.as_dict`` gives."""

    code: str
    message: str
    meaning: str = ""
    hint: str = ""
    retryable: bool = False
