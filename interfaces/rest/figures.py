"""Routes of the figures that the club is run by: each as JSON, as CSV, or as a chart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, NoReturn

import orjson
from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from application.catalogue import FIGURES
from application.fields import Day, Moment
from application.figures import By, Section
from application.ports.figures import Wanted
from domain.refusals import Invalid
from interfaces.forms import csv
from interfaces.forms.chart import MEDIA_TYPE as SVG
from interfaces.forms.chart import chart_of
from interfaces.rest.asking import Asking
from interfaces.rest.documented import figures, group
from interfaces.rest.documents import NOTHING_RUNS
from interfaces.rest.door import asks
from interfaces.rest.lists import not_before
from interfaces.rest.meanings import best
from interfaces.rest.problems import JSON

routes = group("/reports", "Reports")


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


class FiguresShown(BaseModel):
    """A report: sections of figures, each by its name, and up to where in the ledger they hold."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, list[dict[str, int | str | None]]] = Field(init=False)

    report: str
    from_date: Day
    to_date: Day
    by: By
    timezone: str = Field(description="whose days these are")
    position: int = Field(description="of the last event that is in them")
    as_of: Moment = Field(description="nothing that was recorded by then is missing")
    empty: bool = Field(description="nothing at all had happened by the end of these days")


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
    """Retrieve what was asked, settled, refunded, and is outstanding."""
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


async def _answer(asking: Asking, query: FiguresQuery) -> Response:
    """The report that the catalogue names, in the form that is asked for."""
    form = query.format or FORMS[wanted_type(asking, tuple(FORMS))]
    found = await asking.figures(FIGURES[asking.name].report, query.wanted())
    if query.section is not None:
        found = replace(found, sections=[_named(found.sections, query.section)])
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
            return asking.unless_known(as_json(found.body()), headers)


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
    accept = asking.request.headers.get("accept", "*/*")
    return best(accept, offered) or _not_acceptable(offered)


def _not_acceptable(offered: Sequence[str]) -> NoReturn:
    raise HTTPException(406, f"There is none of what `Accept` names, but {', '.join(offered)}.")


def _named(sections: Sequence[Section], name: str) -> Section:
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
