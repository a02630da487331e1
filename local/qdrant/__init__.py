"""A stand-in for a standalone Qdrant 1.19.0 server, with points kept by Qdrant's own engine.

The points live in shards of ``qdrant-edge-py``, the engine as a library; the HTTP face, the collections, the
aliases and the snapshot files around it are ours. Statuses, envelopes and texts are those measured on a real
1.19.0 server; what the stand-in does not know it refuses, it never nods.
"""
