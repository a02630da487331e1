"""The catalogue as a whole."""

from __future__ import annotations

from shared.blob.storage import Storage
from shared.catalogue.backups import Backups
from shared.catalogue.claims import Claims
from shared.catalogue.locks import Locks
from shared.catalogue.measures import MeasuredRuns
from shared.catalogue.plans import Plans
from shared.catalogue.points import Points
from shared.catalogue.references import References
from shared.catalogue.reports import Reports
from shared.catalogue.runs import Runs
from shared.catalogue.suspensions import Suspensions
from shared.catalogue.targets import Targets
from shared.clock import Clock


class Catalogue:
    """All that is known about backups and runs; Blob Storage is the only database.

    Args:
        storage: the storage account, with its containers.
        clock: the time.
    """

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self.backups = Backups(storage)
        self.points = Points(storage)
        self.references = References(storage)
        self.plans = Plans(storage)
        self.reports = Reports(storage)
        self.measures = MeasuredRuns(storage)
        self.runs = Runs(storage, clock)
        self.claims = Claims(storage)
        self.locks = Locks(storage, clock, self.runs)
        self.targets = Targets(storage, clock, self.runs)
        self.suspensions = Suspensions(storage)
