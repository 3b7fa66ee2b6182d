"""The table of reports: what the tables showed at the moment a report was asked for."""

from __future__ import annotations

from domain.aggregate import Event
from domain.reports import DrawnUp
from projections.engine.lists import Listing
from projections.engine.table import Compute, Operations, Table
from projections.users import ANSWER

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

# A report as of its event: the users who registered on its days, each without its password hash.
_DRAW_UP = f"""
INSERT INTO simple_report (id, report_date_start, report_date_end, new_users)
SELECT %(id)s, %(start)s::date, %(end)s::date, jsonb_build_object('data', coalesce((
    SELECT jsonb_agg(to_jsonb(answer) ORDER BY answer.id)
    FROM (SELECT {ANSWER} FROM users AS u
          WHERE u.created_at >= %(start)s::date::timestamp AT TIME ZONE %(zone)s
            AND u.created_at < (%(end)s::date + 1)::timestamp AT TIME ZONE %(zone)s) AS answer
    ), '[]'))
"""


def project(event: Event) -> Operations:
    """What an event of a report means for the table."""
    match event:
        case DrawnUp():
            params = {
                "id": event.number,
                "start": event.report_date_start,
                "end": event.report_date_end,
                "zone": event.timezone,
            }
            yield Compute(_DRAW_UP, params)
        case _:
            return


LISTING = Listing(
    kind="report",
    table="simple_report AS r",
    answer="r.id, r.report_date_start, r.report_date_end, r.new_users",
    columns={
        "id": "r.id",
        "report_date_start": "r.report_date_start",
        "report_date_end": "r.report_date_end",
    },
)
