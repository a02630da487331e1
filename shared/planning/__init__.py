"""Pure functions: chains, the consistency rule, the restore plan, due slots. No I/O, no clock."""
