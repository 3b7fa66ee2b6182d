"""The route of a chain's clubs: how far each is, and what holds it up."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Response
from pydantic import BaseModel, Field

from application.access import RULES, Permission
from application.fields import Id, Moment
from application.ports.queries import PageRequest
from interfaces.rest.asking import Asking
from interfaces.rest.chain.service import chain_of, of_chain, reads
from interfaces.rest.documented import group, lists
from interfaces.rest.lists import ListQuery, words

routes = group("/chain/clubs", "Clubs")

State = Literal["running", "behind", "unseen", "standing", "absent"]
STATE = (
    "`behind`: an event has waited for more than 30 seconds; `unseen`: its ledger was not"
    " seen for minutes, or never; `standing`: it cannot go on;"
    " `absent`: nothing of the club is in these tables yet"
)


class InGroup(BaseModel):
    """How far a club is in the tables of one group."""

    name: str = Field(description="`figures`, which reports are from, or `documented`")
    generation: int = Field(description="that this release reads")
    state: State = Field(description=STATE)
    position: int = Field(description="of the last event of the club that was taken in")
    as_of: Moment | None = Field(description="up to when these tables hold of the club")
    lag: int | None = Field(description="events still to take in, where the club was seen")
    age: float | None = Field(description="seconds for which the first of these has waited")
    since: Moment | None = Field(description="since when it stands still")
    stands_at: int | None = Field(
        default=None, description="the event that it stands still before; for ADMINs only"
    )
    topic: str | None = Field(
        default=None, description="what kind of event that is; for ADMINs only"
    )
    reason: str | None = Field(default=None, description="why it stands still; for ADMINs only")


class ClubShown(BaseModel):
    """A club of the chain."""

    id: Id
    name: str
    ledger: UUID = Field(description="what tells its ledger from every other one")
    joined_at: Moment
    head: int | None = Field(description="the last event of its ledger, when it was last seen")
    published: int | None = Field(description="the last of them that Kafka has confirmed")
    seen_at: Moment | None = Field(description="when its ledger was looked at")
    groups: list[InGroup]


class ClubsQuery(ListQuery):
    """Which clubs."""

    name: str | None = words(200)
    sort: str | None = Field(
        default=None,
        pattern="^-?(id|name|joined_at)$",
        description="a column; `-` for the greatest first",
    )


@routes.get("/", responses=of_chain(lists(ClubShown)))
async def list_chain_clubs(
    asking: Annotated[Asking, reads("list-chain-clubs")], query: Annotated[ClubsQuery, Query()]
) -> Response:
    """Retrieve the clubs of the chain and how far each is; ADMINs are told why one stands still."""
    wanted = PageRequest(query.filters(), query.order(), query.after, query.limit)
    chain = chain_of(asking.request)
    is_admin = asking.caller.role in RULES[Permission.HEALTH_DETAILS].roles
    clubs = chain.clubs_and_why if is_admin else chain.clubs
    return await asking.page_of(clubs.page, clubs.total, wanted, counted=query.total)
