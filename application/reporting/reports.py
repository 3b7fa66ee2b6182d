"""All reports by name, and the overview of them: what the port of figures promises."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from application.figures import Figures, Headline, Overview, Section, Span, Unit
from application.ports.figures import FigureRows, Wanted
from application.ports.services import Clock, Zone
from application.reporting import clients, clubs, cohorts, money, plans, trainings
from application.reporting.shaping import FIRST, LAST, Rows, cut
from application.reporting.shaping import money as amount
from application.spans import before, by_month, span_of
from domain.days import day_of

Asked = list[tuple[str, Sequence[str], Sequence[str]]]
Shape = Callable[[Sequence[Rows]], Iterator[Section]]


class Part:
    """Some sections of a report: what is asked for them, and what they make of the answers."""

    def __init__(self, names: Sequence[str], of: tuple[Sequence[str], Sequence[str]], shape: Shape):
        self.asked: Asked = [(name, *of) for name in names]
        self.shape = shape


class Reports:
    """The figures of the club, or of the clubs of a chain."""

    def __init__(self, rows: FigureRows, zone: Callable[[], Awaitable[Zone]], clock: Clock) -> None:
        self._rows = rows
        self._zone = zone
        self._clock = clock

    async def figures(self, name: str, wanted: Wanted) -> Figures:
        """One report; raises Invalid."""
        now, zone = self._clock.now(), await self._zone()
        today = date.fromisoformat(day_of(now, zone.name))
        span = span_of(wanted, today, zone.name, zone.since)
        span, parts = PARTS[name](span, now, today)
        found = await self._rows.look([one for part in parts for one in part.asked])
        answers = list(found["answers"])
        return await asyncio.to_thread(_report, name, span, parts, found, answers, today)

    async def overview(self, wanted: Wanted) -> Overview:
        """All reports, and what matters first; all of one moment. Raises Invalid."""
        now, zone = self._clock.now(), await self._zone()
        today = date.fromisoformat(day_of(now, zone.name))
        span = span_of(wanted, today, zone.name, zone.since)
        reports = {name: parts(span, now, today) for name, parts in PARTS.items()}
        whole, earlier = cut(_whole(span)), cut(before(span))
        asked = [one for _, parts in reports.values() for part in parts for one in part.asked]
        asked += [(name, *of) for of in (whole, earlier) for name in HEADLINES]
        found = await self._rows.look(asked)
        return await asyncio.to_thread(_overview, span, reports, found, today)


def _overview(
    span: Span,
    reports: Mapping[str, tuple[Span, Sequence[Part]]],
    found: Mapping[str, Any],
    today: date,
) -> Overview:
    """The overview, of the answers to what all reports ask, and then the headlines."""
    answers = list(found["answers"])
    shown = [
        _report(name, of, parts, found, answers, today) for name, (of, parts) in reports.items()
    ]
    half = len(HEADLINES)
    begun = [of.whole.first <= today for of in (span, before(span))]
    headlines = _headlines(answers[:half], answers[half:], begun, shown)
    return Overview(list(headlines), before(span).whole, shown)


def _report(
    name: str,
    span: Span,
    parts: Sequence[Part],
    found: Mapping[str, Any],
    answers: list[Rows],
    today: date,
) -> Figures:
    """The report, of the first answers, which are taken away."""
    sections: list[Section] = []
    for part in parts:
        sections += part.shape(answers[: len(part.asked)])
        del answers[: len(part.asked)]
    return Figures(
        name=name,
        title=TITLES[name],
        span=span,
        position=found["position"],
        as_of=found["as_of"],
        sections=[_so_far(section, today) for section in sections],
        empty=not found["anything"],
        unfinished=next((p.first for p in span.periods if p.first <= today <= p.last), None),
        clubs=clubs.section(found["clubs"]) if "clubs" in found else None,
    )


KNOWN_AHEAD = frozenset({FIRST.name, LAST.name, "trainings", "hours"})
"""What of a period is there before it begins: trainings are planned."""


def _so_far(section: Section, today: date) -> Section:
    """The section, without figures of periods that begin after today."""
    if section.columns[0] != FIRST:
        return section
    ahead = [column.name in KNOWN_AHEAD for column in section.columns]
    rows = [
        row
        if str(row[0]) <= today.isoformat()
        else tuple(value if known else None for value, known in zip(row, ahead, strict=True))
        for row in section.rows
    ]
    return replace(section, rows=rows)


TITLES = {
    "clients": "Clients",
    "cohorts": "Cohorts",
    "money": "Money",
    "trainings": "Trainings",
    "plans": "Training plans",
}


def _clients(span: Span, _: datetime, __: date) -> tuple[Span, Sequence[Part]]:
    return span, [Part(clients.ASKS, cut(span), partial(clients.sections, span))]


def _cohorts(span: Span, _: datetime, today: date) -> tuple[Span, Sequence[Part]]:
    months = by_month(span)
    return months, [Part(cohorts.ASKS, cut(months), partial(cohorts.sections, months, today))]


def _money(span: Span, now: datetime, today: date) -> tuple[Span, Sequence[Part]]:
    upcoming = money.next_days(today, span.timezone)
    return span, [
        Part(money.ASKS, cut(span), partial(money.sections, span)),
        Part(money.ASKS_NOW, (money.ages(now), []), money.sections_now),
        Part(money.ASKS_NEXT, cut(upcoming), partial(money.sections_next, upcoming)),
    ]


def _trainings(span: Span, _: datetime, __: date) -> tuple[Span, Sequence[Part]]:
    return span, [Part(trainings.ASKS, cut(span), partial(trainings.sections, span))]


def _plans(span: Span, _: datetime, __: date) -> tuple[Span, Sequence[Part]]:
    return span, [Part(plans.ASKS, cut(span), partial(plans.sections, span))]


PARTS = {
    "clients": _clients,
    "cohorts": _cohorts,
    "money": _money,
    "trainings": _trainings,
    "plans": _plans,
}
"""Of what each report is made, and which days it is on."""

HEADLINES = (
    "client-moves",
    "client-standing",
    "money",
    "trainings",
    "plan-moves",
    "plan-standing",
    "plan-pins",
    "plan-following",
)
"""What is asked of the whole span, and of the one before."""


def _whole(span: Span) -> Span:
    return replace(span, periods=[span.whole])


def _headlines(
    now: Sequence[Rows],
    earlier: Sequence[Rows],
    begun: Sequence[bool],
    reports: Sequence[Figures],
) -> Iterator[Headline]:
    both = [_values(found) for found in (now, earlier)]
    for name, title, unit in _TITLES_OF_HEADLINES:
        values = [
            of[name] if has_begun or name in KNOWN_AHEAD else None
            for of, has_begun in zip(both, begun, strict=True)
        ]
        yield Headline(name, title, unit, values[0], values[1])
    sections = {section.name: section for report in reports for section in report.sections}
    owed = _sum(sections["outstanding"], "amount")
    ending = _sum(sections["ending"], "clients")
    yield Headline("outstanding", "Owed now", Unit.MONEY, amount(owed), None)
    yield Headline("ending", "Ending within 30 days", Unit.COUNT, int(ending), None)


def _sum(section: Section, column: str) -> Decimal:
    return sum((Decimal(row[column] or 0) for row in section.named()), Decimal(0))


_TITLES_OF_HEADLINES = (
    ("active", "Active clients", Unit.COUNT),
    ("net", "Net money (settled less refunded)", Unit.MONEY),
    ("joined", "Joined", Unit.COUNT),
    ("returned", "Returned", Unit.COUNT),
    ("lapsed", "Lapsed", Unit.COUNT),
    ("churn", "Churn", Unit.SHARE),
    ("settled", "Settled", Unit.MONEY),
    ("refunded", "Refunded", Unit.MONEY),
    ("trainings", "Trainings", Unit.COUNT),
    ("per_active_client", "Trainings for each active client", Unit.RATIO),
    ("completed", "Plans completed", Unit.COUNT),
)


def _values(found: Sequence[Rows]) -> Mapping[str, Any]:
    """The figures of one period by name, of the answers to HEADLINES."""
    moves, standing, moved, planned, *of_plans = found
    (of_clients,), _ = clients.clients_of(1, moves, standing)
    (of_money,), _, _ = money.moved(1, moved)
    (of_trainings,) = trainings.trainings_of([of_clients], planned)
    (plans_then,) = plans.plans_of(1, of_plans)
    return {
        **plans_then._asdict(),
        **of_money._asdict(),
        **of_trainings._asdict(),
        **of_clients._asdict(),
    }
