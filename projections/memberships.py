"""The table of memberships."""

from __future__ import annotations

from domain.memberships import Added, Deleted, DetailsChanged, Repriced
from domain.recorded import Recorded
from projections.engine.lists import Listing
from projections.engine.model import ReadModel
from projections.engine.table import Operations, Patch, Put, Remove, Table

MEMBERSHIPS = Table(
    "memberships",
    key=("id",),
    columns="""
        id integer NOT NULL DEFAULT nextval('memberships_id_seq'),
        access_level access_level,
        description text,
        price numeric NOT NULL
    """,
)
TABLES = (MEMBERSHIPS,)


def project(recorded: Recorded) -> Operations:
    """What an event of a membership means for the table."""
    event = recorded.event
    key = (event.number,)
    match event:
        case Added():
            row = {
                "id": event.number,
                "access_level": event.access_level,
                "description": event.description,
                "price": event.price,
            }
            yield Put(MEMBERSHIPS, row)
        case Repriced(price=price):
            yield Patch(MEMBERSHIPS, key, {"price": price})
        case DetailsChanged(changes=changes):
            yield Patch(MEMBERSHIPS, key, changes)
        case Deleted():
            yield Remove(MEMBERSHIPS, key)
        case _:
            return


MODEL = ReadModel("memberships", ("membership",), TABLES, project)


ANSWER = "m.id, m.access_level, m.description, m.price::text AS price"
_COLUMNS = {"id": "m.id", "access_level": "m.access_level", "price": "m.price"}

LISTING = Listing(
    kind="membership",
    table="memberships AS m",
    answer=ANSWER,
    columns=_COLUMNS,
)

OFFERS = Listing(
    kind="membership",
    table="memberships AS m",
    answer=ANSWER,
    columns=_COLUMNS,
    only="""
        NOT EXISTS (SELECT FROM clients AS c WHERE c.membership_id = m.id
        AND NOT coalesce((SELECT shared_memberships FROM club_rules), FALSE))
    """,
)
"""What can be had: memberships that nobody holds, or that several may hold."""

OF_CLIENTS = Listing(
    kind="client",
    table="clients AS c JOIN memberships AS m ON m.id = c.membership_id",
    answer=ANSWER,
    owner="c.user_id",
    columns={"client_id": "c.id"},
    key=("c.id",),
)
"""The membership that each client holds."""
