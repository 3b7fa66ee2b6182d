"""How clients come, stay and go."""

from __future__ import annotations

from collections.abc import Iterator

from domain.aggregate import time_text
from domain.clients import (
    STATUS_AFTER,
    AdmissionWithdrawn,
    Admitted,
    AdmittedProvisionally,
    Client,
    DaysGivenBack,
    DaysGranted,
    DaysKept,
    Deleted,
    Registered,
    StatusEvent,
)
from domain.recorded import Recorded
from domain.values import ClientStatus
from projections.engine.model import Fold, ReadModel, Stepped
from projections.engine.table import Add, Key, Row, Table
from projections.figures.bins import anywhere_in_month, counted, hour, quarter

NEW = "NEW"
"""What a client was before being one."""
GONE = "GONE"
"""What a client is whom the club deleted."""
ACTIVE = ClientStatus.ACTIVE.value

CLIENTS = Table(
    "figures_of_clients",
    key=("client_id",),
    columns="""
        client_id integer NOT NULL,
        status text NOT NULL,
        joined timestamptz NOT NULL,
        ends timestamptz
    """,
)
"""Where each client stands, the span in which they joined, and until when they have paid."""

MOVES = Table(
    "figures_client_moves",
    key=("width", "at", "before", "after"),
    columns="""
        width text NOT NULL, at timestamptz NOT NULL, before text NOT NULL, after text NOT NULL,
        clients integer NOT NULL DEFAULT 0
    """,
)
"""How many clients came from one status to another."""

COHORTS = Table(
    "figures_cohorts",
    key=("joined", "moved"),
    columns="""
        joined timestamptz NOT NULL, moved timestamptz NOT NULL,
        clients integer NOT NULL DEFAULT 0, active integer NOT NULL DEFAULT 0
    """,
)
"""Of those who joined in one span: how many in all, and how many more are ACTIVE since another."""

ENDINGS = Table(
    "figures_endings",
    key=("ends",),
    columns="ends timestamptz NOT NULL, clients integer NOT NULL DEFAULT 0",
)
"""How many ACTIVE clients have paid until some time in each hour."""

TABLES = (CLIENTS, MOVES, COHORTS, ENDINGS)

_STANDING = (Registered, StatusEvent, Deleted)
_TIME = (
    AdmittedProvisionally,
    Admitted,
    DaysGranted,
    AdmissionWithdrawn,
    DaysKept,
    DaysGivenBack,
)


def whose(recorded: Recorded) -> Key | None:
    """The client to whom something happened that counts."""
    event = recorded.event
    return (event.number,) if isinstance(event, _STANDING + _TIME) else None


def step(row: Row | None, recorded: Recorded) -> Stepped:
    """Where the client stands after the event, and what that adds to."""
    now = _after(row, recorded)
    return Stepped(now, [*_moved(row, now, recorded), *_ending(row, now)])


def _after(row: Row | None, recorded: Recorded) -> Row | None:
    event = recorded.event
    match event:
        case Registered():
            joined = anywhere_in_month(quarter(time_text(event.timestamp)))
            row = {"client_id": event.number, "joined": joined, "ends": None}
            return {**row, "status": event.status}
        case Deleted():
            return None
        case StatusEvent() if row is not None:
            return {**row, "status": STATUS_AFTER[type(event)].value}
        case Admitted() | DaysGranted() | AdmissionWithdrawn() | DaysGivenBack() if row is not None:
            return {**row, "ends": event.until}
        case DaysKept() if row is not None:
            return {**row, "ends": None}
        case _:
            return row


def _moved(row: Row | None, now: Row | None, recorded: Recorded) -> Iterator[Add]:
    """From one status to another; who is new, or gone, comes from nowhere, or goes there."""
    known = now or row
    before = NEW if row is None else row["status"]
    after = GONE if now is None else now["status"]
    if known is None or before == after:
        return
    moment = time_text(recorded.event.timestamp)
    yield from counted(MOVES, moment, (before, after), {"clients": 1})
    more = {"clients": int(row is None), "active": (after == ACTIVE) - (before == ACTIVE)}
    if any(more.values()):
        yield Add(COHORTS, (known["joined"], anywhere_in_month(quarter(moment))), more)


def _ending(row: Row | None, now: Row | None) -> Iterator[Add]:
    before, after = _ends(row), _ends(now)
    if before == after:
        return
    if before is not None:
        yield Add(ENDINGS, (before,), {"clients": -1})
    if after is not None:
        yield Add(ENDINGS, (after,), {"clients": 1})


def _ends(row: Row | None) -> str | None:
    """The hour in which the time of an ACTIVE client ends, where it does."""
    if row is None or row["status"] != ACTIVE or row["ends"] is None:
        return None
    return hour(row["ends"])


MODEL = ReadModel("clients", (Client.TOPIC,), TABLES, folds=(Fold(CLIENTS, whose, step),))
