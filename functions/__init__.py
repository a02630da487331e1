"""The doors: one file per kind of trigger. Parse input, call shared/, shape the reply."""
