"""Sending the figures of the morning to those who want them: once at most, and never silently."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple, cast

from application.access import THE_CLUB
from application.bus import Bus
from application.command import Context
from application.ports.chats import Chats, MaybeSent, NotSent
from application.ports.ledger import UnreadableHistory
from application.ports.services import Services
from application.reports import daily_report_of
from application.repository import replay
from application.subscriptions import BeginDelivery, EndDelivery, LoseDelivery
from domain.days import day_of
from domain.refusals import Conflict, NotFound
from domain.reservations import Reservation
from domain.subscriptions import TRIED_FOR, State, Subscription


class Daily(NamedTuple):
    """The newest daily report, of today or yesterday."""

    number: int
    day: str
    drawn_at: datetime


Write = Callable[[Daily, int], Awaitable[str]]
"""The text of a daily report for a user."""


async def send_what_is_due(bus: Bus, services: Services, chats: Chats | None, write: Write) -> int:
    """Send the figures of the newest daily report to all who still want them; to how many.

    Each is begun in the ledger before it is sent, so that it is sent once at most.
    """
    now = services.clock.now()
    context = Context(THE_CLUB, correlation_id=f"sending-{uuid.uuid4().hex}", visible=False)
    subscriptions = await _subscriptions(services)
    for one in subscriptions:
        if one.is_lost(now):
            await bus.execute(LoseDelivery(one.number), context)
    daily = await _daily(bus, services, now) if subscriptions else None
    if daily is None:
        return 0
    sent = 0
    for one in subscriptions:
        if one.is_due(daily.day, daily.drawn_at, now):
            sent += await _deliver(one.number, daily, bus, services, chats, write, context)
    return sent


async def _deliver(
    user_id: int,
    daily: Daily,
    bus: Bus,
    services: Services,
    chats: Chats | None,
    write: Write,
    context: Context,
) -> bool:
    too_late = services.clock.now() > daily.drawn_at + TRIED_FOR
    begin = BeginDelivery(user_id, daily.number, chats is not None)
    try:
        text = "" if too_late else await write(daily, user_id)
        begun = await bus.execute(begin, context)
    except (Conflict, NotFound, UnreadableHistory):
        # Another process has begun it, or the user is not to have it any more.
        return False
    if begun.body is None or chats is None:
        return False
    try:
        await chats.send(begun.body["chat_id"], text)
    except NotSent as why:
        end = EndDelivery(user_id, daily.day, State.FAILED, str(why), why.pause)
    except MaybeSent as why:
        end = EndDelivery(user_id, daily.day, State.UNKNOWN, str(why))
    else:
        end = EndDelivery(user_id, daily.day, State.DELIVERED)
    await bus.execute(end, context)
    return end.state is State.DELIVERED


async def _subscriptions(services: Services) -> Sequence[Subscription]:
    ids = await services.ledger.ids(Subscription.TOPIC)
    streams = await services.ledger.streams(ids) if ids else {}
    return [cast("Subscription", replay(streams[stream])) for stream in ids]


async def _daily(bus: Bus, services: Services, now: datetime) -> Daily | None:
    """The newest daily report: what of yesterday's is still to be sent is so after midnight."""
    today = date.fromisoformat(day_of(now, (await bus.rules()).timezone))
    for day in (today, today - timedelta(days=1)):
        name = Reservation.stream(daily_report_of(day.isoformat()).name)
        held = (await services.ledger.streams([name]))[name]
        if held:
            holder = str(cast("Reservation", replay(held)).holder)
            drawn_up = (await services.ledger.streams([holder]))[holder][0]
            return Daily(drawn_up.number, day.isoformat(), drawn_up.timestamp)
    return None
