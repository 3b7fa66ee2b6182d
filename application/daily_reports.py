"""The report that the club makes for itself, once a day."""

from __future__ import annotations

import uuid

from application.access import THE_CLUB
from application.bus import Bus
from application.command import Context
from application.ports.ledger import UnreadableHistory
from application.reports import DrawUpDailyReport
from domain.reports import DailyReportMade, NotDueYet


async def draw_up_what_is_due(bus: Bus) -> int:
    """Draw up the report of today, where its time has come and nobody has; how many that were.

    Late is as good as on time, and a day that has passed without one is not made up for.
    """
    context = Context(THE_CLUB, correlation_id=f"daily-report-{uuid.uuid4().hex}", visible=False)
    try:
        await bus.execute(DrawUpDailyReport(), context)
    except (NotDueYet, DailyReportMade, UnreadableHistory):
        # Unreadable: it is for a newer release to do.
        return 0
    return 1
