"""Failures and messages with the real server's numbers and texts (see ``texts.py``)."""

from __future__ import annotations

from local.sqlserver.engine.events import Message
from local.sqlserver.engine.texts import MESSAGES

STANDIN_FAILURE = 50000


class SqlError(Exception):
    """A statement failed; carries the messages that the client receives, the meaningful one first."""

    def __init__(self, number: int, *arguments: object, state: int = 1) -> None:
        self.messages: list[Message] = [message(number, *arguments, state=state)]
        super().__init__(f"{number}: {self.messages[0].text}")

    @property
    def number(self) -> int:
        """The number of the first message."""
        return self.messages[0].number

    def followed_by(self, number: int, *arguments: object) -> SqlError:
        """The same failure with one more message behind it, such as 3013 behind the cause."""
        self.messages.append(message(number, *arguments))
        return self

    @classmethod
    def raised(cls, content: Message) -> SqlError:
        """A failure that a batch raised on purpose (THROW, RAISERROR)."""
        error = cls(STANDIN_FAILURE, content.text)
        error.messages = [content]
        return error


def message(number: int, *arguments: object, state: int = 1, step: bool = False) -> Message:
    """The message ``number`` with its place holders filled."""
    severity, text = MESSAGES[number]
    return Message(number, text.format(*arguments), severity, state, step=step)


def unsupported(what: str) -> SqlError:
    """A refusal: the real server may know this, the stand-in does not."""
    return SqlError(40510, what)


def os_error(error: OSError) -> str:
    """An operating system's refusal as SQL Server words it: number and Windows' text for the same thing."""
    known: dict[int, tuple[int, str]] = {
        2: (2, "The system cannot find the file specified."),
        13: (5, "Access is denied."),
        17: (80, "The file exists."),
        20: (3, "The system cannot find the path specified."),
        21: (5, "Access is denied."),
        28: (112, "There is not enough space on the disk."),
        30: (19, "The media is write protected."),
    }
    number, text = known.get(error.errno or 0, (error.errno or 0, error.strerror or "unknown"))
    return f"{number}({text})"
