"""Composes the app from the blueprints in functions/; nothing else."""

import azure.durable_functions as df
import azure.functions as func

from functions import backups, checks, drills, restores, schedules, status, workflows

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)
for part in (schedules, workflows, backups, restores, checks, drills, status):
    app.register_functions(part.bp)
