"""Figures as they are asked for and answered over HTTP: as JSON, CSV, a chart, or a page.

The routes of a club's figures and those of a chain's share it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, NoReturn
from urllib.parse import urlencode, urlsplit

import orjson
from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from application.fields import Day, Moment
from application.figures import By, Figures, Overview, Section, Unit
from application.page_links import OVERVIEW, PARAMETER
from application.ports.figures import Wanted
from domain.refusals import Invalid
from interfaces.forms import csv, page
from interfaces.forms.chart import MEDIA_TYPE as SVG
from interfaces.forms.chart import chart_of
from interfaces.rest.asking import Asking
from interfaces.rest.documents import NOTHING_RUNS
from interfaces.rest.door import COOKIE
from interfaces.rest.lists import not_before
from interfaces.rest.meanings import best
from interfaces.rest.problems import JSON
from interfaces.rest.public import public


class UnknownSection(Invalid):
    """There is no section {name!r} here; there are: {names}."""

    FIELD = "section"


class NothingDrawn(Invalid):
    """There is no chart of the section {name!r}: it is to be read as JSON or CSV."""

    FIELD = "section"


class Form(StrEnum):
    """What form figures take."""

    JSON = "json"
    CSV = "csv"
    SVG = "svg"


FORMS = {JSON: Form.JSON, "text/csv": Form.CSV, SVG: Form.SVG}
"""By the media type that names one; the first where it is all the same."""


class SpanQuery(BaseModel):
    """Which days, of the club's time zone, and how long each period of them is."""

    model_config = ConfigDict(extra="forbid")

    from_date: Day | None = Field(default=None, description="the first day")
    to_date: Annotated[Day | None, not_before("from_date")] = Field(
        default=None, description="the last day"
    )
    by: By | None = Field(default=None, description="how long each period is")

    def wanted(self) -> Wanted:
        """The days and periods, as the figures are asked for."""
        first, last = self.from_date, self.to_date
        return Wanted(
            None if first is None else date.fromisoformat(first),
            None if last is None else date.fromisoformat(last),
            self.by,
        )


class FiguresQuery(SpanQuery):
    """Which days, what of the report, and in which form."""

    section: str | None = Field(
        default=None,
        max_length=64,
        description="one section alone; of several, CSV and SVG have the first",
    )
    format: Form | None = Field(default=None, description="what form; else `Accept` says it")


class Covered(BaseModel):
    """What days figures are of, and up to when they hold."""

    from_date: Day
    to_date: Day
    by: By
    timezone: str = Field(description="whose days these are")
    timezone_since: Moment | None = Field(description="from when on it is the club's")
    as_of: Moment = Field(description="nothing that was recorded by then is missing")
    empty: bool = Field(description="nothing at all had happened by the end of these days")
    unfinished: Day | None = Field(description="first day of the period that is not over yet")


