"""The table of the club's rules, and what they mean for the other tables."""

from __future__ import annotations

from domain.recorded import Recorded
from domain.rules import Adopted, Changed
from projections.clients import CLIENTS, ONE_HOLDER
from projections.engine.lists import Listing
from projections.engine.model import ReadModel
from projections.engine.table import Operations, Patch, Put, Switch, Table

CLUB_RULES = Table(
    "club_rules",
    key=("id",),
    columns="""
        id integer NOT NULL,
        paid_days integer NOT NULL,
        payment_patience_hours integer NOT NULL,
        shared_memberships boolean NOT NULL,
        timezone text NOT NULL,
        daily_report_at text NOT NULL
    """,
)
"""Not documented: one row."""

TABLES = (CLUB_RULES,)


def project(recorded: Recorded) -> Operations:
    """What an event of the rules means for the tables."""
    event = recorded.event
    match event:
        case Adopted():
            row = {
                "id": event.number,
                "paid_days": event.paid_days,
                "payment_patience_hours": event.payment_patience_hours,
                "shared_memberships": event.shared_memberships,
                "timezone": event.timezone,
                "daily_report_at": event.daily_report_at,
            }
            yield Put(CLUB_RULES, row)
            yield Switch(CLIENTS, ONE_HOLDER, on=not event.shared_memberships)
        case Changed(changes=changes):
            yield Patch(CLUB_RULES, (event.number,), changes)
            if "shared_memberships" in changes:
                yield Switch(CLIENTS, ONE_HOLDER, on=not changes["shared_memberships"])
        case _:
            return


MODEL = ReadModel("rules", ("rules",), TABLES, project)


LISTING = Listing(
    kind="rules",
    table="club_rules AS r",
    answer="""
        r.paid_days, r.payment_patience_hours, r.shared_memberships, r.timezone, r.daily_report_at
    """,
    columns={"id": "r.id"},
)
