"""Timers: one per cadence. Each only asks what is due and starts it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import azure.durable_functions as df
import azure.functions as func

from functions.engine import purge, start
from functions.system import system
from shared.workflows.starts import tick

bp = df.Blueprint()

HISTORY_KEPT = timedelta(days=14)
"""How long the engine remembers what it ran. What matters is in Blob Storage."""


async def start_due(timer: str, client: df.DurableFunctionsClient) -> None:
    """Start what is due now that a timer has fired."""
    for due in await asyncio.to_thread(tick, system(), timer):
        await start(client, due.workflow, due.payload, due.instance_id)


@bp.timer_trigger(arg_name="timer", schedule="%SQL_FULL_SCHEDULE%", run_on_startup=False, use_monitor=True)
@bp.durable_client_input(client_name="client")
async def sql_full(timer: func.TimerRequest, client: df.DurableFunctionsClient) -> None:
    """Full backups, daily."""
    await start_due("sql_full", client)


@bp.timer_trigger(
    arg_name="timer", schedule="%SQL_DIFFERENTIAL_SCHEDULE%", run_on_startup=False, use_monitor=True
)
@bp.durable_client_input(client_name="client")
async def sql_differential(timer: func.TimerRequest, client: df.DurableFunctionsClient) -> None:
    """Differential backups, every four hours."""
    await start_due("sql_differential", client)


@bp.timer_trigger(arg_name="timer", schedule="%SQL_LOG_SCHEDULE%", run_on_startup=False, use_monitor=True)
@bp.durable_client_input(client_name="client")
async def sql_log(timer: func.TimerRequest, client: df.DurableFunctionsClient) -> None:
    """Log backups, every 15 minutes; also starts what other timers missed or failed at."""
    await start_due("sql_log", client)


@bp.timer_trigger(
    arg_name="timer", schedule="%RECOVERY_POINT_SCHEDULE%", run_on_startup=False, use_monitor=True
)
@bp.durable_client_input(client_name="client")
async def recovery_point(timer: func.TimerRequest, client: df.DurableFunctionsClient) -> None:
    """Recovery points, daily: every Qdrant snapshot, then the mark."""
    await start_due("recovery_point", client)


@bp.timer_trigger(
    arg_name="timer", schedule="%HISTORY_PURGE_SCHEDULE%", run_on_startup=False, use_monitor=True
)
@bp.durable_client_input(client_name="client")
async def history_purge(timer: func.TimerRequest, client: df.DurableFunctionsClient) -> None:
    """Clears the engine's history of what ended long ago."""
    await purge(client, before=system().clock.now() - HISTORY_KEPT)
