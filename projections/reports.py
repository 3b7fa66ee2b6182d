"""The table of reports: the users of some days, as they were when a report was asked for."""

from __future__ import annotations

from domain.recorded import Recorded
from domain.reports import DrawnUp
from projections.engine.lists import Listing
from projections.engine.model import ReadModel
from projections.engine.table import Gather, Operations, Table
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
TABLES = (SIMPLE_REPORT,)


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
        case _:
            return


MODEL = ReadModel("reports", ("report",), TABLES, project)


LISTING = Listing(
    kind="report",
    table="simple_report AS r",
    answer="r.id, r.report_date_start, r.report_date_end, r.new_users",
    columns={
        "id": "r.id",
        "report_date_start": "r.report_date_start",
        "report_date_end": "r.report_date_end",
    },
    summary="r.id, r.report_date_start, r.report_date_end",
)
