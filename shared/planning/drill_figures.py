"""What a drill measured, and what is to be said of it: pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from pydantic import Field

from shared.model.base import Document
from shared.model.findings import Finding, Severity
from shared.model.runs import Run, State
from shared.planning.words import lasted

AFTER_THE_RESTORE = ("-sample", "-clean_up")
"""Steps, by the ends of their ids, that no real restore has: they do not count as its time."""


class Age(Document):
    """How old what could be restored was when a drill began, in seconds; None where there is nothing."""

    point: float | None = Field(description="of the recovery point that the drill restored")
    sqlserver: float | None = Field(description="of the newest restorable moment, of the worst database")
    qdrant: float | None = Field(description="of the newest complete snapshot set")
    lost: float | None = Field(description="what a disaster would have cost, see ``figures``")


class Figures(Document):
    """A drill's figures beside their targets, in seconds; an RTO of None was not measured."""

    rto_seconds: float | None
    target_rto_seconds: float
    rpo_seconds: float | None
    target_rpo_seconds: float
    ages: Age
    steps: dict[str, float] = Field(description="step id → how long it took")


def figures(run: Run, ages: Age, target_rpo: timedelta, target_rto: timedelta) -> Figures:
    """What a drill measured.

    The RTO is the time from its begin to the end of the last proof; of a drill that failed there is none.
    The RPO is what would have been lost by restoring each store as far as possible: the age of the newest
    restorable moment of SQL Server, because nothing else holds what is in it, while documents can be indexed
    again; without SQL Server that of the vectors.

    Args:
        run: the drill, all of whose steps have ended.
        ages: how old what could be restored was when it began.
        target_rpo: how much may be lost.
        target_rto: how long a restore may take.
    """
    return Figures(
        rto_seconds=_rto(run),
        target_rto_seconds=target_rto.total_seconds(),
        rpo_seconds=ages.lost,
        target_rpo_seconds=target_rpo.total_seconds(),
        ages=ages,
        steps={
            step.id: (step.finished_at - step.started_at).total_seconds()
            for step in run.steps
            if step.started_at and step.finished_at
        },
    )


def _rto(run: Run) -> float | None:
    restoring = [step for step in run.steps if not step.id.endswith(AFTER_THE_RESTORE)]
    ends = [step.finished_at for step in restoring if step.state is State.SUCCEEDED and step.finished_at]
    begins = [step.started_at for step in restoring if step.started_at]
    if not ends or len(ends) < len(restoring) or not begins:
        return None
    return (max(ends) - min(begins)).total_seconds()


def missed(measured: Figures) -> Iterator[Finding]:
    """What is to be said where a drill's figures are worse than their targets."""
    rto, rpo = measured.rto_seconds, measured.rpo_seconds
    if rto is not None and rto > measured.target_rto_seconds:
        yield _warning(
            "rto_missed",
            f"The restore took {_span(rto)}; {_span(measured.target_rto_seconds)} are allowed "
            "(TARGET_RTO_MINUTES).",
            "docs/rpo-rto.md says what makes a restore long.",
        )
    if rpo is None or rpo > measured.target_rpo_seconds:
        lost = "everything" if rpo is None else f"the last {_span(rpo)}"
        yield _warning(
            "rpo_missed",
            f"When the drill began, a disaster would have cost {lost}; {_span(measured.target_rpo_seconds)} "
            "are allowed (TARGET_RPO_MINUTES).",
            "See in the status which timer is late; docs/rpo-rto.md says what each cadence means.",
        )


def no_recent_drill(last: datetime | None, now: datetime, allowed: timedelta) -> Finding | None:
    """What is to be said when the last drill that succeeded is too long ago, or never was.

    Args:
        last: when it ended (UTC); None if there was none.
        now: UTC.
        allowed: how long ago it may be.
    """
    if last is not None and now - last <= allowed:
        return None
    since = "No drill has ever succeeded."
    if last is not None:
        since = f"The last drill that succeeded ended {lasted(now - last)} ago."
    return _warning(
        "no_recent_drill",
        f"{since} Whether the backups can be restored is not known.",
        "Run `octopus-backup drill`, or let the timer do it: DRILL_ENABLED.",
    )


def _warning(code: str, message: str, hint: str) -> Finding:
    return Finding(code=code, severity=Severity.WARNING, message=message, hint=hint)


def _span(seconds: float) -> str:
    return lasted(timedelta(seconds=seconds))
