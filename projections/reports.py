"""The table of reports: the users of some days, as they were when a report was asked for."""

from __future__ import annotations

from domain.aggregate import time_text
from domain.recorded import Recorded
from domain.reports import DrawnUp
from projections.engine.lists import Listing
from projections.engine.model import ReadModel
from projections.engine.table import Gather, Operations, Put, Table, deferred, utc
from projections.users import ANSWER, USERS

SIMPLE_REPORT = Table(
    "simple_report",
    key=("id",),
    columns="""
        id integer NOT NULL DEFAULT nextval('simple_report_id_seq'),
        report_date_start date NOT NULL,
        report_date_end date NOT NULL,
        new_users jsonb NOT NULL
    """,
)
REPORTS_DRAWN_UP = Table(
    "reports_drawn_up",
    key=("report_id",),
    columns="""
        report_id integer NOT NULL, drawn_at timestamptz NOT NULL, position bigint NOT NULL,
        daily boolean NOT NULL, timezone text NOT NULL
    """,
    constraints=(deferred("FOREIGN KEY (report_id) REFERENCES simple_report (id)"),),
)
"""Not documented: as of which moment, and which place in the ledger, a report shows its users.

And whether it is the one that is made daily, and whose days it is on."""

TABLES = (SIMPLE_REPORT, REPORTS_DRAWN_UP)


def project(recorded: Recorded) -> Operations:
    """What an event of a report means for the table."""
    event = recorded.event
    match event:
        case DrawnUp():
            row = {
                "id": event.number,
                "report_date_start": event.report_date_start,
                "report_date_end": event.report_date_end,
            }
            yield Gather(
                SIMPLE_REPORT,
                row,
                column="new_users",
                source=USERS,
                alias="u",
                by="created_at",
                first=event.starts_at,
                beyond=event.ends_before,
                shown=ANSWER,
            )
            drawn_up = {
                "report_id": event.number,
                "drawn_at": time_text(event.timestamp),
                "position": recorded.position,
                "daily": event.daily,
                "timezone": event.timezone,
            }
            yield Put(REPORTS_DRAWN_UP, drawn_up)
        case _:
            return


MODEL = ReadModel("reports", ("report",), TABLES, project)


DAYS = "r.id, r.report_date_start, r.report_date_end"
DRAWN_UP = f"{utc('d.drawn_at')}, d.position, d.daily, d.timezone"

LISTING = Listing(
    kind="report",
    table="simple_report AS r JOIN reports_drawn_up AS d ON d.report_id = r.id",
    answer=f"{DAYS}, r.new_users, {DRAWN_UP}",
    columns={
        "id": "r.id",
        "report_date_start": "r.report_date_start",
        "report_date_end": "r.report_date_end",
        "daily": "d.daily",
    },
    summary=f"{DAYS}, {DRAWN_UP}",
)
