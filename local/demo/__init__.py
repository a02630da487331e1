"""The story that ``make demo`` tells: backed up on schedule, destroyed, restored to one consistent point."""
