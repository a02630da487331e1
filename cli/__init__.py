"""The same use cases from a terminal."""

INTERRUPTED = 130
"""Exit code after Ctrl-C or SIGTERM: 128 and SIGINT's number, as shells have it."""
