"""The report on clients: who is there at the end of each period, and who came and went in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from application.figures import Chart, Column, Draw, Section, Span, Unit, Value
from application.reporting.shaping import FIRST, LAST, Counts, Rows, by_name, named, share
from domain.values import ClientStatus

ASKS = ("client-moves", "client-standing")

ACTIVE, ON_HOLD = ClientStatus.ACTIVE.value, ClientStatus.ON_HOLD.value
NEW, GONE = "NEW", "GONE"
"""What somebody is before being a client, and after."""
PROVISIONAL = "PROVISIONAL"
"""Of those who are ACTIVE: let in until a payment is settled, and not by one yet."""
COMES_BACK = frozenset(
    {ClientStatus.EXPIRED.value, ClientStatus.INACTIVE.value, ClientStatus.CANCELLED.value}
)
"""From where somebody returns."""
MEMBERS = "MEMBERS"
"""All who were let in by more than that, and are ACTIVE, or were before a pause or a late start."""

COLUMNS = (
    FIRST,
    LAST,
    Column("active", "Active at the end", Unit.COUNT),
    Column("provisional", "Of these, not paid yet", Unit.COUNT),
    Column("on_hold", "On hold at the end", Unit.COUNT),
    Column("joined", "Joined", Unit.COUNT),
    Column("returned", "Returned", Unit.COUNT),
    Column("lapsed", "Lapsed", Unit.COUNT),
    Column("cancelled", "Cancelled", Unit.COUNT),
    Column("put_on_hold", "Put on hold", Unit.COUNT),
    Column("left", "Left", Unit.COUNT),
    Column("churn", "Churn", Unit.SHARE),
)


class Clients(NamedTuple):
    """The clients of one period."""

    active: int
    provisional: int
    """Of those who are ACTIVE, who were let in until a payment is settled, and not by one yet."""
    on_hold: int
    joined: int
    returned: int
    lapsed: int
    cancelled: int
    put_on_hold: int
    left: int
    churn: Decimal | None
    """Of the members when it began, the share of those who ceased to be.

    A pause or a later start is no loss; what comes after it may be. Who was only let in
    provisionally was none. Who ceased twice counts twice.
    """


def sections(span: Span, found: Sequence[Rows]) -> Iterator[Section]:
    """What the report shows of the answers to ASKS."""
    moves, standing = found
    periods, at_end = clients_of(len(span.periods), moves, standing)
    rows: list[tuple[Value, ...]] = [
        (*named(period), *clients) for period, clients in zip(span.periods, periods, strict=True)
    ]
    yield Section(
        "periods", "Clients", COLUMNS, rows, Chart(Draw.LINES, "first", ("active", "on_hold"))
    )
    yield Section(
        "statuses",
        "Where clients stand at the end",
        (Column("status", "Status", Unit.NAME), Column("clients", "Clients", Unit.COUNT)),
        [(status.value, at_end.get(status.value, 0)) for status in ClientStatus],
        Chart(Draw.BARS, "status", ("clients",)),
    )


def clients_of(
    periods: int, moves: Rows, standing: Rows
) -> tuple[Sequence[Clients], Mapping[str, int]]:
    """The clients of each period, and how many are in each status after the last."""
    counts = Counts(periods)
    for period, before, after, number, members, ceased in moves:
        counts.add(period, f"-{before}", int(number))
        counts.add(period, f"+{after}", int(number))
        counts.add(period, f"+{MEMBERS}", int(members))
        counts.add(period, "ceased", int(ceased))
        for name in _called(before, after):
            counts.add(period, name, int(number))
    at_end = dict(by_name(standing))
    shown = []
    for period in range(periods):
        members = at_end.get(MEMBERS, 0)
        for status in (*ClientStatus, PROVISIONAL, MEMBERS):
            more = counts.count(period, f"+{status}") - counts.count(period, f"-{status}")
            at_end[str(status)] = at_end.get(str(status), 0) + more
        shown.append(
            Clients(
                active=at_end[ACTIVE] + at_end[PROVISIONAL],
                provisional=at_end[PROVISIONAL],
                on_hold=at_end[ON_HOLD],
                joined=counts.count(period, "joined"),
                returned=counts.count(period, "returned"),
                lapsed=counts.count(period, "lapsed"),
                cancelled=counts.count(period, "cancelled"),
                put_on_hold=counts.count(period, "put_on_hold"),
                left=counts.count(period, "left"),
                churn=share(counts.count(period, "ceased"), members),
            )
        )
    at_end[ACTIVE] = at_end.get(ACTIVE, 0) + at_end.get(PROVISIONAL, 0)
    return shown, at_end


def _called(before: str, after: str) -> Sequence[str]:
    """What it is called that somebody came from one status to another."""
    was_client = before != NEW
    called = {
        "joined": not was_client,
        "returned": before in COMES_BACK and after in {ACTIVE, PROVISIONAL},
        "lapsed": before in {ACTIVE, PROVISIONAL} and after == ClientStatus.EXPIRED,
        "cancelled": was_client and after == ClientStatus.CANCELLED,
        "put_on_hold": was_client and after == ON_HOLD,
        "left": was_client and after in {ClientStatus.INACTIVE.value, GONE},
    }
    return [name for name, holds in called.items() if holds]
