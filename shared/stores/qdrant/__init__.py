"""Qdrant: client, snapshots, recover, verification."""
