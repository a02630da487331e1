"""What a request asks for, and whether it contradicts itself."""

from __future__ import annotations

from typing import NamedTuple

from shared.errors import InvalidRequestError
from shared.model.backups import Store
from shared.model.plans import Migrations, PlanRequest, PointTarget, Policy


class Sides(NamedTuple):
    """Which sides are restored; the other one stays as it is."""

    sql: bool
    vectors: bool


def sides_of(request: PlanRequest) -> Sides:
    """What a request wants restored: all stores, those that it names, or the collections of some agents."""
    if request.agents:
        return Sides(Store.SQLSERVER in request.stores, vectors=True)
    if request.stores:
        return Sides(Store.SQLSERVER in request.stores, Store.QDRANT in request.stores)
    return Sides(sql=True, vectors=True)


def demand_sensible(request: PlanRequest) -> None:
    """Refuse a request that contradicts itself.

    Raises:
        InvalidRequestError: ``stores_contradict_agents``, ``policy_not_applicable``, ``needs_sqlserver``,
            ``migration_script_unused``.
    """
    _demand_sides(request)
    _demand_use(request)


def _demand_sides(request: PlanRequest) -> None:
    if request.agents and request.stores and Store.QDRANT not in request.stores:
        raise InvalidRequestError(
            "Agents are named, but their collections are left out: stores names sqlserver only.",
            "A database is restored as a whole. Leave agents out, or add qdrant to stores.",
            code="stores_contradict_agents",
        )
    sides, policy = sides_of(request), request.policy
    if policy is None or all(sides) or isinstance(request.target, PointTarget):
        return
    if policy is Policy.PAIRED or not sides.sql:
        only = "SQL Server" if sides.sql else "the vectors"
        raise InvalidRequestError(
            f"Only {only} would be restored, so there is no pair that the policy {policy} could choose.",
            "Leave the policy out, or restore both stores.",
            code="policy_not_applicable",
        )


def _demand_use(request: PlanRequest) -> None:
    if request.migration_script is not None and request.migrations is not Migrations.SCRIPT:
        raise InvalidRequestError(
            f"A migration script is given, but migrations is {request.migrations}, which executes none.",
            "Set migrations to script, or leave the script out.",
            code="migration_script_unused",
        )
    asked = {
        "checkdb": request.checkdb,
        "migrations": request.migrations is not Migrations.CHECK,
        "erase_users": bool(request.erase_users),
    }
    extras = [name for name, wanted in asked.items() if wanted]
    if extras and not sides_of(request).sql:
        raise InvalidRequestError(
            f"{' and '.join(extras)}: this is done to restored databases, and SQL Server is left alone.",
            "Leave it out, or restore SQL Server, too.",
            code="needs_sqlserver",
        )
