"""The system itself. Imports no azure.functions."""
