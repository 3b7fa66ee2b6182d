"""Routes of reports."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import Query, Response
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from application.catalogue import FIGURES
from application.fields import Body, Day, Moment, SentBack
from application.reports import ReportBody
from application.subscriptions import SubscriptionBody
from domain.subscriptions import State
from interfaces.rest.asking import Asking
from interfaces.rest.documented import changes, creates, group, lists, shows
from interfaces.rest.door import asks
from interfaces.rest.lists import ListQuery, PathNumber, Truth, not_before, sorting

routes = group("/reports", "Reports")


def _named_or_numbered(given: object) -> object:
    """Refuse what looks like the name of one of the reports that are computed when asked for."""
    if isinstance(given, str) and re.fullmatch(r"[A-Za-z-]+", given):
        names = ", ".join(entry.report or "overview" for entry in FIGURES.values())
        raise PydanticCustomError(
            "report_name",
            "Input should be the number of a report, or one of {names}",
            {"names": names},
        )
    return given


ReportNumber = Annotated[PathNumber, BeforeValidator(_named_or_numbered)]


class ReportSummary(Body):
    """Which days a report is on, and as of when."""

    id: int
    report_date_start: Day
    report_date_end: Day
    drawn_at: Moment = Field(description="the moment as of which it shows its users")
    position: int = Field(description="where in the ledger that is")
    daily: bool = Field(description="whether it is the one that is made daily")
    timezone: str = Field(description="whose days these are: a zone of the club's, then")


class ReportShown(ReportSummary):
    """A report on the users who registered on some days."""

    new_users: dict[str, list[dict[str, Any]]]


class DeliveryShown(Body):
    """What became of a delivery, up to then."""

    day: Day
    state: State
    at: Moment
    reason: str | None
    again_at: Moment | None = Field(description="when it is tried again, if at all")


class Subscribed(SubscriptionBody):
    """What somebody wants sent."""


class SubscriptionKept(Subscribed):
    """What somebody wants sent, as it was just said."""

    undeliverable: str | None = Field(description="why nothing can be sent as things are")


class SubscriptionShown(Subscribed):
    """What somebody wants sent, and what became of it lately, the newest first."""

    deliveries: list[DeliveryShown]


class SubscriptionSentBack(SubscriptionBody):
    """What somebody wants sent; what became of it may be sent back."""

    deliveries: SentBack[list[DeliveryShown]] = None


class ReportsQuery(ListQuery):
    """Which reports."""

    report_date_start: Day | None = None
    report_date_end: Annotated[Day | None, not_before("report_date_start")] = None
    daily: Truth | None = None
    sort: str | None = sorting("list-reports")


@routes.get("/", responses=lists(ReportSummary))
async def list_reports(
    asking: Annotated[Asking, asks("list-reports")], query: Annotated[ReportsQuery, Query()]
) -> Response:
    """Retrieve the list of reports, without the users in them."""
    return await asking.page(query)


@routes.get("/subscriptions/", responses=shows(SubscriptionShown))
async def read_subscriptions(asking: Annotated[Asking, asks("read-subscriptions")]) -> Response:
    """Retrieve what whoever asks wants sent, and what became of it lately."""
    return await asking.one(asking.caller.user_id or 0)


@routes.put("/subscriptions/", responses=changes(SubscriptionKept))
async def subscribe(
    body: SubscriptionSentBack, asking: Annotated[Asking, asks("subscribe")]
) -> Response:
    """Have the figures of the morning sent to one's Telegram chat, or no longer."""
    return await asking.change(body)


@routes.get("/{report_id}/", responses=shows(ReportShown))
async def read_report(
    report_id: ReportNumber, asking: Annotated[Asking, asks("read-report")]
) -> Response:
    """Retrieve the report by ID."""
    return await asking.one(report_id)


@routes.post("/", status_code=201, responses=creates(ReportShown))
async def draw_up_report(
    asking: Annotated[Asking, asks("draw-up-report")], body: ReportBody | None = None
) -> Response:
    """Add information for a daily report; the projector fills in who registered."""
    return await asking.create(body or ReportBody(), location="/reports/{id}/")
