"""A run for the person who watches it."""

from __future__ import annotations

from shared.model.findings import ErrorInfo
from shared.model.runs import Run, State, StepState
from shared.planning.words import lasted, said
from shared.reporting.text import bullets, heading, joined, wrapped


def run_text(run: Run) -> str:
    """State, steps with their durations, and what went wrong."""
    return joined(
        [
            *wrapped(f"{run.title} (run {run.id}): {run.state.value.upper()}", ""),
            *wrapped(_times(run), ""),
            *(line for step in run.steps for line in _step(step)),
            *([*heading("What went wrong"), *error_lines(run.error)] if run.error else []),
            *(
                [*heading("Findings"), *bullets(f"{f.message} {f.hint} [{f.code}]" for f in run.findings)]
                if run.findings
                else []
            ),
        ]
    )


def _times(run: Run) -> str:
    attempt = f" Attempt {run.attempt}." if run.attempt > 1 else ""
    if run.finished_at:
        took = lasted(run.finished_at - run.started_at)
        return f"Started {said(run.started_at)}, ended {said(run.finished_at)}, took {took}.{attempt}"
    return f"Started {said(run.started_at)}, last heard of {said(run.heartbeat_at)}.{attempt}"


_SIGNS = {
    State.PENDING: "     ",
    State.RUNNING: "now  ",
    State.SUCCEEDED: "done ",
    State.FAILED: "FAIL ",
    State.SKIPPED: "skip ",
}


def _step(step: StepState) -> list[str]:
    details = [f"{step.percent} %"] if step.percent is not None and step.state is State.RUNNING else []
    if step.started_at and step.finished_at:
        details.append(lasted(step.finished_at - step.started_at))
    details += [step.note] if step.note else []
    extra = f" ({', '.join(details)})" if details else ""
    lines = wrapped(f"{step.title}{extra}", f"  {_SIGNS[step.state]} ")
    return lines + ([] if step.error is None else wrapped(step.error.message, " " * 10))


def error_lines(error: ErrorInfo) -> list[str]:
    """What happened, what it means, what to do."""
    texts = (error.message, error.meaning, error.hint, f"[{error.code}]")
    return [line for text in texts if text for line in wrapped(text)]
