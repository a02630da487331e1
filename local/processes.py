"""Child processes of the local stack: started, awaited, and stopped by process id.

Every child announces itself with one line on standard output: a JSON object with what its users need to
know (ports, addresses). Everything else that it prints goes to its log file. Foreign programs announce
nothing: they are asked until they answer. A child dies with its parent, even when the parent is killed,
because ``setpriv --pdeathsig`` (util-linux) asks the kernel for it. The kernel counts the *thread* that
started the child as its parent: start children from a thread that lives as long as they do.

``launch`` and ``Child.announced`` are the two halves of ``start``, so that several children can get ready
at the same time.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.interrupts import ExplainedError, undisturbed

STOP_SECONDS = 5.0


class ChildFailedError(ExplainedError):
    """A child process ended, or stayed silent, before it announced itself."""


@dataclass
class Child:
    """A running child process; ``ready`` is what it announced, nothing until then."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    ready: Mapping[str, Any] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def announced(self, seconds: float = 30.0) -> Child:
        """Wait for its announcement; returns the child itself, with ``ready`` filled in.

        Args:
            seconds: how long that may take from now.

        Raises:
            ChildFailedError: it ended or stayed silent; the text ends with the last lines of its log.
        """
        try:
            self.ready = _announcement(self.name, self.process, self.log, seconds)
        except BaseException:
            _abandon(self.process)
            raise
        return self

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ask the process to end (SIGTERM), and kill it when it has not within ``seconds``."""
        _end([self.process], seconds)

    def kill(self) -> None:
        """End the process at once, as a crash would (SIGKILL)."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(STOP_SECONDS)


def launch(
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Child:
    """Start ``command`` without waiting for its announcement.

    Args:
        name: what the child is called in messages and logs.
        command: program and arguments.
        log: file that receives the child's standard error and the rest of its standard output.
        env: variables added to this process's environment.
        cwd: working directory; this process's own if None.
    """
    return Child(name, _spawn(command, log=log, stdout=subprocess.PIPE, env=env, cwd=cwd), log)


def start(
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float = 30.0,
) -> Child:
    """Start ``command`` and wait at most ``seconds`` for its announcement: ``launch``, then ``announced``."""
    return launch(name, command, log=log, env=env, cwd=cwd).announced(seconds)


def start_foreign(
    name: str,
    command: Sequence[str],
    *,
    answers: Callable[[], bool],
    ready: Mapping[str, Any],
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float = 30.0,
) -> Child:
    """Start a program that announces nothing, and ask it until it answers.

    Args:
        name: what the child is called in messages and logs.
        command: program and arguments.
        answers: asked every 50 ms; true once the program serves.
        ready: what its users need to know; becomes the child's ``ready``.
        log: file that receives everything that the child prints.
        env: variables added to this process's environment.
        cwd: working directory; this process's own if None.
        seconds: how long it may take to answer.

    Returns:
        The running child.

    Raises:
        ChildFailedError: it ended or did not answer in time; the text ends with the last lines of its log.
    """
    process = _spawn(command, log=log, stdout=None, env=env, cwd=cwd)
    deadline = time.monotonic() + seconds
    answered = False
    try:
        while not answered and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
            answered = answers()
    finally:
        if not answered:
            code = process.poll()
            _abandon(process)
    if not answered:
        raise ChildFailedError(_too_early(name, code, log, seconds))
    return Child(name, process, log, ready)


def _spawn(
    command: Sequence[str],
    *,
    log: Path,
    stdout: int | None,
    env: Mapping[str, str] | None,
    cwd: Path | None,
) -> subprocess.Popen[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    setpriv = shutil.which("setpriv")
    guarded = [setpriv, "--pdeathsig", "TERM", *command] if setpriv else list(command)
    with log.open("ab") as sink:
        return subprocess.Popen(
            guarded,
            stdin=subprocess.DEVNULL,
            stdout=sink if stdout is None else stdout,
            stderr=sink,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,  # Ctrl-C reaches the parent only, which stops its children in order
        )


def _abandon(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(STOP_SECONDS)
    if process.stdout:
        process.stdout.close()


def _too_early(name: str, code: int | None, log: Path, seconds: float) -> str:
    why = f"was silent for {seconds:.0f} s" if code is None else f"ended with exit code {code}"
    return f"{name} {why} before it was ready. The end of its log ({log}):\n{tail(log)}"


def _announcement(name: str, process: subprocess.Popen[bytes], log: Path, seconds: float) -> dict[str, Any]:
    stdout = process.stdout
    if stdout is None:  # only possible when stdout was not piped
        raise ChildFailedError(f"{name} has no standard output to announce itself on.")
    first: list[bytes] = []
    heard = threading.Event()

    def listen() -> None:
        with contextlib.suppress(ValueError, OSError), log.open("ab") as sink:  # closed by stop()
            first.append(stdout.readline())
            heard.set()
            for line in stdout:
                sink.write(line)
                sink.flush()
        heard.set()

    threading.Thread(target=listen, name=f"{name}-stdout", daemon=True).start()
    deadline = time.monotonic() + seconds
    heard.wait(max(0.0, deadline - time.monotonic()))
    if first and first[0].strip():
        try:
            ready = json.loads(first[0])
        except ValueError:
            ready = None
        if isinstance(ready, dict):
            return ready
        raise ChildFailedError(f"{name} announced itself with {first[0][:200]!r} instead of a JSON object.")
    if heard.is_set():  # its standard output ended, so it is about to
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    raise ChildFailedError(_too_early(name, process.poll(), log, seconds))


def tail(log: Path, lines: int = 15) -> str:
    """The last ``lines`` lines of a log file, or a word that there is none."""
    try:
        return "\n".join(log.read_text("utf-8", "replace").splitlines()[-lines:]) or "(empty)"
    except FileNotFoundError:
        return "(no log)"


def announce(**facts: Any) -> None:
    """Called by a child: tell the parent that it is ready, in one line of JSON."""
    os.write(1, (json.dumps(facts) + "\n").encode())


@contextlib.contextmanager
def stopping(children: list[Child]) -> Iterator[list[Child]]:
    """Stop every child in ``children``, also those that join it meanwhile, when the block is left.

    All are asked at once, so that it takes no longer than the slowest. Ctrl-C and SIGTERM are held back
    while they are stopped: who presses Ctrl-C twice must not leave half of them behind.
    """
    try:
        yield children
    finally:
        with undisturbed():
            _end([child.process for child in children], STOP_SECONDS)


def _end(processes: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + seconds
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(seconds)
        if process.stdout:
            process.stdout.close()
