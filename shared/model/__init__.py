"""Plain data: backups, recovery points, plans, runs, findings. Knows nothing else."""
