"""The report on training plans: drawn up, followed, completed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from application.figures import Chart, Column, Draw, Section, Span, Unit, Value
from application.reporting.shaping import FIRST, LAST, Counts, Rows, by_name, named
from domain.values import PlanStatus

ASKS = ("plan-moves", "plan-standing", "plan-pins", "plan-following")

NEW = "NEW"


class Plans(NamedTuple):
    """The plans of one period."""

    active: int
    following: int
    drawn_up: int
    pinned: int
    unpinned: int
    activated: int
    completed: int


def sections(span: Span, found: Sequence[Rows]) -> Iterator[Section]:
    """What the report shows of the answers to ASKS."""
    rows: list[tuple[Value, ...]] = [
        (*named(period), *plans)
        for period, plans in zip(span.periods, plans_of(len(span.periods), found), strict=True)
    ]
    yield Section(
        "periods",
        "Training plans",
        (
            FIRST,
            LAST,
            Column("active", "Active at the end", Unit.COUNT),
            Column("following", "Followed at the end", Unit.COUNT),
            Column("drawn_up", "Drawn up", Unit.COUNT),
            Column("pinned", "Pinned to clients", Unit.COUNT),
            Column("unpinned", "Unpinned", Unit.COUNT),
            Column("activated", "Activated", Unit.COUNT),
            Column("completed", "Completed", Unit.COUNT),
        ),
        rows,
        Chart(Draw.LINES, "first", ("following", "active")),
    )


def plans_of(periods: int, found: Sequence[Rows]) -> Sequence[Plans]:
    """The plans of each period."""
    moves, standing, pins, following = found
    counts = Counts(periods)
    for period, before, after, number in moves:
        counts.add(period, f"+{after}", int(number))
        counts.add(period, f"-{before}", int(number))
        if before != NEW:
            counts.add(period, f"became {after}", int(number))
    for period, pinned, unpinned in pins:
        counts.add(period, "pinned", int(pinned))
        counts.add(period, "unpinned", int(unpinned))
    active = by_name(standing).get(PlanStatus.ACTIVE.value, 0)
    followed = sum(int(number) for (number,) in following)
    shown = []
    for period in range(periods):
        active += counts.count(period, f"+{PlanStatus.ACTIVE}")
        active -= counts.count(period, f"-{PlanStatus.ACTIVE}")
        pinned, unpinned = counts.count(period, "pinned"), counts.count(period, "unpinned")
        followed += pinned - unpinned
        shown.append(
            Plans(
                active,
                followed,
                counts.count(period, f"-{NEW}"),
                pinned,
                unpinned,
                counts.count(period, f"became {PlanStatus.ACTIVE}"),
                counts.count(period, f"+{PlanStatus.COMPLETED}"),
            )
        )
    return shown
