"""The overview as a page that an owner opens and prints: all of it in one answer, and no script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from application.figures import By, Overview, Section, Span, Unit
from interfaces.forms.chart import NARROW, WIDE, chart_of
from interfaces.forms.words import change, days, moment, said

MEDIA_TYPE = "text/html"

_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = (_TEMPLATES / "style.css").read_text()
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; img-src data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-store",
    "Vary": "Accept, Authorization, Cookie",
}
"""On every page: nothing runs, nothing is fetched, nothing is kept, and nobody is told."""


class _Charts(NamedTuple):
    """One chart for a desk and paper, and one for a phone; only one of them is there."""

    wide: Markup
    narrow: Markup


def _kind(unit: Unit) -> str:
    """How values of a unit stand in a table."""
    return {Unit.TEXT: "text", Unit.NAME: "text", Unit.DAY: "text day"}.get(unit, "number")


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {"said": said, "change": change, "days": days, "kind": _kind}
_ENVIRONMENT.globals["day"] = Unit.DAY
_ENVIRONMENT.globals["style"] = Markup(_STYLE)  # noqa: S704 - our own, of which the digest is
_OVERVIEW = _ENVIRONMENT.get_template("overview.html")
_REFUSED = _ENVIRONMENT.get_template("refused.html")


def page_of(overview: Overview, kept: Sequence[tuple[str, str]] = ()) -> str:
    """The figures that matter first, then each report with its charts and tables.

    `kept` is what of a query stays when other days are asked for.
    """
    first = overview.reports[0]
    charts = {
        f"{report.name}-{section.name}": _charts(section, f"{report.name}-{section.name}")
        for report in overview.reports
        for section in report.sections
        if section.chart is not None and section.rows
    }
    return _OVERVIEW.render(
        days=days(first.span.whole),
        before=days(overview.before),
        span=first.span,
        since=_since(first.span),
        periods=list(By),
        position=overview.position,
        as_of=overview.as_of and moment(overview.as_of, first.span.timezone),
        empty=overview.empty,
        unfinished=first.unfinished,
        headlines=overview.headlines,
        reports=overview.reports,
        charts=charts,
        clubs=_told(overview.clubs, first.span.timezone),
        late=list(_late(overview.clubs)),
        kept=kept,
    )


def _told(clubs: Section | None, timezone: str) -> Section | None:
    """The clubs of a chain, with moments as people read them."""
    if clubs is None:
        return None
    column = [column.name for column in clubs.columns].index("as_of")
    rows = [
        (*row[:column], row[column] and moment(str(row[column]), timezone), *row[column + 1 :])
        for row in clubs.rows
    ]
    return replace(clubs, rows=rows)


SAID_OF = {
    "behind": "{} is behind: {} events are not in these figures yet.",
    "unseen": "{} was not seen lately: what happened there since may be missing in these figures.",
    "standing": "{} stands still: what happened there since is not in these figures.",
    "absent": "{} is not in these figures yet.",
}


def _late(clubs: Section | None) -> Iterator[str]:
    """What is missing of which club of a chain."""
    for club in () if clubs is None else clubs.named():
        if said_of := SAID_OF.get(str(club["state"])):
            yield said_of.format(club["club"], club["lag"])


def _since(span: Span) -> str:
    """From when on the days' time zone is the club's."""
    since = span.timezone_since
    return "" if since is None else f" since {moment(since, span.timezone)}"


def refusal_of(status: int, title: str, detail: str, advice: str) -> str:
    """What is not shown, why, and what to do about it."""
    return _REFUSED.render(status=status, title=title, detail=detail, advice=advice)


def _charts(section: Section, name: str) -> _Charts:
    return _Charts(
        Markup(chart_of(section, f"{name}-wide", WIDE)),  # noqa: S704 - made of escaped text
        Markup(chart_of(section, f"{name}-narrow", NARROW)),  # noqa: S704 - the same
    )
