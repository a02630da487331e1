"""A step of a restore under way, as the functions that do the steps see it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from shared.checklist import Judgement
from shared.composition import System
from shared.errors import InvalidSettingsError, ProofFailedError
from shared.model.plans import Plan, Policy
from shared.model.points import RecoveryPoint, SqlSide
from shared.octopus.api import OctopusApi
from shared.workflows.runs import Ticket, Work


@dataclass(frozen=True)
class Job:
    """A step under way: the run, the plan that it belongs to, and where its evidence goes."""

    system: System
    ticket: Ticket
    plan: Plan
    work: Work

    @cached_property
    def point(self) -> RecoveryPoint | None:
        """The recovery point that the plan aims at, or takes its vectors from."""
        point_id = self.plan.execution.target.recovery_point_id
        return self.system.catalogue.points.get(point_id) if point_id else None

    @property
    def at_the_point(self) -> bool:
        """Whether SQL Server stops at the point's mark, so that counts may be demanded equal."""
        return self.plan.execution.policy is Policy.PAIRED

    def side(self, database: str) -> SqlSide | None:
        """The database at the recovery point."""
        sides = self.point.sql if self.point else ()
        return next((side for side in sides if side.database == database), None)

    @property
    def octopus(self) -> OctopusApi:
        """The product's API.

        Raises:
            InvalidSettingsError: OCTOPUS_API_URL was removed since the plan was made.
        """
        if self.system.octopus is None:
            raise InvalidSettingsError("OCTOPUS_API_URL is no longer set.", "Set it, and resume.")
        return self.system.octopus

    def judge(self, judgement: Judgement) -> None:
        """Keep a judgement with the step.

        Raises:
            ProofFailedError: something does not match.
        """
        self.work.evidence |= judgement.as_json()
        if not judgement.passed:
            raise ProofFailedError(judgement.summary, "Compare the step's evidence with the recovery point.")
