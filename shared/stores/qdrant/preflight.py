"""What would stop a restore, found when it is planned: peers that are down, collections of another shape."""

from __future__ import annotations

from collections.abc import Mapping

from shared.errors import QdrantError, TargetInTheWayError, UnreachableError
from shared.model.backups import CollectionFacts
from shared.model.findings import Finding, Severity
from shared.stores.qdrant.client import Peer
from shared.stores.qdrant.inspect import of_consensus, of_silence
from shared.stores.qdrant.peers import Peers
from shared.stores.qdrant.replies import gone
from shared.stores.qdrant.restore import demand_same_shape
from shared.stores.qdrant.together import together

SECONDS = 5.0
"""How long the shapes are compared, for a person waits. What is left is compared by the restore itself."""


def preflight(peers: Peers, overwritten: Mapping[str, CollectionFacts]) -> tuple[Finding, ...]:
    """Look for what a restore would stop at; nothing is changed.

    Args:
        peers: the configured ones.
        overwritten: collections that are there and would be overwritten, each with what would be restored.

    Returns:
        Findings of severity ``error`` for what makes the restore impossible now.

    Raises:
        UnreachableError: no peer answers.
        RefusedError: the addresses are not the peers of one Qdrant.
    """
    present, silent = peers.roll_call()
    first = present[0][0]
    found = [*of_silence(silent), *of_consensus([node for _, node in present])]
    try:
        misfits = together(
            overwritten.items(),
            lambda pair: _misfit(first, *pair),
            seconds=SECONDS,
            doing="comparing the collections that would be overwritten",
        )
    except UnreachableError as error:
        late = Finding(
            code="shapes_not_compared",
            severity=Severity.INFO,
            message=f"Whether the live collections have the shape of the backed-up ones is not known yet: "
            f"{error.message}",
            hint="The restore compares each one before it changes it.",
        )
        return (*found, late)
    return (*found, *(one for one in misfits if one is not None))


def _misfit(peer: Peer, name: str, wanted: CollectionFacts) -> Finding | None:
    try:
        demand_same_shape(peer, name, wanted)
    except TargetInTheWayError as error:
        return Finding(
            code=error.specific_code, severity=Severity.ERROR, message=error.message, hint=error.hint
        )
    except QdrantError as error:
        if not gone(error):
            raise
    return None