class Sections(Covered):
    """A report: sections of figures, each by its name."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, list[dict[str, int | str | None]]] = Field(init=False)

    report: str


class PageForm(StrEnum):
    """What form the overview takes."""

    JSON = "json"
    HTML = "html"


KEPT = frozenset({"club"})
"""What of a query stays, where other days are asked for on the page."""

PAGES = {JSON: PageForm.JSON, page.MEDIA_TYPE: PageForm.HTML}
"""By the media type that names one; the first where it is all the same."""


class OverviewQuery(SpanQuery):
    """Which days, and in which form; or the link that opens the page."""

    format: PageForm | None = Field(default=None, description="what form; else `Accept` says it")
    link: str | None = Field(
        default=None,
        min_length=1,
        max_length=4096,
        description="from `url` of a link; it is put in a cookie, and the page asked for again",
    )


class Before(BaseModel):
    """The period before, which is as long."""

    from_date: Day
    to_date: Day


class HeadlineShown(BaseModel):
    """One figure that matters, and what it was in the period before."""

    name: str
    title: str
    unit: Unit
    now: int | str | None
    before: int | str | None


class Headlines(Covered):
    """The figures that matter first."""

    before: Before
    headlines: list[HeadlineShown]


async def answer_with_overview(
    asking: Asking, query: OverviewQuery, path: str, find: Callable[[], Awaitable[Overview]]
) -> Response:
    """All reports, as JSON or as the page; a link leads to the page at this path without it."""
    if query.link is not None and "authorization" not in asking.request.headers:
        return _without_link(asking, path, query.link)
    form = query.format or PAGES[wanted_type(asking, tuple(PAGES))]
    found = await find()
    if form is PageForm.JSON:
        body = await asyncio.to_thread(lambda: as_json(found.body()))
        headers = {name: page.HEADERS[name] for name in ("Cache-Control", "Vary")}
        return asking.unless_known(body, headers)
    kept = [(k, v) for k, v in asking.request.query_params.multi_items() if k in KEPT]
    shown = await asyncio.to_thread(page.page_of, found, kept)
    return Response(shown, headers=dict(page.HEADERS), media_type=page.MEDIA_TYPE)


def _without_link(asking: Asking, path: str, token: str) -> Response:
    """The page at this path again, with the token out of the address and in a cookie for it."""
    scope = asking.request.scope
    kept = [(k, v) for k, v in asking.request.query_params.multi_items() if k != PARAMETER]
    there = public(scope, path)
    ends_at = asking.service.tokens.read_page_token(token, OVERVIEW).ends_at
    answer = Response(status_code=303, headers=dict(page.HEADERS))
    answer.headers["Location"] = f"{there}?{urlencode(kept)}" if kept else there
    answer.set_cookie(
        COOKIE,
        token,
        expires=datetime.fromtimestamp(ends_at, UTC),
        path=urlsplit(there).path,
        secure=there.startswith("https:"),
        httponly=True,
        samesite="lax",
    )
    return answer


async def answer_with_figures(
    asking: Asking, query: FiguresQuery, find: Callable[[], Awaitable[Figures]]
) -> Response:
    """The report, in the form that is asked for."""
    form = query.format or FORMS[wanted_type(asking, tuple(FORMS))]
    found = await find()
    if query.section is not None:
        found = replace(found, sections=[_named(found, query.section)])
    headers = {"Vary": "Accept"}
    match form:
        case Form.CSV:
            section = found.sections[0]
            headers["Content-Disposition"] = _attached(csv.file_name(found, section))
            body = await asyncio.to_thread(csv.csv_of, section)
            return asking.unless_known(body, headers, csv.MEDIA_TYPE)
        case Form.SVG:
            section = _drawn(found.sections)
            drawn = await asyncio.to_thread(chart_of, section, found.name, alone=True)
            return asking.unless_known(drawn.encode(), headers | NOTHING_RUNS, SVG)
        case Form.JSON:
            body = await asyncio.to_thread(lambda: as_json(found.body()))
            return asking.unless_known(body, headers)


def _attached(file_name: str) -> str:
    return f'attachment; filename="{file_name}"'


def as_json(body: Any) -> bytes:
    """The body; decimals are text, as everywhere, so that none loses a digit."""
    return orjson.dumps(body, default=_exact)


def _exact(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError


def wanted_type(asking: Asking, offered: Sequence[str]) -> str:
    """The media type that is wanted most; 406 where none of these is."""
    accept = asking.request.headers.get("accept", "").strip() or "*/*"
    return best(accept, offered) or _not_acceptable(offered)


def _not_acceptable(offered: Sequence[str]) -> NoReturn:
    raise HTTPException(406, f"There is none of what `Accept` names, but {', '.join(offered)}.")


def _named(found: Figures, name: str) -> Section:
    sections = [*found.sections, *filter(None, [found.clubs])]
    for section in sections:
        if section.name == name:
            return section
    raise UnknownSection(name=name, names=", ".join(section.name for section in sections))


def _drawn(sections: Sequence[Section]) -> Section:
    """The first section of which something is drawn."""
    for section in sections:
        if section.chart is not None:
            return section
    raise NothingDrawn(name=sections[0].name)
