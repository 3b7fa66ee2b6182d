"""The table of links that open a page."""

from __future__ import annotations

from domain.aggregate import time_text
from domain.page_links import Made, Revoked
from domain.recorded import Recorded
from projections.engine.lists import Listing
from projections.engine.model import ReadModel
from projections.engine.table import Operations, Put, Remove, Table, deferred, utc

PAGE_LINKS = Table(
    "page_links",
    key=("id",),
    columns="""
        id integer NOT NULL DEFAULT nextval('page_links_id_seq'),
        user_id integer NOT NULL,
        page text NOT NULL,
        made_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL
    """,
    constraints=(deferred("FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE NO ACTION"),),
    indexes=("(user_id)",),
)
"""Not documented: which links nobody revoked."""


def project(recorded: Recorded) -> Operations:
    """What an event of a link means for the table."""
    event = recorded.event
    match event:
        case Made():
            row = {
                "id": event.number,
                "user_id": event.user_id,
                "page": event.page,
                "made_at": time_text(event.timestamp),
                "expires_at": event.expires_at,
            }
            yield Put(PAGE_LINKS, row)
        case Revoked():
            yield Remove(PAGE_LINKS, (event.number,))
        case _:
            return


MODEL = ReadModel("page_links", ("page-link",), (PAGE_LINKS,), project)

LISTING = Listing(
    kind="page-link",
    table="page_links AS l",
    answer=f"l.id, l.page, {utc('l.made_at')}, {utc('l.expires_at')}",
    owner="l.user_id",
    columns={
        "id": "l.id",
        "user_id": "l.user_id",
        "made_at": "l.made_at",
        "expires_at": "l.expires_at",
    },
    only="l.expires_at > now()",
)
"""Links that are good."""
