"""What people read: plans, runs, the restore report."""

from shared.reporting.plans import plan_text, plans_text
from shared.reporting.plans_html import plans_html
from shared.reporting.restore_html import report_html
from shared.reporting.restores import report, report_text, with_verdicts
from shared.reporting.runs import run_text
from shared.reporting.status import status_text

__all__ = [
    "plan_text",
    "plans_html",
    "plans_text",
    "report",
    "report_html",
    "report_text",
    "run_text",
    "status_text",
    "with_verdicts",
]
