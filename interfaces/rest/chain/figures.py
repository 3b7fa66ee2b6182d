"""Routes of the figures of a chain: those of a club, added up over all clubs or some."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response
from pydantic import BaseModel, Field

from application.fields import Moment
from application.page_links import CHAIN_PATH, OVERVIEW
from interfaces.rest.asking import Asking
from interfaces.rest.chain.clubs import STATE, State
from interfaces.rest.chain.service import chain_of, of_chain, opens, reads
from interfaces.rest.documented import fails, figures, group, opens_page
from interfaces.rest.showing import (
    FiguresQuery,
    Headlines,
    OverviewQuery,
    Sections,
    SpanQuery,
    answer_with_figures,
    answer_with_overview,
)

routes = group("/chain/reports", "Reports")

MOST_CLUBS = 500
"""Clubs that are named in one question, at most; without a name it is all there are."""


class OfClubs(SpanQuery):
    """Which clubs."""

    club: list[Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]] = Field(
        default=[], max_length=MOST_CLUBS, description="a club's name, as often as wanted; else all"
    )


class ChainFiguresQuery(OfClubs, FiguresQuery):
    """Which clubs and days, what of the report, and in which form."""


class ChainOverviewQuery(OfClubs, OverviewQuery):
    """Which clubs and days, and in which form; or the link that opens the page."""


class HeldShown(BaseModel):
    """A club, and up to where it is in figures."""

    club: str
    state: State = Field(description=STATE)
    position: int = Field(description="of the last event of the club that is in them")
    as_of: Moment | None = Field(description="up to when figures hold of the club")
    lag: int | None = Field(description="events that are not in them, where the club was seen")


NO_SINCE = "null: it is whoever serves the chain who says which zone is its"
AS_OF = "of every club: nothing that was recorded by then is missing; null where one is not in yet"


class ChainFiguresShown(Sections):
    """A report: sections of figures, each by its name, and up to where each club is in them."""

    as_of: Moment | None = Field(description=AS_OF)  # type: ignore[assignment]  # one club has one
    timezone_since: None = Field(description=NO_SINCE)
    events: int = Field(description="of all clubs, that are in them")
    clubs: list[HeldShown]


class ChainOverviewShown(Headlines):
    """The figures that matter first, and the reports that they are from, each by its name."""

    as_of: Moment | None = Field(description=AS_OF)  # type: ignore[assignment]  # one club has one
    timezone_since: None = Field(description=NO_SINCE)
    events: int = Field(description="of all clubs, that are in them")
    clubs: list[HeldShown]
    clients: ChainFiguresShown
    cohorts: ChainFiguresShown
    money: ChainFiguresShown
    trainings: ChainFiguresShown
    plans: ChainFiguresShown


Asked = Annotated[ChainFiguresQuery, Query()]
_ANSWERS = of_chain(figures(ChainFiguresShown) | fails(404))


@routes.get("/clients/", responses=_ANSWERS)
async def read_chain_clients_report(
    asking: Annotated[Asking, reads("read-chain-clients-report")], query: Asked
) -> Response:
    """Retrieve how many clients there are, come and go."""
    return await _answer("clients", asking, query)


@routes.get("/cohorts/", responses=_ANSWERS)
async def read_chain_cohorts_report(
    asking: Annotated[Asking, reads("read-chain-cohorts-report")], query: Asked
) -> Response:
    """Retrieve who joined in a month, and how many of them are still active."""
    return await _answer("cohorts", asking, query)


@routes.get("/money/", responses=_ANSWERS)
async def read_chain_money_report(
    asking: Annotated[Asking, reads("read-chain-money-report")], query: Asked
) -> Response:
    """Retrieve what was asked, settled, refunded, and is outstanding."""
    return await _answer("money", asking, query)


@routes.get("/trainings/", responses=_ANSWERS)
async def read_chain_trainings_report(
    asking: Annotated[Asking, reads("read-chain-trainings-report")], query: Asked
) -> Response:
    """Retrieve how much is trained, and what."""
    return await _answer("trainings", asking, query)


@routes.get("/plans/", responses=_ANSWERS)
async def read_chain_plans_report(
    asking: Annotated[Asking, reads("read-chain-plans-report")], query: Asked
) -> Response:
    """Retrieve how many training plans are pinned, active and completed."""
    return await _answer("plans", asking, query)


@routes.get(
    CHAIN_PATH.removeprefix(routes.prefix),
    responses=of_chain(opens_page(ChainOverviewShown) | fails(404)),
)
async def read_chain_overview(
    asking: Annotated[Asking, opens("read-chain-overview", OVERVIEW)],
    query: Annotated[ChainOverviewQuery, Query()],
) -> Response:
    """Retrieve all reports, what matters first: as JSON, or as a page to read and to print."""
    chain, wanted = chain_of(asking.request), query.wanted()
    return await answer_with_overview(
        asking, query, CHAIN_PATH, lambda: chain.figures.of(query.club).overview(wanted)
    )


async def _answer(report: str, asking: Asking, query: ChainFiguresQuery) -> Response:
    chain, wanted = chain_of(asking.request), query.wanted()
    return await answer_with_figures(
        asking, query, lambda: chain.figures.of(query.club).figures(report, wanted)
    )
