"""Why a backup is in a chain, or is not, in words for the person who reads the plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.model.backups import Kind
from shared.model.hints import SqlHint
from shared.planning.history import History, Usable, empty
from shared.planning.words import said


def chosen_because(used: Sequence[SqlHint], inside: bool) -> list[str]:
    """The reason for each backup of a chain, in its order; ``inside``: the last log is cut at the target."""
    return [_chosen(used, backup, inside) for backup in used]


def _chosen(used: Sequence[SqlHint], backup: SqlHint, inside: bool) -> str:
    if backup.kind is Kind.FULL:
        copy = " (copy-only; no differential builds on it, logs may)" if backup.is_copy_only else ""
        return f"newest full backup from which the target can be reached without a gap{copy}"
    if backup.kind is Kind.DIFFERENTIAL:
        return f"newest usable differential of that full; no log before {said(backup.finished_at)} is needed"
    if backup is not used[-1]:
        return f"continues the chain to LSN {backup.last_lsn}"
    return (
        "holds the target: the roll-forward stops inside it"
        if inside
        else "last log of the chain, restored as a whole"
    )


@dataclass(frozen=True)
class Rejecting:
    """Explains the backups that a search has left; ``used`` is empty where it found no chain."""

    history: History
    used: tuple[SqlHint, ...] = ()
    early_enough: Usable = lambda _: True

    def near(self, backup: SqlHint) -> bool:
        """Whether a person could have expected it in the chain, by its time."""
        if not self.used:
            return True
        if backup.finished_at < self.used[0].started_at or backup.started_at > self.used[-1].finished_at:
            return False
        return all(backup.id != used.id for used in self.used)

    def because(self, backup: SqlHint) -> str | None:
        """Why it is not in the chain; None for one that is simply not needed."""
        if backup.id not in self.history.recorded:
            return f"belongs to another database of this name (family {backup.family_guid})"
        if backup.is_damaged:
            return backup.flaw or "it is damaged: SQL Server marked it so when it was made"
        match backup.kind:
            case Kind.FULL:
                return self._full(backup)
            case Kind.DIFFERENTIAL:
                return self._differential(backup)
            case _:
                return self._log(backup)

    def _full(self, backup: SqlHint) -> str:
        if not self.early_enough(backup):
            return "ended after the target"
        return "no log backups lead from its end to the target without a gap on the same recovery fork"

    def _differential(self, backup: SqlHint) -> str:
        named = backup.differential_base_guid
        base = self.history.any_full.get(named or "")
        if base is None:
            return f"its base full {named} is not among these backups: another tool may have made it"
        if base.is_damaged:
            return f"its base full {base.id} cannot be used: {base.flaw or 'it is damaged'}"
        if base.is_copy_only:
            return f"the full that it names, {base.id}, is copy-only, which cannot be a base"
        if not self.early_enough(backup):
            return "ended after the target"
        if self.used and base.id != self.used[0].id:
            return f"its base is another full backup, {base.id}"
        if any(used.kind is Kind.DIFFERENTIAL and used.last_lsn >= backup.last_lsn for used in self.used):
            return "a newer differential of the same full is used"
        return "no log backups lead from its end to the target without a gap on the same recovery fork"

    def _log(self, backup: SqlHint) -> str | None:
        if empty(backup) or not self.used:
            return None
        last = self.used[-1]
        if last.last_recovery_fork_guid not in (
            backup.first_recovery_fork_guid,
            backup.last_recovery_fork_guid,
        ):
            return "on another recovery fork: the database was itself restored in between"
        if backup.has_bulk_logged_data and backup.last_lsn > last.first_lsn:
            return "holds bulk-logged changes, so the roll-forward cannot stop inside it"
        return None
