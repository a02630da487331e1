"""The answer to one request, built from the engine's events.

A DONE token must say whether more follows, so the newest one is held back until that is known. BACKUP and
RESTORE are the exception: their messages are sent at once, each with a DONE of its own that says "more", as
the real server does; that is what lets a client see progress while the statement runs.
"""

from __future__ import annotations

from local.sqlserver.engine.events import (
    DatabaseChanged,
    Done,
    Event,
    Message,
    Rows,
    TransactionChanged,
)
from local.sqlserver.protocol import tokens
from local.sqlserver.protocol.values import encoder
from local.sqlserver.protocol.wire import Wire

_FLUSH_BYTES = 60_000
_TRANSACTION = {"begin": tokens.ENV_BEGIN, "commit": tokens.ENV_COMMIT, "rollback": tokens.ENV_ROLLBACK}


class Response:
    """Collects tokens and sends them."""

    def __init__(self, wire: Wire, server: str, *, procedure: bool) -> None:
        self._wire = wire
        self._server = server
        self._done_token = tokens.DONEINPROC if procedure else tokens.DONE
        self._buffer = bytearray()
        self._held: tuple[int, int, int, int] | None = None
        self._statement_open = False
        self._failed = False

    def add(self, event: Event) -> None:
        """Take one event of the engine."""
        match event:
            case Message():
                self._message(event)
            case Rows():
                self._rows(event)
            case Done(rows):
                status = (tokens.COUNT if rows is not None else 0) | self._error_flag()
                self._hold(self._done_token, status, 0, rows or 0)
                self._statement_open = self._failed = False
            case DatabaseChanged(old, new):
                self._put(tokens.environment(tokens.ENV_DATABASE, new, old))
            case TransactionChanged(what):
                transaction = self._wire.spid.to_bytes(8, "little")
                pair = (transaction, b"") if what == "begin" else (b"", transaction)
                self._put(tokens.environment(_TRANSACTION[what], *pair))

    def _message(self, content: Message) -> None:
        self._put(tokens.message(content, self._server))
        self._statement_open = True
        self._failed = self._failed or content.is_error
        if content.step:
            self._buffer += tokens.done(self._done_token, tokens.MORE)
            self._statement_open = False
        if not content.is_error:
            self._flush()

    def _rows(self, result: Rows) -> None:
        encoders = [encoder(kind) for _, kind in result.columns]
        self._put(tokens.column_metadata(result.columns))
        count = 0
        for row in result.rows:
            self._buffer += tokens.ROW
            for encode, value in zip(encoders, row, strict=True):
                self._buffer += encode(value)
            count += 1
            if len(self._buffer) > _FLUSH_BYTES:
                self._flush()
        self._hold(self._done_token, tokens.COUNT, tokens.SELECT_COMMAND, count)
        self._statement_open = False

    def end_procedure(self, output: bytes = b"") -> None:
        """End one procedure call: its return status, its output parameter, its DONEPROC."""
        self._put(tokens.return_status(0) + output)
        self._hold(tokens.DONEPROC, self._error_flag(), 0, 0)
        self._failed = self._statement_open = False

    def end_batch(self) -> None:
        """End a batch: its last statement may still lack a DONE."""
        if self._statement_open or self._held is None:
            self._hold(tokens.DONE, self._error_flag(), 0, 0)

    def finish(self) -> None:
        """Send the last token and the end of the message."""
        if self._held is not None:
            self._buffer += tokens.done(*self._held)
            self._held = None
        self._flush(last=True)

    def abandon(self) -> None:
        """End the message early: the request was cancelled, an ATTENTION acknowledgement follows."""
        self._release()
        self._buffer += tokens.done(tokens.DONE, tokens.IN_ERROR)
        self._flush(last=True)

    def _error_flag(self) -> int:
        return tokens.IN_ERROR if self._failed else 0

    def _put(self, data: bytes) -> None:
        self._release()
        self._buffer += data

    def _hold(self, token: int, status: int, command: int, rows: int) -> None:
        self._release()
        self._held = (token, status, command, rows)

    def _release(self) -> None:
        if self._held is not None:
            token, status, command, rows = self._held
            self._buffer += tokens.done(token, status | tokens.MORE, command, rows)
            self._held = None

    def _flush(self, *, last: bool = False) -> None:
        if self._buffer or last:
            self._wire.send(bytes(self._buffer), last=last)
            self._buffer.clear()
