"""What is known, kept in Blob Storage: manifests, recovery points, runs, claims, locks."""
