"""The target of a restore: whether it is ours to write to, what was already restored to it, where files go.

Whose work a half-restored database is, its files tell: a restore side by side gives every file a name that
holds a part of its run's id, so only the run that began a restore goes on with it, and a database that
somebody else is restoring is refused. In place, the person who started the restore has agreed to overwrite
the database, and the tail of its log was taken before, which left it RESTORING.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from shared.errors import InvalidRequestError, RefusedError, TargetInTheWayError
from shared.model.backups import Kind, SqlDataFile
from shared.model.plans import SqlRestoreStep
from shared.stores.sqlserver import history, inspection
from shared.stores.sqlserver.connection import Session
from shared.stores.sqlserver.inspection import DatabaseState, ServerInfo

_EXTENSIONS = {"data": "mdf", "log": "ldf"}
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_SHOWN = 40  # characters of the target's name in its files' names


class Admission(NamedTuple):
    """A target that a step may write to.

    Attributes:
        applied: the step's backup set is already restored to it; nothing is left to do.
        replace: something is there that a full restore has to overwrite.
        moves: logical file → path, for a full restore.
    """

    applied: bool
    replace: bool
    moves: dict[str, str]


def admit(
    session: Session,
    server: ServerInfo,
    step: SqlRestoreStep,
    *,
    run_id: str,
    in_place: bool,
    chain: Sequence[str] = (),
) -> Admission:
    """Decide whether ``step`` may be executed on its target as it is now.

    Args:
        session: where to look.
        server: the instance.
        step: what is to be restored.
        run_id: the run that restores.
        in_place: whether a live database may be overwritten.
        chain: every backup set that the plan restores to this target, in order; not compared if empty.

    Raises:
        TargetInTheWayError: the target is in use, or somebody else's, or something else was restored to it.
        RefusedError: the full restore that must come first has not been done.
    """
    state = inspection.database_state(session, step.target)
    if state.state_desc == inspection.ONLINE:
        raise _online(step, in_place=in_place)
    full = step.backup_kind is Kind.FULL
    if not full and state.state_desc != inspection.RESTORING:
        raise RefusedError(
            f"{step.target} is {state.state_desc}, so no {step.backup_kind} backup can be restored to it.",
            "Begin again with the full backup.",
            code="target_not_restoring",
        )
    own = not state.exists or is_own(state, step.target, run_id)
    if state.exists and not own and not in_place:
        raise TargetInTheWayError(
            f"{step.target} is {state.state_desc}, and this run did not begin its restore.",
            "If nobody is restoring it, drop it, or restore under another name.",
        )
    done = history.restored_sets(session, server, step.target)
    if full:
        # A full restore that was broken off leaves no row; one of an earlier database of that name does.
        done = [one for one in done if own and state.created_at and one.at >= state.created_at]
    elif chain:
        _demand_prefix(step, [one.backup_set_uuid for one in reversed(done)], chain)
    applied = state.exists and step.backup_set_uuid.lower() in (one.backup_set_uuid for one in done)
    moves = _moves(server, step, state.files, run_id) if full else {}
    return Admission(applied, state.exists, moves)


def _demand_prefix(step: SqlRestoreStep, restored: Sequence[str], chain: Sequence[str]) -> None:
    """Make sure that what was restored so far is how this plan begins."""
    planned = [one.lower() for one in chain]
    if restored != planned[: len(restored)]:
        raise TargetInTheWayError(
            f"{step.target} is RESTORING, but what was restored to it is not how this plan begins: somebody "
            "else works on it.",
            "Find out who. To begin anew, make a new plan; it overwrites what is there.",
            code="foreign_restore",
        )


def own_files(target: str, run_id: str) -> str:
    """What the file names of a target begin with when this run restores it side by side."""
    digest = hashlib.sha256(target.encode()).hexdigest()[:8]  # tells "a/b" from "a:b"
    return f"{_UNSAFE.sub('_', target)[:_SHOWN]}_{digest}_{_UNSAFE.sub('_', run_id)[-12:]}"


def _online(step: SqlRestoreStep, *, in_place: bool) -> TargetInTheWayError:
    if step.backup_kind is not Kind.FULL:
        return TargetInTheWayError(
            f"{step.target} is ONLINE: its roll-forward has ended, no backup can be restored to it any more.",
            "If that is not the restore that was meant, begin again under another name.",
        )
    if in_place:
        return TargetInTheWayError(
            f"{step.target} is ONLINE; the tail of its log has to be taken before it is overwritten.",
            "Somebody has opened it since. Make a new plan, which takes the tail again.",
            code="tail_missing",
        )
    return TargetInTheWayError(
        f"{step.target} already exists.", "Choose another name, or restore in place if it may be overwritten."
    )


def is_own(state: DatabaseState, target: str, run_id: str) -> bool:
    """Whether this run restored the database side by side: all of its files bear the run's names."""
    begin = own_files(target, run_id)
    return bool(state.files) and all(
        re.split(r"[\\/]", file.physical_name)[-1].startswith(begin) for file in state.files
    )


def _moves(
    server: ServerInfo, step: SqlRestoreStep, present: Sequence[SqlDataFile], run_id: str
) -> dict[str, str]:
    """Every file to where the target has it already, or to the instance's default folders under own names."""
    if not step.data_files:
        raise InvalidRequestError(
            f"The step {step.id} names no data files, so they cannot be moved out of each other's way.",
            "Make the plan again.",
        )
    there = {file.logical_name: file.physical_name for file in present}
    begin = own_files(step.target, run_id)
    moves = {}
    for number, file in enumerate(step.data_files, 1):
        folder = server.log_path if file.type == "log" else server.data_path
        name = f"{begin}_{number}.{_EXTENSIONS[file.type]}"
        moves[file.logical_name] = there.get(file.logical_name, f"{folder}{name}")
    return moves
