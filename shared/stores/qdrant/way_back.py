"""How a person brings a copy back with nothing but ``curl``: the way to undo an overwriting."""

from __future__ import annotations

from urllib.parse import urlencode

from shared.blob.storage import Storage
from shared.model.backups import SnapshotPart
from shared.stores.qdrant.client import address


def way_back(storage: Storage, peer_url: str, part: SnapshotPart) -> str:
    """A shell command that recovers a copy over its collection on the peer that it was taken from.

    The bytes are fetched from Blob Storage and uploaded, which works where the server cannot reach the
    storage itself. The server keeps what is uploaded (measured), so the last request removes it.

    Args:
        storage: where the copy is.
        peer_url: REST address of the peer.
        part: the copy.

    Returns:
        A command for ``sh``. It takes from the environment ``DATA_SAS``, the query of a SAS that may read the
        container ``data``, and ``QDRANT_API_KEY``, a key with global manage access; no secret is in it.
    """
    blob = storage.address(part.blob.container, part.blob.name)
    file = f"octopus-copy-{part.checksum[:16]}.snapshot"
    snapshots = f"{peer_url}{address('collections', part.collection, 'snapshots')}"
    query = urlencode({"wait": "true", "priority": "snapshot", "checksum": part.checksum})
    key = '-H "api-key: $QDRANT_API_KEY"'
    return " && ".join(
        (
            f'curl -fsS -o {file} "{blob}?$DATA_SAS"',
            f'curl -fsS -X POST {key} -F snapshot=@{file} "{snapshots}/upload?{query}"',
            f'curl -fsS -X DELETE {key} "{snapshots}/{file}?wait=true"',
            f"rm {file}",
        )
    )
