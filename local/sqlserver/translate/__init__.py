"""From the syntax tree to SQLite's SQL: names are resolved, types inferred, conversions made explicit.

What has no translation is refused: every node and function is on a list, nothing is passed through.
"""
