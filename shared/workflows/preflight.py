"""What a plan's steps would stop at, as far as Qdrant knows it when the plan is made."""

from __future__ import annotations

from shared.composition import System
from shared.model.backups import QdrantFacts
from shared.model.plans import CollectionStep, Plan


def with_preflight(system: System, plan: Plan) -> Plan:
    """The plan with findings about Qdrant: peers that are down, live collections of another shape.

    Findings are no part of what the digest is taken over.

    Raises:
        UnreachableError: no peer answers.
    """
    steps = [step for step in plan.execution.steps if isinstance(step, CollectionStep)]
    set_id = plan.execution.target.snapshot_set_id
    if not steps or set_id is None:
        return plan
    facts = system.catalogue.backups.get(set_id).facts
    known = {one.name: one for one in facts.collections} if isinstance(facts, QdrantFacts) else {}
    overwritten = {
        step.target: known[step.collection] for step in steps if step.overwrites and step.collection in known
    }
    found = system.qdrant.preflight(overwritten)
    return plan.model_copy(update={"findings": (*plan.findings, *found)}) if found else plan
