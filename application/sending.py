"""Sending the figures of the morning to those who want them: once at most, and never silently."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple, cast

from application.access import THE_CLUB
from application.bus import Bus
from application.command import Context
from application.ports.chats import Chats, MaybeSent, NotSent
from application.ports.figures import FiguresStopped
from application.ports.ledger import UnreadableHistory
from application.ports.services import Services
from application.reports import daily_report_of
from application.repository import replay
from application.subscriptions import UNWRITTEN, BeginDelivery, EndDelivery, LoseDelivery
from domain.days import day_of
from domain.refusals import Conflict, NotFound, Refusal
from domain.reservations import Reservation
from domain.subscriptions import State, Subscription


class Daily(NamedTuple):
    """The newest daily report."""

    number: int
    day: str
    drawn_at: datetime


Write = Callable[[Daily, int], Awaitable[str]]
"""The text of a daily report for a user."""


async def send_what_is_due(bus: Bus, services: Services, chats: Chats | None, write: Write) -> int:
    """Send the figures of the newest daily report to all who still want them; to how many.

    Each is begun in the ledger before it is sent, so that it is sent once at most. What goes wrong
    with one is raised when all others had their turn.
    """
    now = services.clock.now()
    context = Context(THE_CLUB, correlation_id=f"sending-{uuid.uuid4().hex}", visible=False)
    subscriptions = await _subscriptions(services)
    daily = await _newest(bus, services, subscriptions, now)
    sent = 0
    troubles: list[Exception] = []
    for one in subscriptions:
        try:
            if one.is_lost(now):
                await bus.execute(LoseDelivery(one.number), context)
            if daily is not None and one.is_due(daily.day, daily.drawn_at, now):
                sent += await _deliver(one.number, daily, bus, chats, write, context)
        except Exception as trouble:  # noqa: BLE001 - raised below
            troubles.append(trouble)
    if troubles:
        raise troubles[0]
    return sent


async def _deliver(
    user_id: int, daily: Daily, bus: Bus, chats: Chats | None, write: Write, context: Context
) -> bool:
    """Whether it has come. Only for who may have it, and has a chat, is anything written."""
    try:
        begun = await bus.execute(BeginDelivery(user_id, daily.number, chats is not None), context)
    except (Conflict, NotFound, UnreadableHistory):
        # Another process has begun it, or this release cannot know.
        return False
    if begun.body is None or chats is None:
        return False
    try:
        text = await write(daily, user_id)
    except Exception as fault:
        why = UNWRITTEN.format(reason=_said(fault))
        await bus.execute(EndDelivery(user_id, daily.day, State.FAILED, why), context)
        raise
    try:
        await chats.send(begun.body["chat_id"], text)
    except NotSent as why_not:
        end = EndDelivery(user_id, daily.day, State.FAILED, str(why_not), why_not.pause)
    except MaybeSent as why_not:
        end = EndDelivery(user_id, daily.day, State.UNKNOWN, str(why_not))
    else:
        end = EndDelivery(user_id, daily.day, State.DELIVERED)
    await bus.execute(end, context)
    return end.state is State.DELIVERED


def _said(fault: Exception) -> str:
    """What is said of it to whoever wants the figures; other faults may quote a row."""
    known = isinstance(fault, Refusal | FiguresStopped)
    return str(fault).partition("\n")[0] if known else type(fault).__name__


async def _subscriptions(services: Services) -> Sequence[Subscription]:
    ids = await services.ledger.ids(Subscription.TOPIC)
    streams = await services.ledger.streams(ids) if ids else {}
    return [cast("Subscription", replay(streams[stream])) for stream in ids]


async def _newest(
    bus: Bus, services: Services, subscriptions: Iterable[Subscription], now: datetime
) -> Daily | None:
    """The newest daily report since anybody wanted it: of today or yesterday, as a rule.

    After days in which nobody was there, it is an older one: what became of that is still to be
    said.
    """
    wanted = [one.since for one in subscriptions if one.daily and one.since is not None]
    if not wanted:
        return None
    zone = (await bus.rules()).timezone
    day, first = (date.fromisoformat(day_of(at, zone)) for at in (now, min(wanted)))
    while day >= first:
        name = Reservation.stream(daily_report_of(day.isoformat()).name)
        held = (await services.ledger.streams([name]))[name]
        if held:
            holder = str(cast("Reservation", replay(held)).holder)
            drawn_up = (await services.ledger.streams([holder]))[holder][0]
            return Daily(drawn_up.number, day.isoformat(), drawn_up.timestamp)
        day -= timedelta(days=1)
    return None
