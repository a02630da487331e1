"""Every error that this system raises on purpose.

::

    BackupSystemError                    everything below
    ├── InvalidRequestError              what was asked for cannot be (usage)
    │   ├── InvalidSettingsError         the settings are wrong; lists every problem
    │   ├── NotFoundError                no such run, plan, backup or recovery point
    │   └── NothingToRestoreError        no backups lead to the target
    ├── RefusedError                     possible, but not safe now
    │   ├── LockedError                  another run works on the same thing
    │   ├── PlanChangedError             the plan is no longer what was shown
    │   ├── TargetInTheWayError          the target exists or is in a state that is not ours
    │   └── NotPermittedError            our own identity lacks a right, or is not accepted
    │       └── CallerNotPermittedError  the caller lacks a right
    ├── UnreachableError                 a server or the storage does not answer; retry helps
    │   └── OutcomeUnknownError          the connection was lost; the work may have been done
    ├── StoreError                       a server answered with an error
    │   ├── SqlServerError               …with its message number
    │   └── QdrantError                  …with its HTTP status
    ├── StorageError                     Blob Storage answered with an error
    │   ├── AlreadyExistsError           something of that name is there
    │   └── ConflictError                somebody changed it meanwhile
    ├── IntegrityError                   bytes or counts are not what was recorded
    ├── ProofFailedError                 a restore does not match its recovery point
    └── CancelledError                   a person has cancelled the run

``code`` is stable and meant for machines; ``message`` says what happened, ``meaning`` what it means for the
backup, ``hint`` what to do. None of them may ever contain a secret. ``retryable`` says whether the same call
can succeed later without a change.
"""

from __future__ import annotations

from typing import ClassVar


class BackupSystemError(Exception):
    """The root of the tree.

    Args:
        message: one sentence for the person who reads it: what happened.
        hint: what to do about it; empty when there is nothing better than to read the message.
        code: a stable identifier more specific than the class's own.
        meaning: what it means for the backup; the class's own sentence if None.
    """

    code: ClassVar[str] = "error"
    meaning: ClassVar[str] = ""
    retryable: bool = False

    def __init__(
        self, message: str, hint: str = "", *, code: str | None = None, meaning: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.specific_code = code or self.code
        self.specific_meaning = self.meaning if meaning is None else meaning

    def as_dict(self) -> dict[str, str | bool]:
        """The error as plain data: code, message, meaning, hint, retryable."""
        return {
            "code": self.specific_code,
            "message": self.message,
            "meaning": self.specific_meaning,
            "hint": self.hint,
            "retryable": self.retryable,
        }

    def __str__(self) -> str:
        return " ".join(part for part in (self.message, self.specific_meaning, self.hint) if part)


class InvalidRequestError(BackupSystemError):
    """What was asked for cannot be."""

    code = "invalid_request"
    meaning = "Nothing was started."


class InvalidSettingsError(InvalidRequestError):
    """The settings are wrong; the message lists every problem."""

    code = "invalid_settings"


class NotFoundError(InvalidRequestError):
    """No such run, plan, backup or recovery point."""

    code = "not_found"


class NothingToRestoreError(InvalidRequestError):
    """No backups lead to the target."""

    code = "nothing_to_restore"


class RefusedError(BackupSystemError):
    """Possible, but not safe now."""

    code = "refused"
    meaning = "Nothing was changed."


class LockedError(RefusedError):
    """Another run works on the same thing.

    Args:
        message: what is locked, and by which run.
        hint: what to do.
        run_id: the run that holds it, where it is known.
    """

    code = "locked"
    retryable = True

    def __init__(
        self, message: str, hint: str = "", *, code: str | None = None, run_id: str | None = None
    ) -> None:
        super().__init__(message, hint, code=code)
        self.run_id = run_id

    def as_dict(self) -> dict[str, str | bool]:
        """The error as plain data, with the id of the other run."""
        return super().as_dict() | ({"run_id": self.run_id} if self.run_id else {})


class PlanChangedError(RefusedError):
    """The plan is no longer what was shown."""

    code = "plan_changed"


class TargetInTheWayError(RefusedError):
    """The target exists, or is in a state that is not ours."""

    code = "target_in_the_way"


class NotPermittedError(RefusedError):
    """Our own identity lacks a right on a server or the storage, or is not accepted there."""

    code = "not_permitted"


class CallerNotPermittedError(NotPermittedError):
    """The caller lacks a right."""

    code = "caller_not_permitted"


class UnreachableError(BackupSystemError):
    """A server or the storage does not answer."""

    code = "unreachable"
    meaning = "Nothing was recorded as done; what was begun is repeated."
    retryable = True


class OutcomeUnknownError(UnreachableError):
    """The connection was lost while a statement ran: it may or may not have been done."""

    code = "outcome_unknown"


class StoreError(BackupSystemError):
    """A server answered with an error."""

    code = "store_error"
    meaning = "No backup was recorded."


class SqlServerError(StoreError):
    """SQL Server answered with an error.

    Args:
        message: what happened.
        number: SQL Server's message number.
        hint: what to do.
        code: stable identifier of the class of number.
        meaning: what it means for the backup.
        retryable: whether the same statement can succeed later.
    """

    code = "sqlserver_error"

    def __init__(
        self,
        message: str,
        number: int,
        hint: str = "",
        *,
        code: str | None = None,
        meaning: str | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(message, hint, code=code, meaning=meaning)
        self.number = number
        self.retryable = retryable  # decided by number, not by class


class QdrantError(StoreError):
    """Qdrant answered with an error.

    Args:
        message: what happened, with addresses redacted.
        status: the HTTP status.
        hint: what to do.
        code: stable identifier of the class of error.
        retryable: whether the same request can succeed later.
    """

    code = "qdrant_error"

    def __init__(
        self, message: str, status: int, hint: str = "", *, code: str | None = None, retryable: bool = False
    ) -> None:
        super().__init__(message, hint, code=code)
        self.status = status
        self.retryable = retryable  # decided by status, not by class


class StorageError(BackupSystemError):
    """Blob Storage answered with an error."""

    code = "storage_error"
    meaning = "No backup was recorded."


class AlreadyExistsError(StorageError):
    """Something of that name is there."""

    code = "already_exists"
    meaning = "What is there was left as it is."


class ConflictError(StorageError):
    """Somebody changed it meanwhile."""

    code = "conflict"
    meaning = "What is there was left as it is."
    retryable = True


class IntegrityError(BackupSystemError):
    """Bytes or counts are not what was recorded."""

    code = "integrity"
    meaning = "This copy must not be trusted."


class ProofFailedError(BackupSystemError):
    """A restore does not match its recovery point."""

    code = "proof_failed"
    meaning = "The restored data must not be put in service before a person has looked at it."


class CancelledError(BackupSystemError):
    """A person has cancelled the run."""

    code = "cancelled"
    meaning = "The run stopped where it was."
