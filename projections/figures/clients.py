"""How clients come, stay and go.

A member is who was let in by a payment, by days granted or by the club, and is ACTIVE, or was when
what they are in now began: a pause, or a start at a later date. Whoever is let in only until a
payment is settled is a client, and no member yet: who never pays was none, and is not lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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
from projections.figures.bins import anywhere_in_month, counted, quarter
from projections.figures.questions import PERIOD, WITHIN, Cut, Question, until, until_start, within

NEW = "NEW"
"""What a client was before being one."""
GONE = "GONE"
"""What a client is whom the club deleted."""
ACTIVE = ClientStatus.ACTIVE.value
PROVISIONAL = "PROVISIONAL"
"""ACTIVE only until a payment is settled."""

STAYS = frozenset({ClientStatus.ON_HOLD.value, ClientStatus.UPCOMING.value})
"""Whoever comes from ACTIVE to one of these has not left."""
CLIENTS = Table(
    "figures_of_clients",
    key=("client_id",),
    columns="""
        client_id integer NOT NULL,
        status text NOT NULL,
        joined timestamptz NOT NULL,
        ends timestamptz,
        provisional boolean NOT NULL,
        inside boolean NOT NULL
    """,
)
"""Where each client stands, the span in which they joined, and until when they have paid.

`provisional`: nothing was paid yet, and it is waited for. `inside`: ACTIVE, or ACTIVE before what
they are in now.
"""

MOVES = Table(
    "figures_client_moves",
    key=("width", "at", "before", "after"),
    columns="""
        width text NOT NULL, at timestamptz NOT NULL, before text NOT NULL, after text NOT NULL,
        clients integer NOT NULL DEFAULT 0, members integer NOT NULL DEFAULT 0,
        ceased integer NOT NULL DEFAULT 0
    """,
)
"""How many clients came from one status to another, or PROVISIONAL.

And by how many more, or fewer, were members since; how many had ceased to be.
"""

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
"""How many ACTIVE clients have paid until some time in each quarter hour."""

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
            active = event.status == ACTIVE
            row = {"client_id": event.number, "joined": joined, "ends": None}
            row |= {"provisional": False, "inside": active}
            return {**row, "status": event.status}
        case Deleted():
            return None
        case AdmittedProvisionally() if row is not None:
            return {**row, "ends": event.until, "provisional": True}
        case _:
            return None if row is None else _changed(row, recorded)


def _changed(row: Row, recorded: Recorded) -> Row:
    event = recorded.event
    match event:
        case StatusEvent():
            status = STATUS_AFTER[type(event)].value
            inside = status == ACTIVE or (status in STAYS and row["inside"])
            return {**row, "status": status, "inside": inside}
        case Admitted() | DaysGranted():
            return {**row, "ends": event.until, "provisional": False}
        case AdmissionWithdrawn() | DaysGivenBack():
            return {**row, "ends": event.until}
        case DaysKept():
            return {**row, "ends": None}
        case _:
            return row


def _is_member(row: Row | None) -> bool:
    return row is not None and row["inside"] and not row["provisional"]


def _moved(row: Row | None, now: Row | None, recorded: Recorded) -> Iterator[Add]:
    """From one status to another; who is new, or gone, comes from nowhere, or goes there."""
    before = NEW if row is None else _standing(row)
    after = GONE if now is None else _standing(now)
    moment = time_text(recorded.event.timestamp)
    deltas = {"clients": int(before != after), **_members(row, now, recorded)}
    if any(deltas.values()):
        yield from counted(MOVES, moment, (before, after), deltas)
    more = {"clients": int(row is None), "active": _is_active(now) - _is_active(row)}
    known = now or row
    if known is not None and any(more.values()):
        yield Add(COHORTS, (known["joined"], anywhere_in_month(quarter(moment))), more)


def _standing(row: Row) -> str:
    provisional = row["provisional"] and row["status"] == ACTIVE
    return PROVISIONAL if provisional else str(row["status"])


def _is_active(row: Row | None) -> bool:
    return row is not None and row["status"] == ACTIVE


def _members(row: Row | None, now: Row | None, recorded: Recorded) -> Mapping[str, int]:
    """How many members more, or fewer; who is told at once to be let in provisionally was none."""
    more = _is_member(now) - _is_member(row)
    told = isinstance(recorded.event, AdmittedProvisionally)
    return {"members": more, "ceased": int(more < 0 and not told)}


def _ending(row: Row | None, now: Row | None) -> Iterator[Add]:
    before, after = _ends(row), _ends(now)
    if before == after:
        return
    if before is not None:
        yield Add(ENDINGS, (before,), {"clients": -1})
    if after is not None:
        yield Add(ENDINGS, (after,), {"clients": 1})


def _ends(row: Row | None) -> str | None:
    """The quarter hour in which the time of an ACTIVE client ends, where it does."""
    if row is None or row["status"] != ACTIVE or row["ends"] is None:
        return None
    return quarter(row["ends"])


MODEL = ReadModel("clients", (Client.TOPIC,), TABLES, folds=(Fold(CLIENTS, whose, step),))


# --- questions ---------------------------------------------------------------------------------


def moves(cut: Cut) -> Question:
    """How many came from one status to another, in each period."""
    sql = f"""
    SELECT {PERIOD}, before, after, sum(clients) AS clients, sum(members) AS members,
        sum(ceased) AS ceased
    FROM {MOVES.name} WHERE {WITHIN} GROUP BY 1, 2, 3
    """
    columns = ("period", "before", "after", "clients", "members", "ceased")
    return Question(columns, sql, within(cut))


def standing(cut: Cut) -> Question:
    """How many were in each status when the periods begin, and how many were MEMBERS."""
    sql = f"""
    SELECT status, sum(moved.clients) AS clients FROM {until(MOVES)}
    CROSS JOIN LATERAL (
        VALUES (after, clients), (before, -clients), ('MEMBERS', members)
    ) AS moved (status, clients) GROUP BY status
    """
    return Question(("status", "clients"), sql, until_start(cut))


def cohorts(cut: Cut) -> Question:
    """Of those who joined in each month: how many in all, and how many more ACTIVE by month.

    The periods are months, from the first in which somebody joined.
    """
    sql = f"""
    SELECT width_bucket(joined, %s::timestamptz[]) - 1 AS joined_in,
        width_bucket(moved, %s::timestamptz[]) - 1 AS moved_in,
        sum(clients) AS clients, sum(active) AS active
    FROM {COHORTS.name}
    WHERE joined >= %s::timestamptz AND joined < %s::timestamptz AND moved < %s::timestamptz
    GROUP BY 1, 2
    """
    bounds = list(cut.moments)
    params = [bounds, bounds, bounds[0], bounds[-1], bounds[-1]]
    return Question(("joined_in", "moved_in", "clients", "active"), sql, params)


def endings(cut: Cut) -> Question:
    """How many ACTIVE clients have paid until some time in each period, and not for longer."""
    sql = f"""
    SELECT width_bucket(ends, %s::timestamptz[]) - 1 AS period, sum(clients) AS clients
    FROM {ENDINGS.name} WHERE ends >= %s::timestamptz AND ends < %s::timestamptz
    GROUP BY 1 HAVING sum(clients) <> 0
    """
    bounds = list(cut.moments)
    return Question(("period", "clients"), sql, [bounds, bounds[0], bounds[-1]])
