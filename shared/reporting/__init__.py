"""What people read: plans, runs, the restore report."""

from shared.reporting.plans import plan_text
from shared.reporting.restores import report, report_text
from shared.reporting.runs import run_text
from shared.reporting.status import status_text

__all__ = ["plan_text", "report", "report_text", "run_text", "status_text"]
