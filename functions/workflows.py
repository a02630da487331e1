"""Registers the workflows and activities with Durable Functions."""

from __future__ import annotations

import azure.durable_functions as df

from functions.engine import activity_function, adapted
from functions.system import system
from shared.workflows.registry import WORKFLOWS, activities

bp = df.Blueprint()

for _workflow in WORKFLOWS.values():
    bp.orchestration_trigger(context_name="context")(adapted(_workflow))
for _name, _activity in activities(system).items():
    bp.activity_trigger(input_name="payload")(activity_function(_name, _activity))
