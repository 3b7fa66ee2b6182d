"""Routes of the figures that the club is run by: each as JSON, as CSV, or as a chart."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response
from pydantic import Field

from application.catalogue import FIGURES
from application.page_links import OVERVIEW, PATH
from interfaces.rest.asking import Asking
from interfaces.rest.documented import figures, group, opens_page
from interfaces.rest.door import asks, opens
from interfaces.rest.showing import (
    FiguresQuery,
    Headlines,
    OverviewQuery,
    Sections,
    answer_with_figures,
    answer_with_overview,
)

routes = group("/reports", "Reports")


class FiguresShown(Sections):
    """A report: sections of figures, each by its name, and up to where in the ledger they hold."""

    position: int = Field(description="of the last event that is in them")


class OverviewShown(Headlines):
    """The figures that matter first, and the reports that they are from, each by its name."""

    position: int = Field(description="of the last event that is in them")
    clients: FiguresShown
    cohorts: FiguresShown
    money: FiguresShown
    trainings: FiguresShown
    plans: FiguresShown


Asked = Annotated[FiguresQuery, Query()]
_ANSWERS = figures(FiguresShown)


@routes.get("/clients/", responses=_ANSWERS)
async def read_clients_report(
    asking: Annotated[Asking, asks("read-clients-report")], query: Asked
) -> Response:
    """Retrieve how many clients there are, come and go."""
    return await _answer(asking, query)


@routes.get("/cohorts/", responses=_ANSWERS)
async def read_cohorts_report(
    asking: Annotated[Asking, asks("read-cohorts-report")], query: Asked
) -> Response:
    """Retrieve who joined in a month, and how many of them are still active."""
    return await _answer(asking, query)


@routes.get("/money/", responses=_ANSWERS)
async def read_money_report(
    asking: Annotated[Asking, asks("read-money-report")], query: Asked
) -> Response:
    """Retrieve what was asked, settled, refunded, and is outstanding.

    Outstanding is what is PENDING, and what FAILED: that may still be paid.
    """
    return await _answer(asking, query)


@routes.get("/trainings/", responses=_ANSWERS)
async def read_trainings_report(
    asking: Annotated[Asking, asks("read-trainings-report")], query: Asked
) -> Response:
    """Retrieve how much is trained, and what."""
    return await _answer(asking, query)


@routes.get("/plans/", responses=_ANSWERS)
async def read_plans_report(
    asking: Annotated[Asking, asks("read-plans-report")], query: Asked
) -> Response:
    """Retrieve how many training plans are pinned, active and completed."""
    return await _answer(asking, query)


@routes.get(PATH.removeprefix(routes.prefix), responses=opens_page(OverviewShown))
async def read_overview(
    asking: Annotated[Asking, opens("read-overview", OVERVIEW)],
    query: Annotated[OverviewQuery, Query()],
) -> Response:
    """Retrieve all reports, what matters first: as JSON, or as a page to read and to print."""
    return await answer_with_overview(asking, query, PATH, lambda: asking.overview(query.wanted()))


async def _answer(asking: Asking, query: FiguresQuery) -> Response:
    """The report that the catalogue names."""
    report = FIGURES[asking.name].report
    return await answer_with_figures(asking, query, lambda: asking.figures(report, query.wanted()))
