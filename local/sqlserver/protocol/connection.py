"""One client connection: login, then request after request until the client leaves."""

from __future__ import annotations

import itertools
import logging
import queue
import re
import ssl
import threading
from collections.abc import Iterator, Mapping

from local.sqlserver.datatypes import INT
from local.sqlserver.engine.events import Cancelled, Event, Message
from local.sqlserver.engine.instance import Instance, LoginRefusedError
from local.sqlserver.engine.session import Session, Variable
from local.sqlserver.protocol import login, requests, tokens, wire
from local.sqlserver.protocol.response import Response
from local.sqlserver.protocol.values import encoder
from local.sqlserver.protocol.wire import ProtocolError, Wire

log = logging.getLogger(__name__)
_DECLARED = re.compile(r"@[\w@$#]+")
_PROGRAM = "Microsoft SQL Server"


class Connection:
    """Speaks TDS with one client and hands its requests to a session of the engine."""

    def __init__(self, instance: Instance, connection: Wire, context: ssl.SSLContext) -> None:
        self._instance = instance
        self._wire = connection
        self._context = context
        self._inbox: queue.SimpleQueue[tuple[int, int, bytes] | None] = queue.SimpleQueue()
        self._prepared: dict[int, tuple[str, str]] = {}
        self._handles = itertools.count(1)

    def serve(self) -> None:
        """Serve the client until it leaves or its session is killed."""
        asked = login.negotiate(self._wire, self._context, self._instance.version)
        try:
            session = self._instance.connect(asked)
        except LoginRefusedError as refused:
            errors = b"".join(tokens.message(m, self._instance.name) for m in refused.messages)
            self._wire.send(errors + tokens.done(tokens.DONE, tokens.IN_ERROR))
            return
        session.on_kill = self._wire.shut_down
        try:
            self._welcome(asked, session)
            threading.Thread(target=self._listen, args=(session,), daemon=True).start()
            while not session.killed and (request := self._inbox.get()) is not None:
                self._handle(session, *request)
        finally:
            session.close()

    def _welcome(self, asked: login.Login, session: Session) -> None:
        name = self._instance.name
        database = session.database
        size = min(max(asked.packet_size, 512), 32767)
        context = Message(5701, f"Changed database context to '{database}'.", 0, 2)
        language = Message(5703, "Changed language setting to us_english.", 0, 1)
        self._wire.spid = session.spid
        self._wire.send(
            tokens.environment(tokens.ENV_DATABASE, database, "master")
            + tokens.message(context, name)
            + tokens.collation_change()
            + tokens.environment(tokens.ENV_LANGUAGE, "us_english", "")
            + tokens.message(language, name)
            + tokens.login_acknowledged(_PROGRAM, self._instance.version)
            + tokens.environment(tokens.ENV_PACKET_SIZE, str(size), str(wire.DEFAULT_PACKET_SIZE))
            + login.feature_acknowledgement(asked.features)
            + tokens.done(tokens.DONE, 0)
        )
        self._wire.packet_size = size

    def _listen(self, session: Session) -> None:
        """Read while the engine works: an ATTENTION cancels what runs, everything else waits its turn."""
        try:
            while True:
                request = self._wire.read_message()
                if request[0] == wire.ATTENTION:
                    session.cancel()
                self._inbox.put(request)
        except (EOFError, OSError):
            session.cancel()
            self._inbox.put(None)

    def _handle(self, session: Session, kind: int, status: int, body: bytes) -> None:
        if kind == wire.ATTENTION:
            session.clear_cancel()
            self._wire.send(tokens.done(tokens.DONE, tokens.ATTENTION_ACKNOWLEDGED))
            return
        if status & wire.RESET_CONNECTION:
            session.reset()
            self._prepared.clear()
        response = Response(self._wire, self._instance.name, procedure=kind == wire.RPC)
        try:
            if kind == wire.SQL_BATCH:
                self._stream(session, response, session.execute(requests.batch_text(body), {}))
                response.end_batch()
            elif kind == wire.RPC:
                for call in requests.calls(body):
                    self._call(session, response, call)
            elif kind == wire.TRANSACTION_MANAGER:
                self._stream(session, response, _transaction(session, requests.transaction_request(body)))
                response.end_batch()
            else:
                raise ProtocolError(f"packet type {kind} is not spoken here")
        except Cancelled:
            response.abandon()
            return
        response.finish()

    def _stream(self, session: Session, response: Response, events: Iterator[Event]) -> None:
        for event in events:
            response.add(event)
            session.check_cancelled()

    def _call(self, session: Session, response: Response, call: requests.Call) -> None:
        name = call.procedure.lower().replace("[", "").replace("]", "").rsplit(".", 1)[-1]
        values = [p.value for p in call.parameters]
        output = b""
        match name:
            case "sp_executesql":
                declared = values[1] if len(values) > 1 else ""
                variables = _bind(declared, call.parameters[2:])
                self._stream(session, response, session.execute(values[0], variables))
            case "sp_prepare" | "sp_prepexec":
                handle = next(self._handles)
                self._prepared[handle] = (values[2], values[1] or "")
                output = tokens.return_value(INT, encoder(INT)(handle))
                if name == "sp_prepexec":
                    variables = _bind(values[1], call.parameters[3:])
                    self._stream(session, response, session.execute(values[2], variables))
            case "sp_execute":
                text, declared = self._prepared[values[0]]
                variables = _bind(declared, call.parameters[1:])
                self._stream(session, response, session.execute(text, variables))
            case "sp_unprepare":
                self._prepared.pop(values[0], None)
            case _:
                arguments = [Variable(p.type, p.value) for p in call.parameters]
                self._stream(session, response, session.call(name, arguments))
        response.end_procedure(output)


def _bind(declared: str | None, parameters: tuple[requests.Parameter, ...]) -> Mapping[str, Variable]:
    """Give the values of a call the names of its declaration, such as ``@P1 nvarchar(10),@P2 int``."""
    names = _DECLARED.findall(declared or "")
    return {
        (p.name or names[i]).lower(): Variable(p.type, p.value)
        for i, p in enumerate(parameters)
        if p.name or i < len(names)
    }


def _transaction(session: Session, request: requests.TransactionRequest) -> Iterator[Event]:
    if request.kind == requests.TM_BEGIN:
        yield from session.begin()
        return
    if request.kind == requests.TM_COMMIT:
        yield from session.commit()
    elif request.kind == requests.TM_ROLLBACK:
        yield from session.rollback()
    else:
        raise ProtocolError(f"transaction manager request {request.kind} is not spoken here")
    if request.begin_again:
        yield from session.begin()
