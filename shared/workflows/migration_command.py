"""The command that migrates a database: started on a person's machine, without a shell, and watched."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import SecretStr

from shared.composition import System
from shared.errors import InvalidSettingsError, ProofFailedError, RefusedError
from shared.settings import Settings, group_classes

COMMAND_SECONDS = 3600
"""How long the command may take; then it is ended, with everything that it started."""

KEPT_CHARACTERS = 8_000
"""Of the command's output, from its end: there stands why it failed."""

_LOOK_SECONDS = 0.5
_GRACE_SECONDS = 5.0
_PLACEHOLDER = "{database}"
_WITHIN = re.compile(r"[;=\"'{}]")
"""In the midst of an argument, such as a connection string, a name with one of these could say more."""

_SHORTEST_SECRET = 4
_IS_PASSWORD = re.compile(r"(?i)pwd|password|accountkey")
_PASSWORD = re.compile(r"(?i)\b(pwd|password|accountkey|sharedaccesskey|sig|token)\s*=\s*[^;&\s\"']+")


def run_command(system: System, database: str, progress: Callable[[int], None]) -> dict[str, Any]:
    """Run OCTOPUS_MIGRATION_COMMAND for a database.

    Args:
        system: the system; only that of the command line may do this.
        database: the restored database; it takes the place of ``{database}``, always within one argument.
        progress: called now and then with 0; an exception of it ends the command.

    Returns:
        Evidence: program, exit code, seconds, and the end of its output without secrets.

    Raises:
        RefusedError: this is not the command line.
        InvalidSettingsError: there is no command, it cannot be started, or the database's name could change
            its meaning.
        ProofFailedError: it failed, or did not end in time; says what it told last.
    """
    if not system.commands_allowed:
        raise RefusedError(
            "The plan runs a command for the migrations, which only the command line does.",
            "Resume it there: `octopus-backup restore PLAN --digest DIGEST`.",
            code="command_line_only",
        )
    words = _words(system.settings.octopus.migration_command, database)
    began = system.clock.monotonic()
    output = _Tail()
    try:
        process = subprocess.Popen(  # noqa: S603 - the operator's own command, without a shell
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that what it starts can be ended with it
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "its words cannot be arguments"
        raise InvalidSettingsError(
            f"OCTOPUS_MIGRATION_COMMAND: {words[0]!r} cannot be started: {why}.",
            "Install it on this machine, or write its whole path.",
        ) from None
    with output.reading(process), _ended_in_any_case(process):
        timed_out = not _waited(process, progress, system.clock.monotonic)
    told = output.text(system.settings)
    evidence = {
        "command": words[0],
        "exit_code": None if timed_out else process.returncode,
        "command_seconds": round(system.clock.monotonic() - began, 1),
        "output": told,
    }
    if timed_out or process.returncode:
        how = f"did not end within {COMMAND_SECONDS} s" if timed_out else f"ended with {process.returncode}"
        last = told[-600:].strip()
        raise ProofFailedError(
            f"The migration command {how}." + (f" It said last: {last}" if last else ""),
            "Mend what it says, and resume the restore: what is applied is not applied again.",
            code="migration_failed",
        )
    return evidence


def _words(command: str | None, database: str) -> list[str]:
    """The command as arguments. It is cut first, so the database's name cannot become two of them."""
    if not command:
        raise InvalidSettingsError(
            "OCTOPUS_MIGRATION_COMMAND is not set.", "Set it, or plan with a script or a check instead."
        )
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InvalidSettingsError(f"OCTOPUS_MIGRATION_COMMAND cannot be read: {error}.") from None
    if not words or not any(_PLACEHOLDER in word for word in words):
        raise InvalidSettingsError(
            f"OCTOPUS_MIGRATION_COMMAND does not say {_PLACEHOLDER}, so it could migrate another database.",
            "Example: dotnet ef database update --connection 'Server=…;Database={database}'",
        )
    within = any(_PLACEHOLDER in word and word != _PLACEHOLDER for word in words)
    if database.startswith(("-", "/")) or (within and _WITHIN.search(database)):
        raise InvalidSettingsError(
            f"The database's name {database!r} holds a character that could change the command's meaning.",
            "Restore under a name of letters, digits and underscores, or make {database} a whole argument.",
        )
    return [word.replace(_PLACEHOLDER, database) for word in words]


def _waited(
    process: subprocess.Popen[bytes], progress: Callable[[int], None], now: Callable[[], float]
) -> bool:
    """Wait for the command's end; False when it took too long."""
    deadline = now() + COMMAND_SECONDS
    while now() < deadline:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_SECONDS)
            return True
        progress(0)
    return False


@contextlib.contextmanager
def _ended_in_any_case(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_GRACE_SECONDS)


class _Tail:
    """The end of an output, however long it is."""

    def __init__(self) -> None:
        self._kept = b""

    @contextlib.contextmanager
    def reading(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """Read in a thread of its own, so that a full pipe does not stop the command."""
        stream = process.stdout
        if stream is None:
            raise TypeError("The command's output is not piped.")

        def read() -> None:
            while piece := os.read(stream.fileno(), 65_536):
                self._kept = (self._kept + piece)[-2 * KEPT_CHARACTERS :]

        thread = threading.Thread(target=read, name="command-output", daemon=True)
        thread.start()
        try:
            yield
        finally:
            thread.join(_GRACE_SECONDS)
            if not thread.is_alive():  # else something that left the group holds the pipe open
                stream.close()

    def text(self, settings: Settings) -> str:
        """What is kept, without secrets; cut after them, so that no half of one stays."""
        return without_secrets(self._kept.decode("utf-8", "replace"), settings)[-KEPT_CHARACTERS:]


def without_secrets(text: str, settings: Settings) -> str:
    """A text without the values of secret settings, and without what looks like a password."""
    secrets: set[str] = set()
    for name, group in group_classes().items():
        for field in group.model_fields:
            value = getattr(getattr(settings, name), field)
            if isinstance(value, SecretStr):
                secrets |= _pieces_of(value.get_secret_value())
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return _PASSWORD.sub(r"\1=***", text)


def _pieces_of(secret: str) -> set[str]:
    """The secret, and the passwords in it where it is a connection string; shorter ones would cut words."""
    pairs = [pair.partition("=") for pair in secret.split(";")]
    passwords = {value.strip().strip("{}") for key, _, value in pairs if _IS_PASSWORD.fullmatch(key.strip())}
    return {one for one in {secret, *passwords} if len(one) >= _SHORTEST_SECRET}
