"""The disaster recovery steps: judges evidence that is handed to it, calls no store."""
