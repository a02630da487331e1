"""Orchestrators and activities, written once, free of azure imports."""
